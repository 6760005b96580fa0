"""DICOM overlays: what a viewer reads back, what they say, and what they keep to themselves."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pydicom
import pytest

from camreader.cohorts import dicom
from camreader.common.errors import DataError
from camreader.heatmaps import dicom_export

CARD = {"title": "Phantom: synthetic CT, 60 slices", "name": "phantom", "synthetic": True}
REAL = {"title": "DeepLesion", "name": "sample", "synthetic": False}
SECRET = "Doe^Jane"


def cases(count=3):
    return pd.DataFrame(
        {
            "slice_id": [f"s{i}" for i in range(count)],
            "patient_id": [SECRET, SECRET, None][:count],
            "truth": [1, 0, 1][:count],
            "predicted": [1, 1, 0][:count],
            "probability": [0.98, 0.6, 0.1][:count],
            "boxes": [[[10, 12, 20, 24]], [], [[1, 2, 3, 4]]][:count],
            "spacing_mm": [0.7, 0.8, np.nan][:count],
        }
    )


def slices(count=3, shape=(65, 81)):
    return [np.full(shape, 0.5)] * count


def heat(count=3):
    maps = np.zeros((count, 8, 8), np.float32)
    maps[:, 4:, 4:] = 1
    return maps


@pytest.fixture
def folder(tmp_path):
    dicom_export.export(tmp_path, cases(), slices(), heat(), CARD, "features.10")
    return tmp_path


def files(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def test_the_picture_comes_back_as_it_was_written(folder):
    lines = dicom_export.captions(cases().iloc[0], CARD, "features.10")
    expected = dicom_export.picture(slices()[0], heat()[0], lines, cases()["boxes"][0])
    found = dicom_export.read(folder / "overlay_0001.dcm")
    np.testing.assert_array_equal(found, expected)
    height, width = slices()[0].shape
    assert found.shape == (
        height + dicom_export.BAND,
        2 * width + dicom_export.BAR,
        3,
    )


def test_left_is_the_slice_and_cold_places_stay_anatomy(folder):
    found = dicom_export.read(folder / "overlay_0002.dcm")
    left, right = found[:65, :81], found[:65, 81:162]
    assert (left == 128).all() and (right[:25, :30] == 128).all()
    assert (np.ptp(right[50:, 60:].astype(int), axis=2) > 50).all()  # coloured where it is hot
    assert (found[65:] > 100).any()  # the lines of text


def test_it_says_what_it_is(folder):
    for data in files(folder):
        assert data.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert data.SOPClassUID.name == "Secondary Capture Image Storage"
        assert list(data.ImageType) == ["DERIVED", "SECONDARY"] and data.ConversionType == "WSD"
        assert data.SyntheticData == "YES" and "SYNTHETIC" in data.SeriesDescription
        assert data.BurnedInAnnotation == "NO" and data.PatientIdentityRemoved == "YES"
        assert "NOT FOR DIAGNOSIS" in data.DerivationDescription
        assert "features.10" in data.DerivationDescription


def test_real_slices_are_not_called_synthetic(tmp_path):
    dicom_export.export(tmp_path, cases(1), slices(1), heat(1), REAL, "features.10")
    data = files(tmp_path)[0]
    assert data.SyntheticData == "NO" and "ynthetic" not in str(data).replace("Synthetic Data", "")


def test_no_identity_travels(folder):
    for path in folder.glob("*.dcm"):
        assert b"Doe" not in path.read_bytes() and b"Jane" not in path.read_bytes()
    data = files(folder)
    start, numbers = zip(*(d.PatientID.rsplit("-", 1) for d in data), strict=True)
    assert numbers == ("0001", "0001", "0002") and re.fullmatch(r"PHANTOM-[0-9A-F]{8}", start[0])
    assert not any(d.PatientBirthDate or d.StudyDate or d.AccessionNumber for d in data)


def test_slices_of_a_patient_share_a_study_and_every_picture_has_its_own_name(folder):
    one, two, three = files(folder)
    assert one.StudyInstanceUID == two.StudyInstanceUID != three.StudyInstanceUID
    assert one.SeriesInstanceUID == two.SeriesInstanceUID != one.StudyInstanceUID
    assert len({d.SOPInstanceUID for d in (one, two, three)}) == 3
    assert [d.InstanceNumber for d in (one, two, three)] == [1, 2, 3]


def names(folder):
    return [{d.PatientID, d.StudyInstanceUID, d.SeriesInstanceUID} for d in files(folder)]


def test_patients_of_two_exports_are_never_taken_for_each_other(folder, tmp_path):
    """The same cohort, other slices: number 1 is somebody else; an equal export is the same."""
    again, other = tmp_path / "again", tmp_path / "other"
    dicom_export.export(again, cases(), slices(), heat(), CARD, "features.10")
    assert names(again) == names(folder)
    rest = cases(2).assign(slice_id=["s7", "s8"], patient_id=[None, None])
    greys = [np.full((65, 81), 0.25), np.full((65, 81), 0.75)]
    dicom_export.export(other, rest, greys, heat(2), CARD, "features.10")
    one, two = names(other)
    assert not one & two  # two slices of unknown patients need not be one patient's
    assert not (one | two) & set().union(*names(folder))


def test_a_second_export_replaces_the_first_and_changed_pictures_get_new_names(folder):
    before = [d.SOPInstanceUID for d in files(folder)]
    table = dicom_export.export(folder, cases(2), slices(2), 1 - heat(2), CARD, "features.10")
    assert [d.file for d in table.itertuples()] == sorted(p.name for p in folder.iterdir())
    assert not {d.SOPInstanceUID for d in files(folder)} & set(before)


def test_a_ruler_measures_right_where_the_pixel_size_is_known(folder):
    one, _two, three = files(folder)
    assert list(one.PixelSpacing) == [0.7, 0.7] and "PixelSpacing" not in three


def test_an_overlay_is_never_taken_for_a_ct_slice(folder):
    with pytest.raises(DataError):
        dicom.header(folder / "overlay_0001.dcm")


def test_maps_and_slices_must_be_pictures():
    with pytest.raises(DataError, match="2-D"):
        dicom_export.picture(np.zeros((2, 4, 4)), np.zeros((4, 4)), [])


def test_long_lines_are_shrunk_until_they_fit():
    rgb = dicom_export.picture(slices()[0], heat()[0], ["a" * 25, "short"])
    assert not rgb[-dicom_export.BAND :, -4:].any()


def test_the_standards_own_checker_finds_nothing_wrong(folder):
    checker = shutil.which("dciodvfy")
    if checker is None:
        pytest.skip("dciodvfy is not installed (Debian: apt install dicom3tools)")
    for path in folder.glob("*.dcm"):
        said = subprocess.run([checker, str(path)], capture_output=True, text=True).stderr
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        # SyntheticData came into the standard in 2023, after this checker's dictionary
        assert [line for line in errors if "(0x0008,0x001c)" not in line] == []


def test_another_toolkit_decodes_it(folder, tmp_path):
    toolkit = shutil.which("dcm2pnm")
    if toolkit is None:
        pytest.skip("dcm2pnm is not installed (Debian: apt install dcmtk)")
    target = tmp_path / "out.ppm"
    subprocess.run([toolkit, str(folder / "overlay_0001.dcm"), str(target)], check=True)
    from PIL import Image

    expected = dicom_export.read(folder / "overlay_0001.dcm")
    np.testing.assert_array_equal(np.asarray(Image.open(target)), expected)
