"""The cohort of the real sample, of a tiny DeepLesion, and of a thousand JPEG files."""

import cv2
import numpy as np
import pytest
from slices_fixture import info_row, slice_hu, write_deeplesion, write_info, write_png, write_truth

from camreader.cohorts import cohort, pixels
from camreader.cohorts.splits import siblings_table
from camreader.common.errors import DataError
from camreader.common.tables import parse_boxes


def test_the_real_sample(sample):
    """Counted in its slice_truth.csv: 49 slices with a lesion, 27 free, 14 unknown; 4 key rows."""
    frame, card = cohort.load(sample)
    found = card["found"]
    assert found["slices"] == 90 and found["series"] == 3 and found["patients"] == 1
    assert (found["positive"], found["verified_negative"], found["unknown"]) == (49, 27, 14)
    assert found["key_slices"] == 4
    assert frame["label"].sum() == 49 and len(frame) == 76
    assert set(frame.loc[frame["label"] == 0, "label_source"]) == {"verified"}
    assert card["refusals"]["sound"] == "3 patients needed, 1 found"
    assert "14 of unknown truth left out" in card["title"] and not card["synthetic"]
    assert card["contamination"]["share"] == 0
    for boxes, label in zip(frame["boxes"], frame["label"], strict=True):
        assert bool(parse_boxes(boxes)) == bool(label)


def test_the_neighbour_rule_on_the_real_sample_says_what_it_hides(sample):
    frame, card = cohort.load(sample, negatives="neighbour", distance_mm=10.0)
    free = frame[frame["label"] == 0]
    assert frame["label"].sum() == 4 and len(free) == 4  # key slices, and as many neighbours
    assert set(free["label_source"]) == {"neighbour"} and (free["distance_mm"] >= 10).all()
    assert card["contamination"]["share"] is not None


@pytest.fixture
def folder(tmp_path):
    write_deeplesion(tmp_path, patients=4)
    return tmp_path


def test_without_truth_neighbours_and_their_expected_contamination(folder):
    frame, card = cohort.load(folder)
    assert card["negatives"] == "neighbour" and card["contamination"]["share"] == 0.49
    assert (frame["label_source"] == "key_slice").sum() == 4 == (frame["label"] == 0).sum()


def test_with_truth_every_known_slice_is_used(folder):
    write_truth(folder)
    frame, card = cohort.load(folder)
    assert len(frame) == 4 * 8 and frame["label"].sum() == 4 * 3  # slice 9 is unknown
    assert card["found"]["unknown"] == 4
    assert frame["split_patient"].notna().all() and not card["refusals"]
    assert (frame.groupby("patient_id")["split_patient"].nunique() == 1).all()
    assert set(frame.loc[frame["label"] == 1, "label_source"]) == {"key_slice", "box_3d"}


def test_the_contamination_of_a_rule_is_counted_where_truth_is_known(folder):
    write_truth(folder, lesion=range(1, 10), unknown=())
    _frame, card = cohort.load(folder, negatives="neighbour")
    assert card["contamination"]["share"] == 1.0
    assert card["contamination"]["source"] == "counted against the full truth of this cohort"


def test_verified_without_truth_is_refused(folder):
    with pytest.raises(DataError, match="Verified negatives need full truth"):
        cohort.load(folder, negatives="verified")
    with pytest.raises(DataError, match="Unknown label rule"):
        cohort.load(folder, negatives="perhaps")


def test_a_limit_keeps_both_labels(folder):
    write_truth(folder)
    frame, _card = cohort.load(folder, limit=10)
    assert len(frame) == 10 and frame["label"].sum() == 5


def test_the_8_gb_subset_is_read_alike(tmp_path):
    write_deeplesion(tmp_path, layout="minideeplesion")
    frame, _card = cohort.load(tmp_path)
    assert frame["image_path"].str.startswith("minideeplesion/").all()


def test_a_row_whose_image_is_missing_is_named(folder):
    (folder / "Images_png" / "000002_01_01" / "005.png").unlink()
    with pytest.raises(DataError, match="has no image") as raised:
        cohort.load(folder)
    places = raised.value.places
    assert places["file"] == folder / "DL_info.csv" and places["row"] == 3
    assert places["column"] == "File_name" and "000002_01_01/005.png" in places["found"]


def test_a_series_that_was_not_downloaded_is_counted(folder):
    rows = [info_row(patient) for patient in range(1, 7)]
    write_info(folder, rows)
    _frame, card = cohort.load(folder)
    assert card["found"]["rows_without_images"] == 2


def said(folder):
    frame, card = cohort.load(folder)
    return card, "\n".join(cohort.finding(frame, card, siblings_table(frame, card["refusals"])))


def test_noisy_rows_and_key_slices_that_the_truth_calls_free_are_doubts(folder):
    rows = [info_row(patient, Possibly_noisy=int(patient == 2)) for patient in (1, 2, 3, 4)]
    write_info(folder, [*rows, info_row(9, Possibly_noisy=1)])  # patient 9 is not on disk
    write_truth(folder, lesion=(6, 7))
    card, words = said(folder)
    free = "Key_slice_index: the full truth has no lesion there"
    noisy = "row 3, Possibly_noisy: marked by DeepLesion's authors"
    others = [f"row {row}, {free}" for row in (3, 4, 5)]
    assert card["doubts"] == [f"row 2, {free}", noisy, *others]
    assert "5 doubt(s) about the folder: row 2, Key_slice_index" in words


def test_the_finding_promises_no_split_that_was_refused(folder):
    words = said(folder)[1]
    assert "of the same patient in training.\n" in words
    assert "The sound protocol is refused: both labels needed" in words
    write_truth(folder)
    assert "of the same patient in training; split by patient, none." in said(folder)[1]


def test_images_without_a_table(folder):
    (folder / "DL_info.csv").unlink()
    with pytest.raises(DataError, match=r"DL_info.csv not found"):
        cohort.load(folder)


def test_a_slice_of_another_size_than_dl_info_says(folder, tmp_path):
    write_png(folder / "Images_png" / "000001_01_01" / "005.png", slice_hu(1, 48))
    frame, card = cohort.load(folder)
    with pytest.raises(DataError, match="another size"):
        pixels.ingest(frame, card["source"], tmp_path / "p.npy", 16, progress=False)


def test_an_unfinished_phantom_is_not_taken_for_real(folder):
    (folder / "lesion_truth.csv").write_text(
        "series,slice,lesion_id,kind,region,annotated,key,x1,y1,x2,y2,diameter_mm,contrast_hu,area_px\n"
    )
    with pytest.raises(DataError, match="phantom is not finished"):
        cohort.load(folder)


def test_a_thousand_jpegs_without_patients(tmp_path):
    """Ingested whole; the patient protocol is refused in words, the paper's goes on."""
    rng = np.random.default_rng(0)
    lines = ["image,label"]
    for index in range(1000):
        name = f"img/{index:04d}.jpg"
        (tmp_path / "img").mkdir(exist_ok=True)
        grey = rng.integers(0, 255, (24, 24)).astype(np.uint8)
        (tmp_path / name).write_bytes(cv2.imencode(".jpg", grey)[1].tobytes())
        lines.append(f"{name},{index % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    frame, card = cohort.load(tmp_path)
    assert card["refusals"]["sound"] == "patient unknown for 1,000 of 1,000 slices"
    assert (frame["split_image"] == "test").sum() == 200
    frame, card = pixels.bring_in(frame, card, tmp_path / "in")
    target = pixels.ingest(frame, card["source"], tmp_path / "p.npy", 16, progress=False)
    assert pixels.load(target, frame).shape == (1000, 16, 16)
    words = " ".join(cohort.finding(frame, card, siblings_table(frame)))
    assert "The sound protocol is refused: patient unknown" in words and "not HU" in words


def test_every_table_of_01_has_a_row_and_says_what_was_not_looked_for(folder):
    write_truth(folder)
    frame, card = cohort.load(folder)
    copies = cohort.duplicates_table(frame, card)
    assert len(copies) == 1 and "not looked for" in copies["note"][0]
    assert copies["with_copy_in_training"].isna().all()
    left = cohort.left_out_table(card)
    assert left["files"].tolist() == [32, 4] and left["what"].tolist() == ["used", "left out"]
    assert "Left out: 4 (slice of unknown truth)." in said(folder)[1]
