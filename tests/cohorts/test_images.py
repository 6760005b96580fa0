"""A department's own images: labels.csv or class folders, and what is refused in which words."""

import shutil

import cv2
import numpy as np
import pytest
from slices_fixture import slice_hu
from slices_fixture import write_png as write_shared_png

from camreader.cohorts import cohort, pixels, windows
from camreader.cohorts.splits import siblings_table
from camreader.common import storage
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.common.tables import Cohort, parse_boxes
from camreader.phantom import write_phantom


def image(path, grey=100, kind=np.uint8, shape=(40, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(grey)
    array = np.clip(grey + rng.normal(0, 9, shape), 0, np.iinfo(kind).max).astype(kind)
    path.write_bytes(cv2.imencode(path.suffix, array)[1].tobytes())


HEADER = "image,label,patient,region,box,hu_offset"
GOOD = [
    "a.png,1,smith,lung,3 4 20 21; 30 5 40 9,",
    "sub/b.png,no tumor,smith,,,",
    "c.png,0,jones,liver,,",
    "d.png,TUMOUR,miller,,,",
]


@pytest.fixture
def folder(tmp_path):
    for index, row in enumerate(GOOD):
        image(tmp_path / row.split(",")[0], 60 + 30 * index)
    return labels(tmp_path, GOOD)


def labels(folder, rows, header=HEADER):
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_labels_csv_with_everything(folder):
    frame, card = cohort.load(folder)
    assert frame["slice_id"].tolist() == [f"own_{n:06d}" for n in (1, 2, 3, 4)]
    assert frame["image_path"].tolist() == ["a.png", "sub/b.png", "c.png", "d.png"]
    assert frame["label"].tolist() == [1, 0, 0, 1]
    assert frame["region"].tolist() == ["lung", "unknown", "liver", "unknown"]
    assert parse_boxes(frame["boxes"][0]) == [[3, 4, 20, 21], [30, 5, 40, 9]]
    assert frame["patient_id"].tolist() == ["smith", "smith", "jones", "miller"]
    assert frame[["width", "height"]].to_numpy().tolist() == [[60, 40]] * 4
    assert set(frame["label_source"]) == {"folder"} and not card["hu"]
    assert card["contamination"]["share"] is None and "8-bit" in card["title"]


def test_only_image_and_label_are_needed(folder):
    rows = [",".join(row.split(",")[:2]) for row in GOOD]
    frame, card = cohort.load(labels(folder, rows, "image,label"))
    assert (
        frame["split_patient"].isna().all() and (frame["split_image"].isin(["train", "test"])).all()
    )
    assert card["refusals"]["sound"] == "patient unknown for 4 of 4 slices"


OUTSIDE = ["a.png,1,smith,,3 4 20 21; 30 5 61 9,", "a.png,1,smith,,3 4 20 41,"]


@pytest.mark.parametrize("row", OUTSIDE)
def test_a_box_out_of_its_image_is_named(folder, row):
    labels(folder, [GOOD[2], row, *GOOD[3:]])
    with pytest.raises(DataError, match="x from 0 to 60, y from 0 to 40") as raised:
        cohort.load(folder)
    places = raised.value.places
    assert places["file"] == folder / "labels.csv" and places["row"] == 3


def test_an_offset_in_some_rows_only_is_named(folder):
    labels(folder, [GOOD[2], GOOD[0] + "-1024", *GOOD[3:]])
    with pytest.raises(DataError, match="a value in every row or in none") as raised:
        cohort.load(folder)
    assert raised.value.places["row"] == 2 and raised.value.places["column"] == "hu_offset"


def test_the_findings_own_name_is_what_is_said(tmp_path):
    for index in range(4):
        image(tmp_path / ("bleed" if index % 2 else "no_bleed") / f"{index}.png", 60 + 9 * index)
    frame, card = cohort.load(tmp_path, finding="bleed")
    said = "\n".join(cohort.finding(frame, card, siblings_table(frame)))
    assert "2 with bleed and 2 without" in said and "“No bleed” means" in said
    assert "tumor" not in said


def test_one_folder_per_class(tmp_path):
    for grey, name in ((80, "Tumor"), (90, "no_tumor")):
        for index in range(6):
            image(tmp_path / name / "deep" / f"{index}.jpg", grey + index)
    (tmp_path / "no_tumor" / "notes.txt").write_text("not an image")
    frame, card = cohort.load(tmp_path)
    assert frame["label"].tolist() == [1] * 6 + [0] * 6
    assert card["refusals"]["sound"] == "patient unknown for 12 of 12 slices"
    image(tmp_path / "unsorted" / "x.jpg")
    with pytest.raises(DataError, match="does not say the label"):
        cohort.load(tmp_path)


def with_others(folder):
    """Forty slices of two classes, and what lies about: two more images, notes, hidden files."""
    for index in range(40):
        image(folder / ("tumor" if index % 2 else "normal") / f"{index}.png", 60 + 4 * index)
    image(folder / "loose.png", 77)
    others = ("tumor/c.dcm", "d.TIF", "notes.txt", "scan.doe_jane", "tumor/._a.png", ".git/x.png")
    for name in others:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize("table", [True, False])
def test_files_that_are_not_read_are_counted_by_kind_without_their_names(tmp_path, table):
    with_others(tmp_path)
    if table:
        rows = [f"{'tumor' if k % 2 else 'normal'}/{k}.png,{k % 2}" for k in range(40)]
        labels(tmp_path, rows, "image,label")
    frame, card = cohort.load(tmp_path)
    kinds = "1 .dcm, 1 .png, 1 .tif, 1 .txt, 1 of another kind"
    assert f"5 file(s) in the folder are not read: {kinds}" in card["doubts"]
    why = "image that the table does not name" if table else "image beside the class folders"
    assert card["left_out"] == {why: 2}
    assert card["passed_over"] == {"hidden or system file": 1, "hidden or system folder": 1}
    said = "\n".join(cohort.finding(frame, card, siblings_table(frame)))
    assert f"Left out: 2 ({why})" in said and "doe_jane" not in said
    assert cohort.left_out_table(card)["files"].tolist() == [40, 2, 1, 1]


def test_more_than_a_tenth_left_out_stops_until_it_is_allowed(tmp_path):
    with_others(tmp_path)
    for index in range(3):
        image(tmp_path / f"loose{index}.png", 33 + index)
    with pytest.raises(DataError, match="5 of 45 images would be left out") as raised:
        cohort.load(tmp_path)
    assert "ALLOW_MISSING: 0.12" in str(raised.value)
    assert len(cohort.load(tmp_path, allow_missing=0.12)[0]) == 40


@pytest.mark.parametrize("table", [True, False])
def test_no_file_name_travels_on(tmp_path, table):
    names = [f"{kind}/Doe_Jane/MRN99-{i}.png" for kind in ("tumor", "normal") for i in range(3)]
    for index, name in enumerate(names):
        image(tmp_path / "in" / name, 60 + 20 * index)
    if table:
        labels(tmp_path / "in", [f"{name},{name[0] == 't':d}" for name in names], "image,label")
    study = Study(str(tmp_path / "data"), "own")
    frame, card = cohort.load(tmp_path / "in")
    frame, card = pixels.bring_in(frame, card, study.cohort_folder / "source")
    pixels.ingest(frame, card["source"], study.pixels, 16, progress=False)
    storage.write_table(frame, study.cohort_table, Cohort)
    study.save_card(card)
    written = [path for path in study.cohort_folder.rglob("*") if path.is_file()]
    assert len(written) == len(names) + 4
    for content in [frame.to_csv().encode(), *(path.read_bytes() for path in written)]:
        assert not [word for word in (b"Doe", b"Jane", b"MRN99") if word in content]
    for slice_id, path in zip(frame["slice_id"], frame["image_path"], strict=True):
        assert path.endswith(f"/{slice_id}.png")  # table and copies count alike


def test_8_and_16_bit_do_not_mix(tmp_path):
    image(tmp_path / "tumor" / "a.png")
    image(tmp_path / "no_tumor" / "b.png", 30000, np.uint16)
    with pytest.raises(DataError, match="mixed"):
        cohort.load(tmp_path)


def test_a_full_offset_makes_hu(folder):
    _frame, card = cohort.load(labels(folder, [f"{row}-1024" for row in GOOD]))
    assert card["hu"] and card["window"] == [50, 400]


def test_the_window_of_16_bit_greys_covers_them(tmp_path):
    for index in range(4):
        image(tmp_path / "tumor" / f"{index}.png", 20000 + 1000 * index, np.uint16)
        image(tmp_path / "no_tumor" / f"{index}.png", 20500 + 1000 * index, np.uint16)
    frame, card = cohort.load(tmp_path)
    copied, card = pixels.bring_in(frame, card, tmp_path / "in")
    values = pixels.read_hu(tmp_path / "in" / copied["image_path"][0])
    shown = windows.window(values, *card["window"])
    assert 0 <= shown.min() < shown.max() <= 1 and shown.std() > 0


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff broken", b"GIF89a" + bytes(50)])
def test_a_broken_or_foreign_image_is_named(tmp_path, content):
    image(tmp_path / "tumor" / "a.jpg")
    broken = tmp_path / "no_tumor" / "b.jpg"
    broken.parent.mkdir()
    broken.write_bytes(content)
    with pytest.raises(DataError, match=r"image|Image") as raised:
        cohort.load(tmp_path)
    assert raised.value.places["file"] == broken


def test_a_jpeg_that_breaks_off_is_named_when_it_is_read(tmp_path):
    image(tmp_path / "tumor" / "a.jpg")
    image(tmp_path / "no_tumor" / "b.jpg", shape=(400, 400))
    broken = tmp_path / "no_tumor" / "b.jpg"
    broken.write_bytes(broken.read_bytes()[:-500])
    with pytest.raises(DataError, match="JPEG cannot be decoded") as raised:
        cohort.load(tmp_path)
    assert raised.value.places["file"] == broken


def test_a_16_bit_image_that_breaks_off_is_named(tmp_path):
    for name in ("tumor/a.png", "no_tumor/b.png"):
        image(tmp_path / name, 30000, np.uint16, (300, 300))
    broken = tmp_path / "tumor" / "a.png"
    broken.write_bytes(broken.read_bytes()[:-9000])
    with pytest.raises(DataError, match="PNG is cut short") as raised:
        cohort.load(tmp_path)
    assert raised.value.places["file"] == broken


@pytest.mark.parametrize("content", ["", "image\na.png\n", "image,label\n", "image,label\na.png\n"])
def test_an_empty_or_short_table(tmp_path, content):
    image(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(DataError):
        cohort.load(tmp_path)


def test_an_empty_folder_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="one folder per class"):
        cohort.load(tmp_path)
    with pytest.raises(DataError, match="Folder of slices not found"):
        cohort.load(tmp_path / "nowhere")


def test_a_slice_of_the_phantom_says_so_wherever_it_is_copied_to(tmp_path):
    """As class folders, as a table's images, in DeepLesion's layout without phantom.json."""
    write_phantom(tmp_path / "phantom", 12, 0, workers=1, progress=False)
    slices = sorted((tmp_path / "phantom" / "Images_png").glob("*/*.png"))
    for number, path in enumerate(slices):
        place = tmp_path / "mine" / ("tumor" if number % 2 else "no_tumor") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    card = cohort.load(tmp_path / "mine")[1]
    assert card["synthetic"] and card["title"].startswith("SYNTHETIC: ")
    write_shared_png(tmp_path / "mine" / "tumor" / "real.png", slice_hu(1))
    card = cohort.load(tmp_path / "mine")[1]
    assert card["synthetic"] and card["title"].startswith("PARTLY SYNTHETIC: ")
    assert "12 of 13 images are synthetic, as their files say" in card["doubts"]
    for name in ("phantom.json", "lesion_truth.csv"):
        (tmp_path / "phantom" / name).unlink()
    assert cohort.load(tmp_path / "phantom", negatives="neighbour")[1]["synthetic"]
