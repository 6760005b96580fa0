"""Copies and near copies: found, kept on one side, and counted where a split ignores them."""

import cv2
import numpy as np
import pandas as pd
import pytest

from camreader.cohorts import cohort, duplicates, splits
from camreader.common.errors import DataError


def picture(seed, size=(96, 80)):
    """A smooth image with structure, unlike the others of another seed."""
    noise = np.random.default_rng(seed).normal(0, 1, size)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def write(path, values, quality=95):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), values, [cv2.IMWRITE_JPEG_QUALITY, quality])


CHANGED = {
    "compressed again": lambda image: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 0
    ),
    "half the size": lambda image: cv2.resize(image, (40, 48), interpolation=cv2.INTER_AREA),
    "another contrast": lambda image: (0.7 * image + 20).astype(np.uint8),
}


@pytest.fixture
def folder(tmp_path):
    for index in range(30):
        write(tmp_path / ("tumor" if index % 2 else "normal") / f"{index}.png", picture(index))
    return tmp_path


@pytest.mark.parametrize("how", CHANGED)
def test_a_changed_copy_is_a_near_copy(folder, how):
    write(folder / "tumor" / "again.png", CHANGED[how](picture(7)))
    frame, card = cohort.load(folder)
    group = frame.set_index("image_path")["duplicate_group"]
    assert group["tumor/again.png"] == group["tumor/7.png"] and group.notna().sum() == 2
    assert (card["copies"]["copies"], card["copies"]["near_copies"]) == (0, 2)


def test_unlike_images_are_no_copies(folder):
    frame, card = cohort.load(folder)
    assert frame["duplicate_group"].isna().all() and card["copies"]["groups"] == 0


def test_the_same_pixels_in_another_file_are_a_copy(folder):
    write(folder / "tumor" / "again.bmp", picture(7))
    _frame, card = cohort.load(folder)
    assert card["copies"]["copies"] == 2


def test_the_same_file_with_both_labels_is_refused(folder):
    write(folder / "normal" / "again.png", picture(7))
    with pytest.raises(DataError, match="both labels") as raised:
        cohort.load(folder)
    assert "7.png" in str(raised.value) and "again.png" in str(raised.value)


def test_near_copies_with_different_labels_are_named(folder):
    write(folder / "normal" / "again.jpg", picture(7), 60)
    _frame, card = cohort.load(folder)
    assert "1 pair of copies with different labels" in card["doubts"]


def test_copies_stay_on_one_side_and_a_blind_split_leaks(folder):
    for index in range(0, 30, 3):
        for again in range(3):
            label = "tumor" if index % 2 else "normal"
            write(folder / label / f"{index} ({again}).png", picture(index))
    frame, card = cohort.load(folder)
    table = cohort.duplicates_table(frame, card).set_index("split")
    assert table["with_copy_in_training"].iloc[0] == 0
    assert table.loc["by slice, copies ignored", "with_copy_in_training"] > 0
    assert abs((frame["split_image"] == "test").mean() - 0.2) < 0.06
    assert (frame.groupby("duplicate_group")["split_image"].nunique() == 1).all()


def test_the_real_set_has_the_copies_that_were_counted(shared_set):
    """22 groups of identical images (its README, and FACTS section 9), none with both labels."""
    source = shared_set("brain-mri")
    frame, card = cohort.load(source)
    exact = duplicates.prints([source / p for p in frame["image_path"]], lambda d, p: np.zeros(1))
    groups = duplicates.groups(len(frame), duplicates.same(exact.bytes))
    assert len({name for name in groups if name}) == 22
    assert card["copies"]["copies"] == 47 and card["copies"]["both_labels"] == 0


def test_near_is_not_sought_within_a_patient():
    frame = pd.DataFrame({"label": 0, "patient_id": ["a", "a", "b"], "region": "x"})
    prints = duplicates.Prints(["1", "2", "3"], ["1", "2", "3"], np.ones((3, 256)), np.ones((3, 4)))
    assert duplicates.nearly(prints) == [(0, 1), (0, 2), (1, 2)]
    assert duplicates.groups(3, [(0, 2)]).tolist() == ["C0001", None, "C0001"]
    assert len(frame) == 3


def test_many_rows_are_compared_block_by_block(monkeypatch):
    rng = np.random.default_rng(0)
    bits = np.where(rng.random((50, 256)) < 0.5, 1.0, -1.0)
    thumbs = rng.normal(size=(50, 64))
    bits[40], thumbs[40] = bits[3], thumbs[3]
    thumbs /= np.linalg.norm(thumbs, axis=1, keepdims=True)
    prints = duplicates.Prints([], [], bits, thumbs)
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    assert duplicates.nearly(prints) == [(3, 40)]


def test_patients_who_share_a_copy_are_on_one_side():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"patient_id": np.repeat([f"p{k:02d}" for k in range(20)], 4)})
    frame = frame.assign(label=rng.integers(0, 2, 80), region="liver", duplicate_group=None)
    frame.loc[[0, 76], "duplicate_group"] = "C0001"
    frame.loc[[77, 41], "duplicate_group"] = "C0002"
    frame["split"] = splits.by_patient(frame)
    sides = frame.groupby("patient_id")["split"].agg(set)
    assert sides["p00"] == sides["p19"] == sides["p10"] and sides.map(len).max() == 1
