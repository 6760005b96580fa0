"""Labelled folders: tables and class folders, patients, splits, masks, and what is left out."""

import re
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camreader.cohorts import cohort, images, labelled
from camreader.cohorts.classes import Classes
from camreader.cohorts.folder import Folder, Options
from camreader.common.errors import DataError
from camreader.common.tables import parse_boxes

HEADER = "image,label,patient,region,box,hu_offset"
GOOD = [
    "a.png,1,smith,lung,3 4 20 21; 30 5 40 9,",
    "sub/b.png,no tumor,smith,,,",
    "c.png,0,jones,liver,,",
    "d.png,TUMOUR,miller,,,",
]


def image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).integers(0, 255, (40, 60)).astype(np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, grey)[1].tobytes())


def labels(folder, rows, header=HEADER, name="labels.csv"):
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder


def read(folder, **options):
    return labelled.read(Folder(folder, {"images": images.owns}), Options(**options))


@pytest.fixture
def folder(tmp_path):
    for index, row in enumerate(GOOD):
        image(tmp_path / row.split(",")[0], index)
    return labels(tmp_path, GOOD)


BAD = {
    "label": ("a.png,perhaps,smith,,,", "1 or 0, or tumor / no tumor"),
    "image": ("missing.png,1,smith,,,", "a file inside the folder"),
    "image ": ("../a.png,1,smith,,,", "a file inside the folder"),
    "image  ": ("/etc/passwd,1,smith,,,", "a file inside the folder"),
    "image   ": ("c.png,1,smith,,,", "each image once"),
    "region": ("a.png,1,smith,toe,,", "one of bone"),
    "box": ("a.png,1,smith,,20 4 3 21,", "x1 < x2"),
    "box ": ("a.png,1,smith,,3 4 20,", "4 number"),
    "box    ": ("a.png,0,smith,,3 4 20 21,", "no box where the label is 'no tumor'"),
    "hu_offset": ("a.png,1,smith,,,minus", "1 number"),
    "patient": ("a.png,1,,,,", "a patient in every row or in none"),
}


@pytest.mark.parametrize("column", BAD)
def test_a_bad_cell_is_named(folder, column):
    row, words = BAD[column]
    labels(folder, [GOOD[2], row, *GOOD[3:]])
    with pytest.raises(DataError, match=words) as raised:
        read(folder)
    places = raised.value.places
    assert places["file"] == folder / "labels.csv" and places["column"] == column.strip()
    assert places["row"] == 3


WRITTEN = {  # how the same table is written elsewhere
    "semicolons": lambda text: text.replace(";", " , ").replace(",", ";").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "a BOM, Windows' line ends": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "backslashes": lambda text: text.replace("sub/b", "sub\\b").encode(),
    "another case": lambda text: text.replace("sub/b.png", "SUB/B.PNG").encode(),
    "names near by": lambda text: (
        text.replace("patient", "Patient ID").replace("box", "BBox").encode()
    ),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_the_same_table_written_in_other_ways(tmp_path, how):
    plain = [row.split("; ")[0] + ",," if "; " in row else row for row in GOOD]
    plain[0] = "a.png,1,smith,lung,3 4 20 21,"
    for index, row in enumerate(plain):
        image(tmp_path / row.split(",")[0], index)
    labels(tmp_path, plain)
    wanted = read(tmp_path).rows
    text = "\n".join([HEADER, *plain]) + "\n"
    (tmp_path / "labels.csv").write_bytes(WRITTEN[how](text))
    assert read(tmp_path).rows == wanted


def test_a_name_composed_in_the_table_and_decomposed_on_disk(tmp_path):
    image(tmp_path / "Scha\u0308del.png")
    image(tmp_path / "b.png", 1)
    labels(tmp_path, ["Sch\u00e4del.png,1", "b.png,0"], "image,label")
    assert read(tmp_path).rows[0]["image_path"] == "Scha\u0308del.png"


def test_a_path_from_elsewhere_is_refused_with_the_file_it_may_mean(tmp_path):
    image(tmp_path / "in" / "a.png")
    labels(tmp_path, ["D:\\study\\in\\a.png,1"], "image,label")
    with pytest.raises(DataError, match=r"a file of that name is in/a\.png"):
        read(tmp_path)


def test_columns_that_are_not_read_are_named(folder):
    rows = [f"{row},x,y" for row in GOOD]
    assert read(labels(folder, rows, HEADER + ",grade,reader")).doubts[0] == (
        "columns of labels.csv that are not read: grade, reader"
    )


def test_clinical_text_is_one_line_of_at_most_500_signs(folder):
    """Under its own name only: another column of theirs may tell the finding."""
    given = ["62 years,  cough", "", "é" * 500, ""]
    rows = [f'{row},"{text}"' for row, text in zip(GOOD, given, strict=True)]
    found = read(labels(folder, rows, HEADER + ",clinical_text")).rows
    assert [row["clinical_text"] for row in found] == ["62 years, cough", "", "é" * 500, ""]
    for name in ("history", "indication"):
        unread = read(labels(folder, rows, f"{HEADER},{name}"))
        assert [row["clinical_text"] for row in unread.rows] == [""] * 4 and name in unread.doubts[
            0
        ]
    with pytest.raises(DataError, match="at most 500"):
        read(labels(folder, [f"{GOOD[0]},{'x' * 501}"], HEADER + ",clinical_text"))


def test_the_word_of_a_label_stays_and_the_way_back_to_the_files_is_read_anew(tmp_path):
    rows = ["a.png,normal", "b.png,Cyst", "c.png,tumor", "d.png,tumor"]
    for seed, row in enumerate(rows):
        image(tmp_path / row.split(",")[0], seed)
    labels(tmp_path, rows, "image,label")
    classes = {"tumor": ["tumor"], "no tumor": ["normal", "cyst"]}
    frame, card = cohort.load(tmp_path, classes=classes)
    assert frame["class_name"].tolist() == ["normal", "Cyst", "tumor", "tumor"]
    names = cohort.slice_names(tmp_path, card)
    assert names == {row.split(",")[0]: f"own_{n:06d}" for n, row in enumerate(rows, 1)}
    (tmp_path / "labels.csv").unlink()
    for name, folder in zip("abcd", ("normal", "cyst", "tumor", "tumor"), strict=True):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / f"{name}.png").rename(tmp_path / folder / f"{name}.png")
    frame, _ = cohort.load(tmp_path, classes=classes)
    assert set(frame["class_name"]) == {"normal", "cyst", "tumor"}


def test_the_only_table_with_an_image_and_a_label_is_read_and_named(folder):
    (folder / "labels.csv").rename(folder / "table.csv")
    (folder / "ages.csv").write_text("patient,age\np1,50\n")
    found = read(folder)
    assert found.table == "table.csv" and len(found.rows)
    assert "labels from table.csv, the only table with an image and a label" in found.doubts
    shutil.copy(folder / "table.csv", folder / "again.csv")
    with pytest.raises(DataError, match=r"tables again\.csv, ages\.csv, table\.csv"):
        read(folder)


def test_another_table_and_another_column(folder):
    (folder / "labels.csv").unlink()
    labels(folder, ["a.png,1,benign", "c.png,1,malignant"], "image,code,grade", "mine.csv")
    with pytest.raises(DataError, match="LABELS names the table"):
        read(folder)
    said = {"finding": "cancer", "classes": {"cancer": "malignant", "no cancer": ["benign"]}}
    found = read(folder, labels_file="mine.csv", label_column="grade", **said)
    assert [row["label"] for row in found.rows] == [0, 1]
    with pytest.raises(DataError, match="Table of labels not found"):
        read(folder, labels_file="other.csv")


def test_a_missing_word_is_no_patient(folder):
    rows = [row.replace("smith", "NA") for row in GOOD]
    with pytest.raises(DataError, match="a patient in every row") as raised:
        read(labels(folder, rows))
    assert raised.value.places["row"] == 2


def test_patients_that_differ_in_writing_only_are_doubted(folder):
    rows = [row.replace("smith", "7").replace("jones", "007") for row in GOOD]
    assert "007, 7" in read(labels(folder, rows)).doubts[0]


def test_patients_from_the_files_names_as_running_numbers(tmp_path):
    for index in range(6):
        image(
            tmp_path / f"{('normal', 'tumor')[index % 2]}/Doe{index // 2}_slice{index}.png", index
        )
    found = read(tmp_path, patient_pattern=r"/([A-Za-z]+\d+)_")
    assert [row["patient_id"] for row in found.rows] == ["P0001", "P0002", "P0003"] * 2
    for pattern, words in (
        ("Doe", "needs one group"),
        ("(", "PATIENT_PATTERN"),
        (r"(x\d)", "does not fit"),
    ):
        with pytest.raises(DataError, match=words):
            read(tmp_path, patient_pattern=pattern)


def test_class_folders_at_any_depth_with_a_split_of_their_own(tmp_path):
    seed = 0
    for part in ("Training", "Testing"):
        for name in ("glioma", "meningioma", "notumor", "blurred"):
            for index in range(3):
                image(tmp_path / "Brain" / part / name / "deep" / f"{index}.jpg", seed := seed + 1)
    with pytest.raises(DataError, match="does not say the label") as raised:
        read(tmp_path)
    assert "Training/glioma/deep (3)" in raised.value.places["found"]
    classes = {"tumor": ["glioma", "meningioma"], "no tumor": ["notumor"], "leave out": "blurred"}
    found = read(tmp_path, classes=classes)
    assert len(found.rows) == 18 and sum(row["label"] for row in found.rows) == 12
    assert found.by_wish == 6
    frame, card = cohort.load(tmp_path, classes=classes)
    assert card["own_split"] and card["left_out_by_wish"] == 6
    assert (frame["split_image"] == frame["official_split"]).all()
    tested = frame["image_path"].str.contains("Testing")
    assert (frame["split_image"] == np.where(tested, "test", "train")).all()


def test_a_split_column_is_kept_by_patient_where_it_parts_patients(tmp_path):
    rows = []
    for index in range(40):
        image(tmp_path / f"{index}.png", index)
        part = "test" if index >= 30 else "train"
        rows.append(f"{index}.png,{index % 2},P{index // 2},{part}")
    labels(tmp_path, rows, "image,label,patient,split")
    frame, card = cohort.load(tmp_path)
    assert not card["refusals"] and (frame["split_patient"] == "test").sum() == 10
    assert ((frame["split_patient"] == "test") == (frame["official_split"] == "test")).all()
    assert (frame["split_patient"] == "validation").any()
    rows[39] = rows[39].replace("P19,test", "P1,test")
    frame, card = cohort.load(labels(tmp_path, rows, "image,label,patient,split"))
    assert "1 patients are on both sides" in " ".join(card["doubts"])
    sides = frame.groupby("patient_id")["split_patient"].nunique()
    assert (sides == 1).all()  # the sound protocol stays sound


def test_a_split_for_some_files_only_is_not_used_and_named(tmp_path):
    for index, name in enumerate(("train/tumor/a", "test/normal/b", "tumor/c", "normal/d")):
        image(tmp_path / f"{name}.png", index)
    found = read(tmp_path)
    assert {row["official_split"] for row in found.rows} == {None}
    assert "own split is not used" in found.doubts[0]


def test_folders_that_contradict_each_other_are_refused(tmp_path):
    image(tmp_path / "tumor" / "normal" / "a.png")
    with pytest.raises(DataError, match="different labels"):
        read(tmp_path)


def test_a_patients_number_below_a_class_folder_is_no_label(tmp_path):
    image(tmp_path / "no_tumor" / "1" / "a.png")
    image(tmp_path / "tumor" / "0" / "a.png", 1)
    assert [row["label"] for row in read(tmp_path).rows] == [0, 1]


def masked(path, box):
    mask = np.zeros((40, 60), np.uint8)
    mask[box[1] : box[3] + 1, box[0] : box[2] + 1] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)


def test_masks_beside_images_are_boxes_and_never_slices(tmp_path):
    for index in range(4):
        name = tmp_path / ("malignant" if index % 2 else "normal") / f"case ({index}).png"
        image(name, index)
        masked(
            name.with_name(f"{name.stem}_mask.png"), (5, 6, 20, 30) if index % 2 else (0, 0, -1, -1)
        )
    masked(tmp_path / "malignant" / "case (1)_mask_1.png", (40, 2, 50, 9))
    frame, card = cohort.load(tmp_path, classes={"tumor": "malignant", "no tumor": "normal"})
    assert len(frame) == 4 and card["truth_source"] == "masks"
    boxes = dict(zip(frame["image_path"], map(parse_boxes, frame["boxes"]), strict=True))
    assert boxes["malignant/case (1).png"] == [[5, 6, 20, 30], [40, 2, 50, 9]]
    assert (
        boxes["malignant/case (3).png"] == [[5, 6, 20, 30]] and boxes["normal/case (0).png"] == []
    )
    assert "5 mask(s) are read as truth, not as slices" in card["doubts"]
    masked(tmp_path / "normal" / "case (0)_mask.png", (5, 6, 20, 30))
    with pytest.raises(DataError, match="labelled as without it"):
        cohort.load(tmp_path, classes={"tumor": "malignant", "no tumor": "normal"})


def test_the_public_ultrasound_set_as_it_comes(shared_set):
    """780 images, 647 with a lesion, each of these with a mask (its README)."""
    found = read(shared_set("breast-us"), labels_file="table.csv", finding="lesion")
    assert len(found.rows) == 780 and sum(row["label"] for row in found.rows) == 647
    assert sum(bool(row["masks"]) for row in found.rows) == 647 and not found.left_out


def test_a_mask_named_as_a_slice_is_refused(tmp_path):
    image(tmp_path / "a.png")
    image(tmp_path / "b.png", 1)
    masked(tmp_path / "a_mask.png", (1, 2, 9, 9))
    labels(tmp_path, ["a.png,1", "a_mask.png,1", "b.png,0"], "image,label")
    with pytest.raises(DataError, match="mask of another image") as raised:
        read(tmp_path)
    assert raised.value.places["row"] == 3


@pytest.mark.parametrize("end", ["\n", "\r\n\r\n", ",,,,,\n", "  ,,,,,\n"])
def test_blank_lines_at_the_end_are_no_rows(folder, end):
    with open(folder / "labels.csv", "a", newline="") as handle:
        handle.write(end)
    assert len(read(folder).rows) == len(GOOD)
    with open(folder / "labels.csv", "a") as handle:
        handle.write(GOOD[0] + "\n")  # now one of them stands in the middle
    with pytest.raises(DataError) as raised:
        read(folder)
    assert raised.value.places["row"] == 6


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damage_to_labels_csv_gives_a_data_error_or_the_rows_it_says(folder, data):
    text = "\n".join([HEADER, *GOOD]) + "\n"
    content = bytearray(text.encode())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    (folder / "labels.csv").write_bytes(content)
    try:
        found = read(folder)
    except DataError:
        return
    rows, western = found.rows, any("Windows-1252" in words for words in found.doubts)
    lines = re.split(r"\r\n|\r|\n", content.decode("cp1252" if western else "utf-8-sig"))
    lines = [line for line in lines if line.strip(' ,"\t')][1:]  # blank lines around are no rows
    for row, line in zip(rows, lines, strict=True):
        cells = line.split(",")
        assert row["image_path"] in line and (folder / row["image_path"]).exists()
        assert row["label"] == Classes().label(cells[1].strip('"'))


def test_a_table_saved_in_a_western_code_page_is_read_and_said(folder):
    text = "\n".join([HEADER, *(row.replace("smith", "Müller") for row in GOOD)])
    (folder / "labels.csv").write_bytes(text.encode("cp1252"))
    with pytest.warns(UserWarning, match="Windows-1252"):
        found = read(folder)
    (folder / "labels.csv").write_bytes(text.encode())
    assert found.rows == read(folder).rows
    assert any("Windows-1252" in words and "Müller" in words for words in found.doubts)


# Inputs thought up by an adversary of the kinds that public reports named


def test_a_patients_number_that_a_spreadsheet_shortened_is_refused(folder):
    labels(folder, [row.replace("smith", "1.23457E+17") for row in GOOD])
    with pytest.raises(DataError, match=r"row: 2; column: patient.*whole number"):
        read(folder)


def test_one_patient_in_two_spellings_is_one(folder):
    spelt = [
        row.replace("smith", f"M{u}ller") for row, u in zip(GOOD, ["ü", "u\u0308"] * 2, strict=True)
    ]
    names = [row["patient_id"] for row in read(labels(folder, spelt)).rows]
    assert len(set(names)) == 3 and names[0] == names[1]


def test_an_error_of_a_spreadsheet_is_no_patient(folder):
    labels(folder, [row.replace("smith", "#N/A") for row in GOOD])
    with pytest.raises(DataError, match="Patient is given for some images only"):
        read(folder)


PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=5)
WAYS = ("folder", "linked folder", "linked files", "loop", "copies hidden", "junk beside", "other")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ways=st.lists(st.tuples(PARTS, st.sampled_from(WAYS)), min_size=4, max_size=8))
def test_class_folders_of_any_mixture_give_every_slice_or_say_which_not(tmp_path_factory, ways):
    """Links, loops, hidden copies, thumbnails, another kind beside, any Unicode in the names."""
    base = tmp_path_factory.mktemp("mixture")
    archive, root, expected = base / "archive", base / "in", 0
    for number, (name, way) in enumerate(ways):
        kept = archive / f"{number} {name}".rstrip("~")
        for k in range(2):
            image(kept / f"{k}.png", 10 * number + k)
        place = root / ("tumor" if number % 2 else "no_tumor") / kept.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if way == "linked folder":
            place.symlink_to(kept)
        elif way == "linked files":
            place.mkdir()
            for file in kept.iterdir():
                (place / file.name).symlink_to(file)
        else:
            shutil.copytree(kept, place)
        if way == "loop":
            (place / "up").symlink_to(root)
        if way in ("copies hidden", "junk beside"):
            shutil.copytree(kept, place / (".copies" if way == "copies hidden" else "@eaDir"))
        if way == "other":
            (place / "notes.txt").write_text("x")
        expected += 2
    frame, card = cohort.load(root, allow_missing=0.9)
    assert len(frame) + sum(card["left_out"].values()) == expected == len(frame)
    passed = card["passed_over"]
    assert passed.get("link that leads back to a folder it lies in", 0) == sum(
        way == "loop" for _, way in ways
    )
    assert passed.get("hidden or system folder", 0) == sum(
        way in ("copies hidden", "junk beside") for _, way in ways
    )
