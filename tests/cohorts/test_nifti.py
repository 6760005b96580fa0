"""Slices of volumes: right values, right way up, whichever way the voxels are stored."""

import nibabel
import numpy as np
import pytest
import SimpleITK
from nifti_fixture import CODES, SHAPE, known, write

from camreader.cohorts import nifti
from camreader.common.errors import DataError

HUNG = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIR"}  # columns and rows go that way


@pytest.mark.parametrize("code", CODES)
def test_all_48_ways_to_store_a_volume_give_one_picture(tmp_path, code):
    assert len(CODES) == 48
    path = write(tmp_path / "a.nii", code)
    volume = nifti.open_volume(path)
    oriented = SimpleITK.ReadImage(str(path))
    for plane, letters in HUNG.items():
        axis = volume.axis_of(plane)
        number = int(volume.shape[axis]) // 2
        values, affine = volume.slice(plane, number)
        wanted = SimpleITK.DICOMOrient(oriented, letters)
        place = wanted.TransformPhysicalPointToIndex(
            [float(n) for n in (np.diag([-1, -1, 1, 1]) @ affine @ [0, 0, 0, 1])[:3]]
        )
        assert place[:2] == (0, 0)
        assert np.array_equal(values, SimpleITK.GetArrayFromImage(wanted)[place[2]])


def test_left_is_on_the_right_and_front_and_head_are_above(tmp_path):
    volume = nifti.open_volume(write(tmp_path / "a.nii.gz", "LAS"))
    axial = volume.slice("axial", 7)[0]
    rows, columns = np.nonzero(axial == 1000)
    assert columns.max() <= 1 and rows.min() >= 4  # the patient's right: at the left
    assert np.nonzero(axial == 2000)[0].max() <= 1  # front: above
    coronal = volume.slice("coronal", 6)[0]
    assert np.nonzero(coronal == 3000)[0].max() <= 1 and np.nonzero(coronal == 1000)[1].max() <= 1
    sagittal = volume.slice("sagittal", 4)[0]
    assert np.nonzero(sagittal == 3000)[0].max() <= 1
    assert np.nonzero(sagittal == 2000)[1].max() <= 1  # front: left


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_values_are_those_of_simpleitk(tmp_path, kind):
    values = np.random.default_rng(1).integers(0, 250, SHAPE).astype(kind)
    if np.issubdtype(kind, np.floating):
        values += kind(0.37)
    path = write(tmp_path / "a.nii.gz", values=values)
    wanted = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[5][::-1, ::-1]
    assert np.array_equal(nifti.open_volume(path).slice("axial", 5)[0], wanted)


def test_slope_and_intercept(tmp_path):
    path = write(tmp_path / "a.nii", slope=(0.5, -3))
    stored = nibabel.load(path).dataobj.get_unscaled()[:, ::-1, 5].T[:, ::-1]
    assert np.array_equal(nifti.open_volume(path).slice("axial", 5)[0], stored * 0.5 - 3)
    wanted = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[5][::-1, ::-1]
    assert np.array_equal(nifti.open_volume(path).slice("axial", 5)[0], wanted)


def test_the_plane_of_acquisition_is_across_the_longest_side(tmp_path):
    assert nifti.open_volume(write(tmp_path / "a.nii", "ASR", scale=(5, 1, 1))).plane == "sagittal"
    assert nifti.open_volume(write(tmp_path / "b.nii", "PIR", scale=(1, 3, 1))).plane == "coronal"
    assert nifti.open_volume(write(tmp_path / "c.nii")).plane == "axial"


def broken(path, kind):
    values = known()
    if kind == "no sides":
        data = bytearray(write(path).read_bytes())
        data[252:256] = bytes(4)  # qform_code, sform_code
        path.write_bytes(data)
    if kind == "4-D":
        values = np.stack([values, values], -1)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    elif kind == "colour":
        colour = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), path)
    elif kind == "disagree":
        image = nibabel.Nifti1Image(values, np.eye(4))
        image.set_qform(np.diag([-1, 1, 1, 1]), 1)
        image.set_sform(np.eye(4), 1)
        nibabel.save(image, path)
    elif kind == "cut":
        write(path)
        path.write_bytes(path.read_bytes()[:1500])
    return path


@pytest.mark.parametrize("kind", ["no sides", "4-D", "colour", "disagree", "cut"])
def test_what_would_be_read_wrongly_is_refused(tmp_path, kind):
    with pytest.raises(DataError, match="NIfTI cannot be read") as raised:
        nifti.open_volume(broken(tmp_path / "a.nii", kind)).slice("axial", 3)
    assert {"file", "found", "expected"} <= set(raised.value.places)


def test_a_slice_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="0 to 13"):
        nifti.open_volume(write(tmp_path / "a.nii")).slice("axial", 14)


def test_a_packed_volume_is_held_against_its_checksum(tmp_path):
    path = write(tmp_path / "a.nii.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # of the checksum: the voxels themselves are all there
    path.write_bytes(data)
    with pytest.raises(DataError, match="voxels"):
        nifti.open_volume(path).slice("axial", 3)
