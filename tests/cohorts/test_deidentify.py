"""A folder without identity: a cohort as before, and not one identifier in it."""

import argparse

import numpy as np
import pytest
from identifiers_fixture import SECRETS, plant

from camreader.cohorts import deidentify, dicom_pixels
from camreader.common.errors import DataError

GREY = np.random.default_rng(3).integers(0, 3000, (16, 20)).astype(np.uint16)


def test_a_folder_is_copied_without_identity(tmp_path, capsys):
    for k in range(3):
        plant(tmp_path / "Quillfeather" / f"Zelda{k}", GREY + k)
    plant(tmp_path / "Quillfeather" / "scan", GREY, BurnedInAnnotation="YES")
    (tmp_path / "Quillfeather" / "broken").write_bytes(bytes(128) + b"DICM" + b"x" * 40)
    (tmp_path / "Quillfeather" / "note.txt").write_text("no DICOM")
    options = argparse.Namespace(source=tmp_path / "Quillfeather", folder=tmp_path / "out")
    options.keep = ["sex"]
    assert deidentify.run(options) == 1  # something was withheld, and is named
    said = "".join(capsys.readouterr())
    assert "3 images" in said and "burned into the picture" in said and "no image" in said
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert len(files) == 4  # three images and the report
    for path in files:
        content = (path.read_bytes() + str(path.relative_to(tmp_path)).encode()).lower()
        assert not [s for s in SECRETS if s.lower().encode() in content]
    images = [p for p in files if p.suffix == ".dcm"]
    sums = sorted(int(dicom_pixels.values(p).sum()) for p in images)
    assert sums == [int((GREY + k).astype(int).sum() - 1024 * GREY.size) for k in range(3)]


def test_a_target_inside_the_source_is_refused(tmp_path):
    with pytest.raises(DataError, match="inside the old one"):
        deidentify.deidentify(tmp_path, tmp_path / "out")
