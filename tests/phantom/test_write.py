"""The phantom's files: DeepLesion's schema, exact truth, the same bytes however they were made."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt

from camreader.cohorts import cohort, deeplesion
from camreader.common.errors import DataError
from camreader.phantom import lesions, looks, paint, scanner, sites, write
from camreader.phantom.abdomen import draw_slice
from camreader.phantom.anatomy import new_patient
from camreader.statistics import classification

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


def test_solid_tumors_are_the_rule_rims_and_dead_cores_the_minority():
    rng = np.random.default_rng(0)
    patient = new_patient(rng)
    kinds = [looks.kind_of(rng, region) for region in ("liver", "abdomen") * 300]
    counts = pd.Series(kinds).value_counts(normalize=True)
    assert counts["solid"] > 0.6 and 0.05 < counts["rim"] < 0.2 and 0.05 < counts["necrotic"] < 0.2
    for kind in ("solid", "rim", "necrotic"):
        one = looks.look(rng, patient, "liver", 15, kind)
        steps = {"solid": (-9, 10), "rim": (25, 64), "necrotic": (10, 60)}[kind]
        assert steps[0] <= one.rim_hu - one.core_hu <= steps[1], kind
    small = looks.look(rng, patient, "liver", 6, "necrotic")
    assert small.kind == "solid"  # a small tumor is not dead inside
    assert looks.cyst_look(rng, patient).core_hu <= 15


@pytest.fixture(scope="module")
def grown():
    """A patient, a level, its canvas, drawn HU, and a liver lesion there."""
    rng = np.random.default_rng(4)
    patient = new_patient(rng)
    canvas = scanner.Canvas(0.8)
    draw_slice(canvas, patient, 270)
    while True:
        lesion = lesions.new_lesion(rng, patient, 1, "tumor", "liver", 270, True, "solid")
        image = canvas.read()
        if lesion is not None and paint.paint(image, canvas, patient, 270, lesion).any():
            return patient, canvas, canvas.read(), lesion


def test_a_lesion_changes_the_slice_only_near_itself_and_its_mask_is_where_it_is(grown):
    patient, canvas, before, lesion = grown
    image = before.copy()
    mask = paint.paint(image, canvas, patient, 270, lesion)
    assert mask.sum() * 0.8**2 > paint.SMALLEST_AREA_MM2
    y, x = np.nonzero(mask)
    place = np.array(canvas.places(slice(0, 512), slice(0, 512)))[:, y, x].mean(1)
    assert np.hypot(*(place - lesion.centre[:2])) < 4
    changed = np.abs(image - before) > 0.01
    far = distance_transform_edt(~mask) * 0.8 > 1.3 * lesion.radii.max() * paint.PUSHED
    assert changed[mask].mean() > 0.95 and not changed[far].any()
    wanted = (lesion.look.rim_hu + lesion.look.core_hu) / 2
    assert image[mask].mean() == pytest.approx(wanted, abs=12)
    empty = paint.paint(image, canvas, patient, 270 + 2 * lesion.radii[2], lesion)
    assert not empty.any()


def test_tissue_makes_way_for_a_lesion_and_bone_does_not(grown):
    """A line that would cross the lesion bends round it; as bone it stays."""
    _patient, canvas, _before, lesion = grown
    part = paint._part(canvas, lesion)
    x, y = canvas.places(*part)
    outline = lesion.beyond(x, y, lesion.centre[2])
    line = np.abs(x - lesion.centre[0] - 0.75 * lesion.radii.min()) < 1.2
    inside = line & (outline < 0.8)
    assert inside.sum() > 5
    for hu, left in ((160, 0.1), (900, 1)):
        piece = np.where(line, hu, 100).astype(np.float32)
        stays = piece > paint.STIFF_HU
        moved = paint.make_way(piece, canvas, lesion, part, outline, stays)
        assert (np.abs(moved[inside] - hu) < 20).mean() == pytest.approx(left, abs=0.1)
        far = outline > paint.PUSHED
        assert np.array_equal(moved[far], piece[far])


def test_a_lesion_moves_no_other_one(grown):
    """Another lesion's pixels, 3 mm away, keep their values: masks stay exact."""
    patient, canvas, before, lesion = grown
    mask = paint.paint(before.copy(), canvas, patient, 270, lesion)
    away = distance_transform_edt(~mask) * 0.8
    taken = (away > 3) & (away < 8)
    image = before + 300 * taken
    marked = image.copy()
    paint.paint(image, canvas, patient, 270, lesion, taken)
    assert np.abs(image - marked)[taken].max() < 0.5


def test_conspicuity_grows_with_contrast_and_size_and_falls_with_noise_and_look_alikes():
    ring, near = np.full(50, 40.0), np.full(500, 100.0)
    plain = paint.conspicuity(ring, near, 20, 10)
    assert plain == pytest.approx(4.0, rel=0.01)  # 40 HU over 10 HU of noise, 20 mm, nothing alike
    assert paint.conspicuity(ring / 2, near, 20, 10) == pytest.approx(plain / 2)
    assert paint.conspicuity(ring, near, 10, 10) == pytest.approx(plain / 2)
    assert paint.conspicuity(ring, near, 20, 20) == pytest.approx(plain / 2)
    alike = np.where(np.arange(500) < 250, 0.0, 100.0)
    assert paint.conspicuity(ring, alike, 20, 10) == pytest.approx(plain / 2, rel=0.01)


def test_every_tumor_has_its_conspicuity_and_level(folder):
    truth = pd.read_csv(folder / "lesion_truth.csv")
    assert truth["conspicuity"].notna().all() and (truth["conspicuity"] >= 0).all()
    lows = (0, *list(paint.LEVELS.values())[:-1])
    for level, low in zip(paint.LEVELS, lows, strict=True):
        part = truth.loc[truth["level"] == level, "conspicuity"]
        assert part.between(low - 0.005, paint.LEVELS[level]).all()
    assert set(truth["level"]) <= set(classification.CONSPICUITY) == set(paint.LEVELS)


def test_lesions_lie_in_their_own_tissue():
    """Sites are found on the drawn slice: nodes in fat, lung lesions in air, liver's in liver."""
    rng = np.random.default_rng(2)
    found = {}
    for _ in range(6):
        patient = new_patient(rng)
        for region, z in (("abdomen", 360), ("pelvis", 520), ("lung", 110), ("liver", 270)):
            at = sites.place(rng, patient, region, z, 9)
            if at is None:
                continue
            chart = sites.Chart(patient, z)
            away = np.hypot(chart.x - at[0], chart.y - at[1])
            found.setdefault(region, []).append(float(np.median(chart.hu[away < 4])))
    assert all(len(values) >= 4 for values in found.values()) and len(found) == 4
    assert all(-140 < hu < -60 for region in ("abdomen", "pelvis") for hu in found[region])
    assert max(found["lung"]) < -500 and min(found["liver"]) > 0


def test_other_data_is_never_overwritten(tmp_path):
    (tmp_path / "DL_info.csv").write_text("real\n")
    with pytest.raises(DataError, match="no phantom"):
        write.write_phantom(tmp_path, slices=5, size=64, progress=False)
    assert (tmp_path / "DL_info.csv").read_text() == "real\n"
