"""The phantom's files: DeepLesion's schema, exact truth, the same bytes however they were made."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camreader.cohorts import cohort, deeplesion
from camreader.common.errors import DataError
from camreader.phantom import lesions, write
from camreader.phantom.anatomy import new_patient

SLICES, SIZE = 25, 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom")
    write.write_phantom(path, slices=SLICES, size=SIZE, workers=1, progress=False)
    return path


def hu(path):
    return np.asarray(Image.open(path)).astype(np.int32) - 32768


def test_every_slice_of_the_truth_has_its_image_and_mask(folder):
    truth = pd.read_csv(folder / "slice_truth.csv")
    assert len(truth) == SLICES
    for row in truth.itertuples():
        name = f"{row.series}/{row.slice:03d}.png"
        image = hu(folder / "Images_png" / name)
        assert image.shape == (SIZE, SIZE)
        assert image.min() == -1024 and 300 < image.max() <= 3071
        mask = np.asarray(Image.open(folder / "Masks_png" / name))
        assert mask.dtype == np.uint8
        assert bool(mask.any()) == bool(row.has_lesion_full_annotation)


def test_worker_count_changes_no_byte(folder, tmp_path):
    write.write_phantom(tmp_path, slices=SLICES, size=SIZE, workers=2, progress=False)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


def test_a_killed_run_draws_only_what_is_missing(folder, tmp_path, monkeypatch):
    drawn, plain = [], write.draw_patient

    def stop_after_two(plan):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(plan.number)
        plain(plan)

    options = {"slices": SLICES, "size": SIZE, "workers": 1, "progress": False}
    monkeypatch.setattr(write, "draw_patient", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        write.write_phantom(tmp_path, **options)
    assert not (tmp_path / "phantom.json").exists()
    again = []
    monkeypatch.setattr(
        write, "draw_patient", lambda plan: (again.append(plan.number), plain(plan))
    )
    write.write_phantom(tmp_path, **options)
    assert not set(drawn) & set(again) and len(drawn) + len(again) == 5
    assert (tmp_path / "DL_info.csv").read_bytes() == (folder / "DL_info.csv").read_bytes()
    write.write_phantom(tmp_path, **options)
    assert len(again) == 3  # a finished phantom is taken as it is


def test_lost_or_cut_images_are_drawn_again_to_the_same_bytes(folder, tmp_path):
    mine = shutil.copytree(folder, tmp_path / "mine")
    images = sorted((mine / "Images_png").rglob("*.png"))
    masks = sorted((mine / "Masks_png").rglob("*.png"))
    images[0].write_bytes(images[0].read_bytes()[:-30])
    masks[-1].unlink()
    kept = images[len(images) // 2].stat().st_mtime_ns
    write.write_phantom(mine, slices=SLICES, size=SIZE, workers=1, progress=False)
    assert images[len(images) // 2].stat().st_mtime_ns == kept
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (mine / path.relative_to(folder)).read_bytes(), path


@pytest.mark.parametrize("part", ["Images_png", "Masks_png", "phantom.json"])
def test_killed_while_clearing_an_old_phantom_it_goes_on(folder, tmp_path, monkeypatch, part):
    mine, options = shutil.copytree(folder, tmp_path / "mine"), {"workers": 1, "progress": False}

    def killed(path, **_options):
        if path.name == part:
            raise KeyboardInterrupt

    monkeypatch.setattr(write.shutil, "rmtree", killed)
    if part == "phantom.json":
        (mine / part).write_bytes(b"")  # the disk lost it: known as a phantom's all the same
    else:
        with pytest.raises(KeyboardInterrupt):
            write.write_phantom(mine, slices=5, size=64, **options)
    monkeypatch.undo()
    card = write.write_phantom(mine, slices=5, size=64, **options)
    assert card["slices"] == len(list((mine / "Images_png").rglob("*.png"))) == 5


def test_a_change_of_the_drawing_draws_anew(tmp_path, monkeypatch):
    options = {"slices": 5, "size": 64, "workers": 1, "progress": False}
    first = write.write_phantom(tmp_path, **options)
    image = next((tmp_path / "Images_png").rglob("*.png"))
    before = image.stat().st_mtime_ns
    write.write_phantom(tmp_path, **options)
    assert image.stat().st_mtime_ns == before
    monkeypatch.setattr(write, "code_digest", lambda module, rooms: "of other code")
    again = write.write_phantom(tmp_path, **options)
    assert image.stat().st_mtime_ns > before and again["drawing"] != first["drawing"]


def test_boxes_and_diameters_fit_the_masks(folder):
    truth = pd.read_csv(folder / "lesion_truth.csv")
    tumors = truth[truth["kind"] == "tumor"]
    assert len(tumors) > 5
    for row in tumors.itertuples():
        mask = np.asarray(Image.open(folder / "Masks_png" / row.series / f"{row.slice:03d}.png"))
        y, x = np.nonzero(mask == row.lesion_id)
        assert [x.min(), y.min(), x.max(), y.max()] == [row.x1, row.y1, row.x2, row.y2]
        assert len(x) == row.area_px


def test_the_phantom_reads_as_deeplesion(folder):
    info = deeplesion.read_info(folder / "DL_info.csv")
    assert info.attrs["doubts"] == [] and info["patient_id"].nunique() == 5
    frame, card = cohort.load(folder)
    assert card["synthetic"] and "Phantom" in card["title"] and len(frame) == SLICES
    assert (frame.loc[frame["label"] == 0, "label_source"] == "phantom_truth").all()


def test_a_tumor_shows_a_rim_and_a_cyst_does_not():
    """Drawn values, before blur and noise: a rim of RIM_MM brighter than the core."""
    rng = np.random.default_rng(0)
    patient = new_patient(rng)
    for kind, shows in (("tumor", True), ("cyst", False)):
        found = []
        while len(found) < 5:
            one = lesions.new_lesion(rng, patient, 1, kind, "liver", 280, False)
            found += [one] if one is not None else []
        brighter = [one.rim_hu > one.core_hu + 15 for one in found]
        assert all(brighter) if shows else sum(brighter) < 4


def test_other_data_is_never_overwritten(tmp_path):
    (tmp_path / "DL_info.csv").write_text("real\n")
    with pytest.raises(DataError, match="no phantom"):
        write.write_phantom(tmp_path, slices=5, size=64, progress=False)
    assert (tmp_path / "DL_info.csv").read_text() == "real\n"
