"""Masks in space, written by highdicom and nibabel, on pictures that lie in many ways."""

import nibabel
import numpy as np
import pytest
from dicom_fixture import dicom, item, write
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from nifti_fixture import CODES, known
from nifti_fixture import write as write_nifti
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from camreader.cohorts import cohort, masks, nifti, pixels, segmentations
from camreader.common.errors import DataError

SIZE = (20, 30)  # rows, columns


def ct_series(folder, count=3, cosines=(1, 0, 0, 0, 1, 0), **changes):
    """Slices of one series as files a0, a1, ..."""
    row, column = np.reshape(cosines, (2, 3))
    normal = np.cross(row, column)
    paths, uids = [], [generate_uid() for _ in range(3)]
    for k in range(count):
        place = [float(n) for n in np.array([-10, -20, 30]) + 5 * k * normal]
        stored = np.random.default_rng(k).integers(0, 2000, SIZE).astype(np.uint16)
        told = dict(zip(("StudyInstanceUID", "SeriesInstanceUID"), uids, strict=False))
        told |= {"FrameOfReferenceUID": uids[2], "ImagePositionPatient": place}
        told |= {"ImageOrientationPatient": list(cosines), "InstanceNumber": k + 1}
        told |= dict.fromkeys(("AccessionNumber", "StudyID", "StudyDate", "StudyTime"), "")
        told |= {"PatientSex": "", "ReferringPhysicianName": ""}
        told |= {"PositionReferenceIndicator": ""}
        paths.append(write(folder / f"a{k}", "CT", stored, **told | changes))
    return paths


def described(number, label):
    return SegmentDescription(
        number, label, codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm,
        SegmentAlgorithmTypeValues.MANUAL,
    )  # fmt: skip


def write_seg(path, images, values, kind=SegmentationTypeValues.BINARY, labels=("tumor", "cyst")):
    """A SEG by highdicom: values (N, H, W) 0 or the segment's number."""
    import pydicom

    if kind == SegmentationTypeValues.FRACTIONAL:
        stack = np.stack([(values == n + 1) * 0.7 for n in range(len(labels))], -1)
    else:
        stack = values.astype(np.uint8)
    segmentation = Segmentation(
        [pydicom.dcmread(image) for image in images],
        stack, kind, [described(n + 1, label) for n, label in enumerate(labels)],
        generate_uid(), 7, generate_uid(), 1, "maker", "model", "1", "serial",
    )  # fmt: skip
    segmentation.save_as(path)
    return path


def marked(seed=0, count=3):
    values = np.zeros((count, *SIZE), int)
    values[1, 3:9, 4:12] = 1
    values[2, 10:15, 20:29] = 2
    values[2, 1, 1] = 1
    return values


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_seg_is_what_highdicom_was_given(tmp_path, kind):
    images, values = ct_series(tmp_path), marked()
    path = write_seg(tmp_path / "seg", images, values, SegmentationTypeValues[kind])
    assert segmentations.kind_of(path) == "SEG" and segmentations.kind_of(images[0]) is None
    for image, wanted in zip(images, values, strict=True):
        assert np.array_equal(segmentations.read(path, image), wanted > 0)
        assert np.array_equal(segmentations.read(path, image, ["Tumor"]), wanted == 1)
        assert np.array_equal(segmentations.read(path, image, [2]), wanted == 2)
        assert not segmentations.read(path, image, ["liver"]).any()


def test_a_seg_lies_where_it_says_not_where_its_pixels_are(tmp_path):
    """A picture of the same scan stored the other way round gets the mask the other way round."""
    images, values = ct_series(tmp_path), marked()
    path = write_seg(tmp_path / "seg", images, values)
    import pydicom

    data = pydicom.dcmread(images[1])
    there = np.array(data.ImagePositionPatient) + 0.7 * np.array([SIZE[1] - 1, SIZE[0] - 1, 0])
    data.ImagePositionPatient = [float(n) for n in there]
    data.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    data.save_as(tmp_path / "turned")
    found = segmentations.read(path, tmp_path / "turned")
    assert np.array_equal(found, values[1][::-1, ::-1] > 0)


def write_rtstruct(path, contours, frame_of_reference, named=()):
    """An RTSTRUCT of structures {name: [points (n, 3) in mm, ...]}."""
    data = dicom("CT", np.zeros((2, 2), np.uint16))
    for name in ("PixelData", "Rows", "Columns", "RescaleSlope", "RescaleIntercept"):
        delattr(data, name)
    data.SOPClassUID, data.Modality = segmentations.RTSTRUCT, "RTSTRUCT"
    data.StructureSetROISequence = Sequence(
        [item(ROINumber=n, ROIName=name) for n, name in enumerate(contours, 1)]
    )
    data.ROIContourSequence = Sequence()
    for number, drawn in enumerate(contours.values(), 1):
        parts = []
        for place, points in enumerate(drawn):
            one = item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(points))
            one.ContourData = [f"{value:.6f}" for value in np.ravel(points)]
            if named:
                one.ContourImageSequence = Sequence([item(ReferencedSOPInstanceUID=named[place])])
            parts.append(one)
        data.ROIContourSequence.append(
            item(ReferencedROINumber=number, ContourSequence=Sequence(parts))
        )
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("cosines", [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (0, 1, 0, 1, 0, 0)])
def test_contours_are_filled_where_they_lie_and_holes_stay_open(tmp_path, cosines):
    images = ct_series(tmp_path, cosines=cosines)
    grid = segmentations.grid_of(images[1])

    def square(x1, y1, x2, y2):
        flat = np.array([[x1, y1, 0, 1], [x2, y1, 0, 1], [x2, y2, 0, 1], [x1, y2, 0, 1]])
        return (grid.affine @ flat.T)[:3].T

    contours = {
        "GTV": [square(3.5, 4.5, 15.5, 12.5), square(6.5, 6.5, 9.5, 8.5)],
        "Heart": [square(20.5, 1.5, 25.5, 3.5)],
    }
    path = write_rtstruct(tmp_path / "rt", contours, "")
    wanted = np.zeros(SIZE, bool)
    wanted[5:13, 4:16] = True
    wanted[7:9, 7:10] = False
    assert np.array_equal(segmentations.read(path, images[1], ["gtv"]), wanted)
    wanted[2:4, 21:26] = True
    assert np.array_equal(segmentations.read(path, images[1]), wanted)
    assert not segmentations.read(path, images[0]).any()


@pytest.mark.parametrize("code", CODES[::5])
def test_a_mask_stored_along_other_axes_marks_the_same_place(tmp_path, code):
    image = write_nifti(tmp_path / "x.nii.gz", "RAS")
    mask = write_nifti(tmp_path / "m.nii.gz", code, (known() >= 1000).astype(np.uint8))
    for plane, number in (("axial", 7), ("axial", 13), ("coronal", 6), ("sagittal", 9)):
        picture = nifti.open_volume(image).slice(plane, number)[0]
        found = segmentations.read(mask, f"{image}#{plane}={number}")
        assert np.array_equal(found, picture >= 1000) and found.any()


def test_a_mask_of_another_scan_is_refused(tmp_path):
    image = write_nifti(tmp_path / "x.nii.gz")
    far = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.diag([1.0, 1, 1, 1]))
    far.affine[:3, 3] = 500
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), far.affine), tmp_path / "m.nii")
    with pytest.raises(DataError, match="does not cross"):
        segmentations.read(tmp_path / "m.nii", f"{image}#axial=7")


def test_structures_are_mapped_to_the_finding_in_a_dicom_folder(tmp_path):
    lines = ["image,label,patient"]
    for patient in range(4):
        folder = tmp_path / f"p{patient}"
        images = ct_series(folder, cosines=(-1, 0, 0, 0, -1, 0))
        write_seg(folder / "seg", images, np.roll(marked(), patient, axis=2))
        lines += [f"p{patient}/a{k},mask,P{patient}" for k in range(3)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    frame, card = cohort.load(tmp_path, structures=["cyst"])
    assert frame["label"].tolist() == [0, 0, 1] * 4 and card["truth_source"] == "masks"
    frame, _card = cohort.load(tmp_path)
    assert frame["label"].tolist() == [0, 1, 1] * 4
    frame, card = cohort.load(tmp_path, structures=["tumor"])
    assert frame["label"].tolist()[:2] == [0, 1]
    copied, _card = pixels.bring_in(frame, card, tmp_path / "out")
    name = copied["image_path"][1].replace("Images_png", "Masks_png")
    mask = masks.read(tmp_path / "out" / name, (30, 30))
    assert np.array_equal(mask[5:25], marked()[1][::-1, ::-1] == 1)  # hung: turned by 180 degrees
    (box,) = masks.boxes(mask)
    assert [round(n) for n in box] == eval(copied["boxes"][1])[0]
