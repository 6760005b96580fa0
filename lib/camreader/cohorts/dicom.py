"""DICOM in: CT Image Storage with labels.csv, or one folder per class.

Only geometry, rescale and pixels are read. Patient, study and series become running numbers; no
name, number or date of a patient leaves this module: messages name elements, never their text
where it could name a person.
"""

import io
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from camreader.cohorts import images, labelled
from camreader.cohorts.folder import Folder, Options
from camreader.common.errors import DataError

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
TILT = 30.0  # degrees a gantry tilts at most; a slice that is turned further is not axial
BACKGROUND = images.BACKGROUND
EXPECTED = "one grey axial CT frame in HU, no localizer, no burned-in text"
_READ = [  # elements that are read with the header, in this order; each by itself
    *("SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "BitsAllocated", "BitsStored"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("BurnedInAnnotation", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"),
    *("PixelAspectRatio", "InstanceNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("SOPInstanceUID", "PixelPaddingValue", "PixelPaddingRangeLimit"),
]
_SAFE = {
    "SOPClassUID",
    "Modality",
    "PhotometricInterpretation",
    "RescaleType",
    "BurnedInAnnotation",
}


def owns(head: bytes, name: str) -> bool:
    """True for a file with DICOM's mark, and for one without that begins as a data set does."""
    return head[128:132] == b"DICM" or _bare(head)


def _spare(found: labelled.Labelled, folder: Folder) -> None:
    """Take what holds no image (DICOMDIR, reports) from the files that a table leaves out."""
    for name in found.unnamed:
        what = _no_image(_dataset(folder.path / name), folder.path / name)
        if what:
            folder.passed_over[f"DICOM object without an image ({what})"] += 1
            found.left_out[labelled.NOT_NAMED] -= 1
    found.left_out = +found.left_out


def _bare(head: bytes) -> bool:
    """True where the bytes begin with an element of group 0002 or 0008, as old consoles write."""
    if len(head) < 20 or head[:2] not in (b"\x08\x00", b"\x02\x00") or head[3:4] != b"\0":
        return False
    explicit = head[4:6] in (b"UL", b"CS", b"UI", b"DA", b"TM", b"SH", b"LO", b"OB")
    return explicit or int.from_bytes(head[4:8], "little") <= 256


def recognise(folder: Folder, options: Options) -> bool:
    """True where the labelled files are DICOM; DataError where DICOM and other images are mixed."""
    if "DICOM" not in folder.kinds.values():
        return False
    found = labelled.read(folder, options)
    kinds = Counter(folder.kinds.get(row["image_path"], "other") for row in found.rows)
    if len(kinds) > 1:
        odd = min(kinds, key=lambda kind: kinds[kind])
        row = next(r for r in found.rows if folder.kinds.get(r["image_path"], "other") == odd)
        raise DataError(
            "Files of several kinds are labelled together",
            file=folder.path / row["image_path"],
            row=row["row"],
            found=", ".join(f"{count:,} {kind}" for kind, count in kinds.items()),
            expected="one kind: DICOM or images; labels.csv can name the files meant",
        )
    return set(kinds) == {"DICOM"}


def read(folder: Folder, options: Options) -> tuple[pd.DataFrame, dict]:
    """(frame with the cohort's columns before the splits, facts) of a DICOM folder.

    image_path still holds the hospital's file names; `pixels.bring_in` replaces them. Objects that
    hold no image (DICOMDIR, reports) are left alone where no table names them.
    """
    found = labelled.read(folder, options)
    offsets = [row for row in found.rows if row["hu_offset"] is not None]
    if offsets:
        raise DataError(
            "DICOM files carry their own rescale",
            file=folder.path / str(found.table),
            row=offsets[0]["row"],
            column="hu_offset",
            expected="no hu_offset",
        )
    _spare(found, folder)
    heads, kept = [], []
    for row in found.rows:
        path = folder.path / row["image_path"]
        data = _dataset(path)
        what = None if found.table else _no_image(data, path)
        if what:
            folder.passed_over[f"DICOM object without an image ({what})"] += 1
            continue
        kept.append(row)
        heads.append(_header(data, path))
    if not kept:
        raise DataError("No labelled CT slice found", file=folder.path, expected=EXPECTED)
    frame, headers = pd.DataFrame(kept), pd.DataFrame(heads)
    found.doubts += _patients(frame, headers)
    frame = _number(frame.assign(**headers.drop(columns=["patient", "study"])))
    images.add_masks(frame, folder, found)
    images.check_boxes(frame, folder.path / (found.table or ""))
    facts = {"kind": "Own CT (DICOM)", "hu": True, "window": [50, 400]}
    frame = images.complete(frame.assign(hu_offset=np.nan))
    return frame, facts | images.facts_of(found, folder, frame)


def header(path: str | Path) -> dict:
    """What the cohort needs of one file's header; DataError where it is not a plain CT slice."""
    return _header(_dataset(path), path)


def left_edge(path: str | Path) -> str:
    """The patient's side at the left edge of an axial slice, "R" or "L"; "" where its header does
    not say (ImageOrientationPatient; DataError for other files)."""
    data = _dataset(path)
    orientation = _element(data, "ImageOrientationPatient", path)
    cosines = _numbers(path, "ImageOrientationPatient", orientation, 6) if orientation else None
    if cosines is None or abs(cosines[0]) < np.cos(np.radians(45)):
        return ""
    return "R" if cosines[0] > 0 else "L"  # the patient's x grows to his left


def _dataset(path: str | Path, data: bytes | None = None) -> pydicom.Dataset:
    """The elements of a file (without its pixels where `data` is None), marked as DICOM or not."""
    try:
        if data is None:
            return pydicom.dcmread(path, stop_before_pixels=True, force=True)
        return pydicom.dcmread(io.BytesIO(data), force=True)
    except Exception as error:  # the reader raises many kinds; their words may hold a name
        raise DataError(
            "DICOM cannot be read", file=path, found=type(error).__name__, expected="a whole file"
        ) from None


def _no_image(data: pydicom.Dataset, path: str | Path) -> str | None:
    """What an object without an image is called (its modality or kind), None for an image."""
    meta = getattr(data, "file_meta", None) or {}
    kind = _element(data, "SOPClassUID", path) or meta.get("MediaStorageSOPClassUID")
    modality = _element(data, "Modality", path)
    if any(_element(data, name, path) is not None for name in ("Rows", "Columns")):
        return None
    if kind == CT_IMAGE or modality == "CT" or kind is modality is None:
        return None  # an image that lacks something: refused by name
    return str(modality or UID(str(kind)).name)


def _element(data: pydicom.Dataset, name: str, path: str | Path) -> Any:
    """One element's value, None where absent or empty; DataError naming the one that is broken."""
    try:
        value = data.get(name)
        return None if value is None or value == "" else value
    except Exception:  # the reader's words may hold a name
        raise _wrong(path, name, "unreadable", "a value as DICOM defines it") from None


def _wrong(path: str | Path, name: str, found: Any, expected: str = EXPECTED) -> DataError:
    return DataError(
        "DICOM file is not a plain CT slice", file=path, column=name, found=found, expected=expected
    )


def _numbers(path: str | Path, name: str, value: Any, count: int) -> list[float] | None:
    """`count` finite numbers of an element, None where absent; DataError for anything else."""
    if value is None:
        return None
    several = isinstance(value, list | tuple | pydicom.multival.MultiValue)
    try:
        numbers = [float(part) for part in (value if several else [value])]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        words = f"{len(numbers)} numbers" if numbers and len(numbers) != count else "no number"
        raise _wrong(path, name, words, f"{count} finite number{'s' * (count > 1)}")
    return numbers


def _header(data: pydicom.Dataset, path: str | Path) -> dict:
    found = {name: _element(data, name, path) for name in _READ if name != "InstanceNumber"}
    _plain_ct(found, path)
    spacing = _spacing(found, path)
    place = _numbers(path, "ImagePositionPatient", found["ImagePositionPatient"], 3)
    return {
        "patient": str(found["PatientID"] or "").strip(),
        "study": str(found["StudyInstanceUID"] or "").strip(),
        "study_id": str(found["StudyInstanceUID"] or ""),
        "series_id": str(found["SeriesInstanceUID"] or ""),
        "instance": str(found["SOPInstanceUID"] or ""),
        "z": place[2] if place else _counted(data),
        "spacing_mm": spacing,
        "width": int(found["Columns"]),
        "height": int(found["Rows"]),
    }


def _counted(data: pydicom.Dataset) -> float:
    """The slice's number in its series, 0 where it cannot be read: only their order is used."""
    try:
        return float(data.InstanceNumber)
    except Exception:
        return 0.0


def _spacing(found: dict, path: str | Path) -> float:
    """Pixel size in mm, NaN where not given; DataError where pixels are not square."""
    spacing = _numbers(path, "PixelSpacing", found["PixelSpacing"], 2) or [np.nan, np.nan]
    aspect = _numbers(path, "PixelAspectRatio", found["PixelAspectRatio"], 2) or [1, 1]
    for name, pair in (("PixelSpacing", spacing), ("PixelAspectRatio", aspect)):
        if not np.isnan(pair).any() and (min(pair) <= 0 or max(pair) > 1.01 * min(pair)):
            words = f"{pair[0]:g} x {pair[1]:g}"
            raise _wrong(path, name, words, "square pixels of a positive size")
    return spacing[0]


def _plain_ct(found: dict, path: str | Path) -> None:
    """DataError for what would be read wrongly: no CT, colour, several frames, no HU, not axial."""
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "NumberOfFrames"):
        _numbers(path, name, found[name], 1)
    slope = _numbers(path, "RescaleSlope", found["RescaleSlope"], 1)
    intercept = _numbers(path, "RescaleIntercept", found["RescaleIntercept"], 1)
    expectations = {
        "SOPClassUID": found["SOPClassUID"] in (None, CT_IMAGE),
        "Modality": found["Modality"] == "CT",
        "ImageType": "LOCALIZER" not in _parts(found["ImageType"]),
        "ImageOrientationPatient": _axial(found["ImageOrientationPatient"], path),
        "SamplesPerPixel": found["SamplesPerPixel"] == 1,
        "PhotometricInterpretation": found["PhotometricInterpretation"]
        in ("MONOCHROME1", "MONOCHROME2"),  # HU are HU in both
        "NumberOfFrames": int(found["NumberOfFrames"] or 1) == 1,
        "Rows": (found["Rows"] or 0) > 0,
        "Columns": (found["Columns"] or 0) > 0,
        "BitsAllocated": found["BitsAllocated"] in (16, 32),
        "BitsStored": found["BitsStored"] is not None
        and 8 < found["BitsStored"] <= (found["BitsAllocated"] or 0),
        "PixelRepresentation": found["PixelRepresentation"] in (0, 1),
        "RescaleSlope": slope is not None and slope[0] > 0,
        "RescaleIntercept": intercept is not None,
        "RescaleType": found["RescaleType"] in (None, "HU"),  # PS3.3 C.8.2.1: HU unless said
        "BurnedInAnnotation": found["BurnedInAnnotation"] != "YES",
    }
    for name, good in expectations.items():
        if not good:
            value = found[name]
            if name == "SOPClassUID":
                value = f"{UID(str(value)).name} (Modality {found['Modality']})"
            known = name in _SAFE or isinstance(value, int | float)
            raise _wrong(path, name, "nothing" if value is None else value if known else "not so")


def _parts(value: Any) -> tuple:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _axial(orientation: Any, path: str | Path) -> bool:
    """True where rows and columns (6 cosines) lie across the patient, or nothing is said."""
    cosines = _numbers(path, "ImageOrientationPatient", orientation, 6) if orientation else None
    if cosines is None:
        return True
    along_z = np.cross(*np.reshape(cosines, (2, 3)))[2]
    return bool(abs(along_z) > np.cos(np.radians(TILT + 0.5)))


def _patients(frame: pd.DataFrame, heads: pd.DataFrame) -> list[str]:
    """Running numbers P0001, ... from labels.csv's patients, else the files'; returns doubts.

    A file without a patient's number is of the patient of its study; a study without any is taken
    for one patient of its own.
    """
    if frame["patient_id"].notna().all():
        frame["patient_id"] = _running(frame["patient_id"], "P{:04d}")
        return []
    blank = heads["patient"] == ""
    named = heads[~blank].drop_duplicates("study").set_index("study")["patient"]
    by_study = heads["study"].map(named).fillna("study " + heads["study"])
    given = heads["patient"].mask(blank, by_study)
    lost = blank & (heads["study"] == "")
    if lost.any():
        frame["patient_id"] = None
        return [f"patient unknown in {int(lost.sum())} files: all patients left unknown"]
    frame["patient_id"] = _running(given, "P{:04d}")
    if not blank.any():
        return []
    return [f"{int(blank.sum()):,} files hold no patient's number: each study counts as a patient"]


def _running(names: pd.Series, pattern: str) -> list[str]:
    """Names replaced by running numbers in order of appearance."""
    return [pattern.format(number + 1) for number in pd.factorize(pd.Series(names))[0]]


def _number(frame: pd.DataFrame) -> pd.DataFrame:
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


def decode(data: bytes, path: str | Path, offset: float | None = None) -> np.ndarray:
    """One DICOM slice's bytes as int16 HU (H, W): stored value x RescaleSlope + RescaleIntercept.

    Pixels of the padding value (or range) were not scanned and become air, -1024. Compressed files
    are decoded by pydicom with GDCM. DataError where a file is broken or its HU fit no scanner.
    """
    dataset = _dataset(path, data)
    found = {name: _element(dataset, name, path) for name in _READ if name != "InstanceNumber"}
    _plain_ct(found | {"RescaleType": None}, path)  # the header's own check; GDCM changes it
    values = _stored(dataset, path)
    padding = _padding(values, found, path)
    hu = values.astype(np.float64) * float(found["RescaleSlope"]) + float(found["RescaleIntercept"])
    hu[padding] = BACKGROUND
    hu = np.rint(hu)
    if hu.min() < -32768 or hu.max() > 32767:
        raise _wrong(
            path,
            "RescaleSlope",
            f"values from {hu.min():.0f} to {hu.max():.0f}",
            "HU; is the background marked, by PixelPaddingValue?",
        )
    return np.maximum(hu, BACKGROUND).astype(np.int16)


def _stored(data: pydicom.Dataset, path: str | Path) -> np.ndarray:
    """Stored values (H, W); a file that names no transfer syntax is decoded as it was parsed."""
    meta = getattr(data, "file_meta", None)
    syntax = getattr(meta, "TransferSyntaxUID", None)
    if syntax is None:
        implicit, little = data.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        if meta is None:
            data.file_meta = pydicom.dataset.FileMetaDataset()
        syntax = data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say of lengths is checked below
            values = np.asarray(data.pixel_array)
        size = int(data.Rows) * int(data.Columns) * values.dtype.itemsize
        spare = 0 if UID(str(syntax)).is_encapsulated else len(data.PixelData) - size
    except Exception as error:  # the reader raises many kinds; their words may hold a name
        raise DataError(
            "DICOM pixels cannot be decoded",
            file=path,
            column="PixelData",
            found=f"{type(error).__name__}, transfer syntax {UID(str(syntax)).name}",
            expected="whole pixel data in a transfer syntax that pydicom and GDCM decode",
        ) from None
    if values.shape != (data.Rows, data.Columns) or spare >= data.Columns * values.dtype.itemsize:
        words = f"{len(data.PixelData):,} bytes"
        raise _wrong(path, "PixelData", words, f"{data.Rows} x {data.Columns} values of one frame")
    return values


def _padding(values: np.ndarray, found: dict, path: str | Path) -> np.ndarray:
    """Boolean (H, W): pixels of PixelPaddingValue, or between it and PixelPaddingRangeLimit.

    The value may be written signed or unsigned (PS3.3 C.7.5.1.1.2): it is compared as stored bits.
    """
    value = _numbers(path, "PixelPaddingValue", found["PixelPaddingValue"], 1)
    limit = _numbers(path, "PixelPaddingRangeLimit", found["PixelPaddingRangeLimit"], 1)
    if value is None:
        return np.zeros(values.shape, bool)
    bits = 1 << (8 * values.dtype.itemsize)
    ends = [int(end) % bits for end in (value[0], (limit or value)[0])]
    if np.issubdtype(values.dtype, np.signedinteger):
        ends = [end - bits if end >= bits // 2 else end for end in ends]
    return (values >= min(ends)) & (values <= max(ends))


def read_hu(path: str | Path) -> np.ndarray:
    """One DICOM file as int16 HU (H, W); see `decode`."""
    return decode(Path(path).read_bytes(), path)
