"""Somebody else's predictions and maps: the same numbers whatever the files, or refused by row."""

import importlib.util
import json

import cv2
import numpy as np
import pandas as pd
import pytest
from training_fixture import SIDE, make_cohort
from vendor_results import maps_for, write

from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.tables import Cohort
from camreader.training import results
from camreader.training.description import Description

FORMATS = (".npy", ".png", ".dcm", ".nii.gz")
needs_nibabel = pytest.mark.skipif(
    not importlib.util.find_spec("nibabel"), reason="nibabel is absent"
)


@pytest.fixture
def study(tmp_path):
    return make_cohort(tmp_path / "study", slices=24, patients=8)


def taken(study, folder, where):
    frame = read_table(study.cohort_table, Cohort)
    where.mkdir(parents=True, exist_ok=True)
    answers = results.take(study, Description(f"results:{folder}"), frame, where)
    return answers, np.asarray(results.maps_of(where), np.float32)


@pytest.mark.parametrize("ending", [*FORMATS[:3], pytest.param(".nii.gz", marks=needs_nibabel)])
def test_every_format_gives_the_same_maps(study, tmp_path, ending):
    frame = read_table(study.cohort_table, Cohort)
    maps = maps_for(len(frame))
    table = write(tmp_path / "vendor", frame, maps, ending)
    results.check_folder(tmp_path / "vendor")
    answers, found = taken(study, tmp_path / "vendor", tmp_path / "run")
    np.testing.assert_allclose(found, maps / 255, atol=1e-3)
    np.testing.assert_allclose(answers["probability"], table["probability"])
    assert (answers["predicted"] == (table["probability"] >= 0.5)).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-answers["logit"])), table["probability"], atol=1e-5)


def test_one_stack_in_the_order_of_the_table_and_the_answers_own_threshold(study, tmp_path):
    frame = read_table(study.cohort_table, Cohort)
    folder, order = tmp_path / "vendor", np.random.default_rng(2).permutation(len(frame))
    folder.mkdir()
    answer = np.where(np.arange(len(frame)) % 3 == 0, "tumor", "no tumor")
    table = pd.DataFrame({"image": frame["slice_id"], "probability": 0.2, "class": answer})
    table.iloc[order].to_csv(folder / "predictions.csv", index=False, sep=";")
    np.save(folder / "maps.npy", maps_for(len(frame))[order].astype(np.float32) * 7)
    answers, found = taken(study, folder, tmp_path / "run")
    np.testing.assert_allclose(found, maps_for(len(frame)) / 255, atol=1e-3)
    assert (answers["predicted"] == (answer == "tumor")).all()


def test_images_may_be_called_as_in_the_folder_that_01_read(tmp_path):
    from camreader.cohorts import cohort, pixels
    from camreader.common.storage import write_table
    from camreader.common.study import Study

    source, rng = tmp_path / "mine", np.random.default_rng(0)
    rows = [f"pics/{'scan' if n % 2 else 'slice'} {n}.png,{n % 2},P{n // 2}" for n in range(12)]
    (source / "pics").mkdir(parents=True)
    for row in rows:
        picture = rng.integers(0, 255, (20, 30), dtype=np.uint8)
        cv2.imwrite(str(source / row.split(",")[0]), picture)
    (source / "labels.csv").write_text("\n".join(["image,label,patient", *rows]))
    study = Study(str(tmp_path / "data"), "mine", str(tmp_path / "reports"))
    frame, card = cohort.load(source)
    frame, card = pixels.bring_in(frame, card, study.cohort_folder / "source")
    pixels.ingest(frame, card["source"], study.pixels, 32, progress=False)
    write_table(frame, study.cohort_table, Cohort)
    study.save_card(card | {"image_size": 32})
    vendor = tmp_path / "vendor"
    (vendor / "maps" / "pics").mkdir(parents=True)
    names = [row.split(",")[0] for row in rows][::-1]
    lines = [f"{name},{k / 20}" for k, name in enumerate(names)]
    (vendor / "predictions.csv").write_text("\n".join(["image,probability", *lines]))
    for k, name in enumerate(names):  # of the size of the images, which 01 padded to squares
        heat = np.zeros((20, 30), np.uint8)
        heat[k % 20, 3] = 9
        cv2.imwrite(str(vendor / "maps" / name), heat)
    frame = read_table(study.cohort_table, Cohort)
    own = Description(f"results:{vendor}", source=str(source))
    where = tmp_path / "run"
    where.mkdir()
    answers = results.take(study, own, frame, where)
    assert answers["probability"].tolist() == [k / 20 for k in range(11, -1, -1)]
    peaks = [np.argwhere(m == m.max())[0] for m in np.asarray(results.maps_of(where), np.float32)]
    rows = np.array([peak[0] for peak in peaks])
    expected = (np.arange(11, -1, -1) + 5 + 0.5) * 32 / 30  # 5 rows of padding above
    assert np.abs(rows + 0.5 - expected).max() <= 1
    with pytest.raises(DataError, match="a slice_id such as own_000001"):
        results.take(study, Description(f"results:{vendor}"), frame, where)
    assert "scan" not in json.dumps(study.card)


def drop_map(folder, table):
    (folder / "maps" / f"{table['image'].iloc[3]}.npy").unlink()


def other_size(folder, table):
    np.save(folder / "maps" / f"{table['image'].iloc[3]}.npy", np.ones((7, 9)))


def not_finite(folder, table):
    np.save(folder / "maps" / f"{table['image'].iloc[3]}.npy", np.full((SIDE, SIDE), np.nan))


def in_colour(folder, table):
    name = folder / "maps" / table["image"].iloc[3]
    name.with_suffix(".npy").unlink()
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[..., 2] = 200
    cv2.imwrite(str(name.with_suffix(".png")), picture)


def pickled(folder, table):
    path = folder / "maps" / f"{table['image'].iloc[3]}.npy"
    np.save(path, np.array([print]), allow_pickle=True)


def rename_first(folder, table):
    (folder / "maps" / f"{table['image'].iloc[0]}.npy").rename(folder / "maps" / "x.npy")
    table.assign(image=["x", *table["image"].iloc[1:]]).to_csv(folder / "predictions.csv")


def rewritten(change):
    def write_again(folder, table):
        change(table).to_csv(folder / "predictions.csv", index=False)

    return write_again


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_map, "names 24 images, but 1 of them have no map.*row: 5.*found: 23 maps"),
        (other_size, "another size than its image.*row: 5; found: 7 x 9; expected: 32 x 32"),
        (not_finite, "not finite.*row: 5"),
        (in_colour, "in colour: a picture of heat, not heat"),
        (pickled, "Map cannot be read"),
        (rewritten(lambda t: t.iloc[1:]), "lacks 1 slice of 24"),
        (rename_first, "row: 2; column: image; found: 'x'; expected: a slice_id such as"),
        (rewritten(lambda t: pd.concat([t, t.iloc[:1]])), "each image once; row 2 has it too"),
        (rewritten(lambda t: t.assign(probability=1.5)), "between 0 and 1"),
        (rewritten(lambda t: t.drop(columns="probability")), "probability"),
        (rewritten(lambda t: t.assign(**{"class": "perhaps"})), "column: class"),
    ],
)
def test_what_is_wrong_is_named_by_its_row(study, tmp_path, change, words):
    frame, folder = read_table(study.cohort_table, Cohort), tmp_path / "vendor"
    table = write(folder, frame, maps_for(len(frame)))
    change(folder, table)
    with pytest.raises(DataError, match=words):
        results.check_folder(folder)
        taken(study, folder, tmp_path / "run")
