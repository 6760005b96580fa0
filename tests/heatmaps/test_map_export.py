"""Maps as numbers: what other programs read of them, and what the standard's checker says."""

import shutil
import subprocess

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK

from camreader.cohorts import dicom_pixels, segmentations
from camreader.heatmaps import map_export, overlay

SECRET = "Doe^Jane"
CARDS = {
    "HU": {"title": "Phantom", "name": "phantom", "synthetic": True, "window": [50, 400]},
    "grey": {
        "title": "Own MR",
        "name": "mr",
        "synthetic": False,
        "hu": False,
        "window": [900, 1801],
    },
}
IMAGES = [np.random.default_rng(k).integers(-900, 1500, (64, 80)).astype(np.int16) for k in (0, 1)]
MAPS = np.zeros((2, 8, 8), np.float32)
MAPS[0, 4:, 4:] = np.linspace(0, 1, 16).reshape(4, 4)


def cases():
    told = {"slice_id": ["s0", "s1"], "patient_id": [SECRET, SECRET], "spacing_mm": [0.7, np.nan]}
    return pd.DataFrame(told | {"boxes": [[(50, 40, 69, 59)], []]})


@pytest.fixture(params=list(CARDS))
def written(tmp_path, request):
    table = map_export.export(tmp_path, cases(), IMAGES, MAPS, CARDS[request.param], "features.8")
    return tmp_path, table, request.param


def test_every_program_reads_the_same_map(written):
    folder, table, unit = written
    wanted = overlay.enlarged(MAPS[0], (64, 80)).clip(0, 1)
    assert wanted.max() == 1 and (wanted[:20] == 0).all()
    found = pydicom.dcmread(folder / "map_0001_pm.dcm")
    assert np.array_equal(np.squeeze(found.pixel_array), wanted)
    volume = SimpleITK.ReadImage(str(folder / "map_0001.nii.gz"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(volume)[0], wanted)
    assert volume.GetSpacing()[:2] == pytest.approx((0.7, 0.7))
    png = cv2.imread(str(folder / "map_0001.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(png / 65535 - wanted).max() < 1e-5
    itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "map_0001_seg.dcm")))
    assert np.array_equal(np.squeeze(itk) > 0, wanted >= 0.5) and itk.any()
    if unit == "HU":  # and it lies where it says
        mask = segmentations.read(folder / "map_0001_seg.dcm", folder / "slice_0001.dcm")
        assert np.array_equal(mask, wanted >= 0.5)
    assert not (folder / "map_0002_seg.dcm").exists()  # a blank map marks nothing
    assert sorted(table["file"]) == sorted(p.name for p in folder.iterdir())


def test_the_slice_goes_out_with_its_values(written):
    folder, _table, unit = written
    itk = np.squeeze(
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "slice_0001.dcm")))
    )
    assert np.array_equal(itk, IMAGES[0])
    if unit == "HU":
        assert np.array_equal(dicom_pixels.values(folder / "slice_0001.dcm"), IMAGES[0])
    nifti = SimpleITK.ReadImage(str(folder / "slice_0001.nii.gz"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(nifti)[0], IMAGES[0])
    data = pydicom.dcmread(folder / "map_0001_pm.dcm")
    assert data.StudyInstanceUID == pydicom.dcmread(folder / "slice_0001.dcm").StudyInstanceUID
    assert data.SyntheticData == ("YES" if unit == "HU" else "NO")
    for path in folder.iterdir():
        assert SECRET.encode() not in path.read_bytes()


def test_a_presentation_state_outlines_map_and_lesion_on_the_slice(written):
    folder, _table, unit = written
    found = pydicom.dcmread(folder / "map_0001_gsps.dcm")
    slice_ = pydicom.dcmread(folder / "slice_0001.dcm")
    (series,) = found.ReferencedSeriesSequence
    (image,) = series.ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == slice_.SOPInstanceUID
    (window,) = found.SoftcopyVOILUTSequence
    assert [window.WindowCenter, window.WindowWidth] == CARDS[unit]["window"]
    heat, lesion = found.GraphicAnnotationSequence
    assert (heat.GraphicLayer, lesion.GraphicLayer) == ("HEATMAP", "LESION")
    (line,) = lesion.GraphicObjectSequence
    assert line.GraphicData == [50, 40, 70, 40, 70, 60, 50, 60, 50, 40]
    marked = overlay.enlarged(MAPS[0], (64, 80)) >= 0.5
    drawn = np.zeros((64, 80), np.uint8)
    for ring in heat.GraphicObjectSequence:
        corners = np.floor(np.array(ring.GraphicData).reshape(-1, 2)).astype(np.int32)
        assert ring.GraphicType == "POLYLINE" and (corners[0] == corners[-1]).all()
        cv2.fillPoly(drawn, [corners], 1)
    assert np.array_equal(drawn > 0, marked)
    assert not (folder / "map_0002_gsps.dcm").exists()  # neither heat nor lesion


def test_a_second_export_replaces_the_first(written):
    folder, _table, unit = written
    table = map_export.export(folder, cases()[1:], IMAGES[1:], MAPS[1:], CARDS[unit], "features.8")
    assert sorted(table["file"]) == sorted(p.name for p in folder.iterdir())


def test_the_standards_own_checkers_find_nothing_wrong(written):
    folder, _table, unit = written
    if shutil.which("dciodvfy") is None or shutil.which("dcmdump") is None:
        pytest.skip("dciodvfy, dcmdump are not installed (Debian: apt install dicom3tools dcmtk)")
    for path in sorted(folder.glob("*.dcm")):
        subprocess.run(["dcmdump", "-q", path], check=True, capture_output=True)
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True).stderr
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        errors = [line for line in errors if "(0x0008,0x001c)" not in line]  # younger than it
        assert not errors, (path.name, unit, errors)
