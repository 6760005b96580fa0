"""A folder of volumes: slices by table or mask; the same data in three formats."""

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
from dicom_fixture import write as write_dicom
from nifti_fixture import known
from nifti_fixture import write as write_nifti
from places import SHARED

from camreader.cohorts import cohort, pixels, volumes
from camreader.common.errors import DataError
from camreader.heatmaps import localisation


def folder_of(place, count=6, mask=True, **changes):
    """Volumes v0, v1, ... with masks of what is bright."""
    place.mkdir(exist_ok=True)
    for k in range(count):
        values = np.roll(known(), k, axis=2)
        values[4:6, 10:, :] = 5 + k
        write_nifti(place / f"v{k}.nii.gz", values=values, **changes)
        if mask:
            write_nifti(place / f"v{k}_seg.nii.gz", "LPI", (values >= 1000).astype(np.uint8))
    return place


def test_labels_come_from_the_mask_on_every_slice(tmp_path):
    folder = folder_of(tmp_path / "in")
    rows = "".join(f"v{k}.nii.gz,mask,\n" for k in range(6))
    (folder / "labels.csv").write_text("image,label,slice\n" + rows)
    frame, card = cohort.load(folder)
    assert len(frame) == 6 * 14 and card["unit"] == "grey" and frame["patient_id"].nunique() == 6
    bright = (np.roll(known(), 2, axis=2) >= 1000) & (known(np.int16) * 0 == 0)
    part = frame[frame["image_path"].str.startswith("v2.")]
    wanted = np.array([volumes.decode(None, folder / p).max() >= 1000 for p in part["image_path"]])
    assert (part["label"] == wanted).all() and bright.any()
    copied, card = pixels.bring_in(frame, card, tmp_path / "out")
    pixels.ingest(copied, card["source"], tmp_path / "p.npy", 12, progress=False)
    masks = localisation.exact_masks(copied, card["source"], 12)
    hu = pixels.load(tmp_path / "p.npy", copied)
    assert np.array_equal(masks.any((1, 2)), copied["label"] == 1)
    assert (hu[masks] >= 1000).mean() > 0.5  # the mask lies on what is bright


def test_slices_are_named_by_the_table_or_chosen(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "labels.csv").write_text(
        "image,label,slice,plane,hu_offset\n"
        "v0.nii.gz,0,0;2-3,axial,0\nv1.nii.gz,1,6,coronal,0\nv2.nii.gz,1,,sagittal,0\n"
    )
    frame, card = cohort.load(folder, allow_missing=0.5)
    assert frame["image_path"].tolist()[:4] == [
        *(f"v0.nii.gz#axial={k}" for k in (0, 2, 3)),
        "v1.nii.gz#coronal=6",
    ]
    assert card["hu"] and "one is read of each" in " ".join(card["doubts"])
    marked = np.roll(known(), 2, axis=2)
    marked[4:6, 10:, :] = 0
    most = (marked >= 1000).sum((1, 2)).argmax()  # the mask is stored the other way round
    assert frame["image_path"][4] == f"v2.nii.gz#sagittal={most}"
    (folder / "labels.csv").write_text("image,label,slice\nv0.nii.gz,1,14\nv1.nii.gz,0,1\n")
    with pytest.raises(DataError, match="0 to 13"):
        cohort.load(folder)
    (folder / "labels.csv").write_text("image,label,plane\nv0.nii.gz,1,oblique\n")
    with pytest.raises(DataError, match="sagittal or coronal or axial"):
        cohort.load(folder)


def test_thick_slices_are_read_in_their_own_plane_only(tmp_path):
    folder = folder_of(tmp_path, mask=False, scale=(1, 1, 4))
    (folder / "labels.csv").write_text(
        "image,label,plane\nv0.nii.gz,1,coronal\nv1.nii.gz,0,coronal\n"
    )
    with pytest.raises(DataError, match="square pixels, such as those of the axial"):
        cohort.load(folder)


def test_a_mask_is_needed_where_it_is_to_tell_the_label(tmp_path):
    folder = folder_of(tmp_path, mask=False)
    (folder / "labels.csv").write_text("image,label\nv0.nii.gz,mask\nv1.nii.gz,mask\n")
    with pytest.raises(DataError, match="there is none"):
        cohort.load(folder)


SAMPLE = SHARED / "deeplesion-sample"


def three_ways(folder):
    """The real sample as DICOM, NIfTI and PNG, each with masks, under one order of slices."""
    truth = pd.read_csv(SAMPLE / "slice_truth.csv").dropna(subset=["has_lesion_full_annotation"])
    tables = {name: ["image,label,patient,mask,hu_offset"] for name in ("png", "nifti")}
    tables["nifti"][0] += ",slice"
    tables["dicom"] = ["image,label,patient,mask"]
    for way in tables:
        (folder / way).mkdir()
    for series, part in truth.groupby("series", sort=False):
        part = part.sort_values("slice")
        stack, marks = [], []
        for place, (row, boxes) in enumerate(
            zip(part.itertuples(), part["boxes_x1y1x2y2"].fillna(""), strict=True)
        ):
            name = f"{series}_{row.slice:03d}"
            stored = cv2.imread(str(SAMPLE / f"Images_png/{series}/{row.slice:03d}.png"), -1)
            mask = np.zeros(stored.shape, np.uint8)
            for box in filter(str.strip, boxes.replace("|", ";").split(";")):
                x1, y1, x2, y2 = (int(float(n)) for n in box.split())
                mask[y1 : y2 + 1, x1 : x2 + 1] = 1
            label, hu = int(row.has_lesion_full_annotation), stored.astype(int) - 32768
            cv2.imwrite(str(folder / f"png/{name}.png"), stored)
            cv2.imwrite(str(folder / f"png/{name}_gt.png"), mask * 255)
            cv2.imwrite(str(folder / f"dicom/{name}_gt.png"), mask * 255)
            tables["png"].append(f"{name}.png,{label},{series},{name}_gt.png,-32768")
            told = {"SeriesInstanceUID": f"1.2.{len(tables['dicom'])}", "PatientID": series}
            told |= {"ImagePositionPatient": [0, 0, -float(place)]}
            write_dicom(folder / f"dicom/{name}", "CT", (hu + 4096).astype(np.uint16),
                        RescaleIntercept=-4096, **told)  # fmt: skip
            tables["dicom"].append(f"{name},{label},{series},{name}_gt.png")
            tables["nifti"].append(f"{series}.nii,{label},{series},{series}_seg.nii,0,{place}")
            stack.append(hu.T[::-1, ::-1].astype(np.int16))
            marks.append(mask.T[::-1, ::-1])
        for end, values in (("", stack), ("_seg", marks)):
            image = nibabel.Nifti1Image(np.stack(values, 2), np.diag([0.7, 0.7, 5, 1]))
            image.set_qform(image.affine, 1)
            nibabel.save(image, folder / f"nifti/{series}{end}.nii")
    for way, lines in tables.items():
        (folder / way / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the real sample is not beside the project")
def test_one_data_set_as_dicom_nifti_and_png_is_one_cohort(tmp_path):
    three_ways(tmp_path)
    found = {}
    for way in ("png", "dicom", "nifti"):
        frame, card = cohort.load(tmp_path / way)
        assert card["hu"] and card["truth_source"] == "masks"
        frame, card = pixels.bring_in(frame, card, tmp_path / "out" / way)
        full = [pixels.read_hu(f"{card['source']}/{name}") for name in frame["image_path"]]
        pixels.ingest(frame, card["source"], tmp_path / f"{way}.npy", 128, progress=False)
        small = pixels.load(tmp_path / f"{way}.npy", frame)
        masks = localisation.exact_masks(frame, card["source"], 128)
        maps = np.clip(np.asarray(small, np.float32), 0, 200) / 200
        found[way] = (frame, np.stack(full), small, masks, localisation.score(maps, masks))
    frame, full, small, masks, scores = found["png"]
    assert len(frame) == 76 and frame["label"].sum() == 49
    first = pixels.read_hu(SAMPLE / "Images_png" / "000001_01_01" / "103.png")
    assert np.array_equal(full[0], first)
    same = ["label", "boxes", "width", "height", "region", "split_image", "split_patient"]
    for other in ("dicom", "nifti"):
        assert frame[same].equals(found[other][0][same]), other
        patients = [pd.factorize(f["patient_id"])[0] for f in (frame, found[other][0])]
        assert np.array_equal(*patients)
        assert np.array_equal(full, found[other][1]) and np.array_equal(small, found[other][2])
        assert np.array_equal(masks, found[other][3])
        pd.testing.assert_frame_equal(scores, found[other][4])
    assert scores["hit"].notna().sum() == 47  # two of the 49 are known without a place
    assert masks.any((1, 2)).sum() == 47 and scores["energy"].sum() > 0
