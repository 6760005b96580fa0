"""DICOM in: a folder of CT files with labels.csv, or one folder per class.

Only geometry, rescale and pixels are read. Patient, study and series become running numbers; no
name, number or date of a patient leaves this module.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom

from camreader.cohorts import images
from camreader.common.errors import DataError

TAGS = [
    *("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "InstanceNumber", "Modality"),
    *("ImagePositionPatient", "PixelSpacing", "Rows", "Columns", "BurnedInAnnotation"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "SamplesPerPixel", "NumberOfFrames"),
    *("PhotometricInterpretation", "ImageType", "ImageOrientationPatient"),
]
TILT = 30.0  # degrees a gantry tilts at most; a slice that is turned further is not axial
GREY = ("MONOCHROME1", "MONOCHROME2")  # HU are HU in both
NO_DICOM = (*images.IMAGE_SUFFIXES, ".csv", ".txt", ".json", ".md")


def is_dicom(path):
    """True for a file with DICOM's preamble, whatever it is called."""
    if path.name.startswith(".") or path.suffix.lower() in NO_DICOM or not path.is_file():
        return False
    with open(path, "rb") as handle:
        return handle.read(132)[128:] == b"DICM"


def is_dicom_folder(folder):
    """True where a DICOM file (other than a DICOMDIR) lies anywhere in the folder."""
    return any(is_dicom(path) for path in Path(folder).rglob("*") if path.name != "DICOMDIR")


def read(folder):
    """(frame with the cohort's columns before the splits, facts) of a DICOM folder.

    image_path still holds the hospital's file names; `pixels.bring_in` replaces them.
    """
    folder = Path(folder)
    if (folder / "labels.csv").exists():
        rows = images.read_labels(folder)
    else:
        rows = images.class_folders(folder, is_dicom)
    if not rows:
        raise DataError("No labelled DICOM file found", file=folder, expected=images.EXPECTED)
    frame = pd.DataFrame(rows)
    if frame["hu_offset"].notna().any():
        raise DataError(
            "DICOM files carry their own rescale",
            file=folder / "labels.csv",
            column="hu_offset",
            expected="no hu_offset",
        )
    heads = pd.DataFrame([header(folder / path) for path in frame["image_path"]])
    doubts = _patients(frame, heads) + images.unread(folder, frame["image_path"])
    frame = _number(frame.assign(**heads.drop(columns="patient")))
    images.check_boxes(frame, folder / "labels.csv")
    facts = {"kind": "Own CT (DICOM)", "hu": True, "window": [50, 400], "doubts": doubts}
    return images.complete(frame.assign(hu_offset=np.nan)), facts


def header(path):
    """What the cohort needs of one file's header; DataError where it is not a plain CT slice."""
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        found = {name: data.get(name) for name in TAGS}
        spacing = found["PixelSpacing"] or [np.nan]
        place = found["ImagePositionPatient"] or [0, 0, found["InstanceNumber"] or 0]
        values = {
            "patient": str(found["PatientID"] or "").strip(),
            "study_id": str(found["StudyInstanceUID"]),
            "series_id": str(found["SeriesInstanceUID"]),
            "z": float(place[2]),
            "spacing_mm": float(spacing[0]),
            "width": int(found["Columns"]),
            "height": int(found["Rows"]),
        }
    except Exception as error:  # the reader raises many kinds; their words may hold a name
        raise DataError(f"DICOM cannot be read: {type(error).__name__}", file=path) from None
    _plain_ct(found, path)
    return values


def _plain_ct(found, path):
    """DataError for what would be read wrongly: no CT, colour, several frames, no HU, not axial."""
    expectations = {
        "Modality": found["Modality"] == "CT",
        "ImageType": "LOCALIZER" not in (found["ImageType"] or ()),
        "ImageOrientationPatient": _axial(found["ImageOrientationPatient"]),
        "SamplesPerPixel": found["SamplesPerPixel"] == 1,
        "PhotometricInterpretation": found["PhotometricInterpretation"] in GREY,
        "NumberOfFrames": int(found["NumberOfFrames"] or 1) == 1,
        "RescaleSlope": found["RescaleSlope"] is not None,
        "RescaleIntercept": found["RescaleIntercept"] is not None,
        "RescaleType": found["RescaleType"] in (None, "", "HU"),  # PS3.3 C.8.2.1: HU unless said
        "BurnedInAnnotation": found["BurnedInAnnotation"] != "YES",
    }
    for name, good in expectations.items():
        if not good:
            raise DataError(
                "DICOM file is not a plain CT slice",
                file=path,
                column=name,
                found=found[name],
                expected="one grey axial CT frame in HU, no localizer, no burned-in text",
            )


def _axial(orientation):
    """True where rows and columns (6 cosines) lie across the patient, or nothing is said."""
    if not orientation or len(orientation) != 6:
        return not orientation
    along_z = np.cross(*np.reshape(orientation, (2, 3)).astype(float))[2]
    return abs(along_z) > np.cos(np.radians(TILT + 0.5))


def _patients(frame, heads):
    """Running numbers P0001, ... from labels.csv's patients, else the files'; returns doubts."""
    given = frame["patient_id"].where(frame["patient_id"].notna(), heads["patient"])
    if (given == "").any():
        frame["patient_id"] = None
        return [f"patient unknown in {int((given == '').sum())} files: all patients left unknown"]
    frame["patient_id"] = _running(given, "P{:04d}")
    return []


def _running(names, pattern):
    """Names replaced by running numbers in order of appearance."""
    return [pattern.format(number + 1) for number in pd.factorize(pd.Series(names))[0]]


def _number(frame):
    """Ids made of running numbers, slices of a series counted along z."""
    patient = frame["patient_id"].fillna("P0000")
    frame["study_id"] = patient + "_" + pd.Series(_running(frame["study_id"], "{:04d}"))
    series = pd.Series(_running(frame["series_id"], "{:04d}"))
    frame["series_id"] = frame["study_id"] + "_" + series
    frame["slice_index"] = frame.groupby("series_id")["z"].rank(method="first").astype(int)
    frame["slice_id"] = [
        f"{name}_{index:04d}"
        for name, index in zip(frame["series_id"], frame["slice_index"], strict=True)
    ]
    return frame.drop(columns="z")


def read_hu(path):
    """One DICOM slice as int16 HU (H, W): stored value x RescaleSlope + RescaleIntercept.

    Compressed files are decoded by pydicom with GDCM. DataError where a file is broken.
    """
    try:
        data = pydicom.dcmread(path)
        values = data.pixel_array
        slope, intercept = float(data.RescaleSlope), float(data.RescaleIntercept)
    except Exception as error:  # the reader raises many kinds; their words may hold a name
        raise DataError(f"DICOM cannot be read: {type(error).__name__}", file=path) from None
    hu = values.astype(np.float64) * slope + intercept
    return np.clip(np.rint(hu), -32768, 32767).astype(np.int16)
