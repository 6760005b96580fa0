"""DICOM in: CT, MR, CR, DX, MG, US and PT with labels.csv, or one folder per class.

Only geometry, look-up tables and pixels are read. Patient, study and series become running numbers;
no name, number or date of a patient leaves this module: messages name elements, never their text
where it could name a person. What one image says, `dicom_image` reads, its values `dicom_pixels`.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from pydicom.uid import UID

from camreader.cohorts import (
    dicom_image,
    dicom_pixels,
    images,
    labelled,
    orientation,
    parts,
    segmentations,
)
from camreader.cohorts.dicom_image import BACKGROUND, dataset, element
from camreader.cohorts.folder import Folder, Options
from camreader.cohorts.steps import named, step_of
from camreader.common.errors import DataError
from camreader.common.machine import cpus

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
LIKE_WINDOWS = 4.0  # a cohort whose windows differ more than so many times is worth a word


def owns(head: bytes, name: str) -> bool:
    """True for a file with DICOM's mark, and for one without that begins as a data set does."""
    return head[128:132] == b"DICM" or _bare(head)


def _spare(found: labelled.Labelled, folder: Folder) -> None:
    """Take what holds no image (DICOMDIR, reports) from the files that a table leaves out."""
    for name in found.unnamed:
        what = _no_image(dataset(folder.path / name), folder.path / name)
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
    names = [str(parts.file_of(row["image_path"])) for row in found.rows]
    kinds = Counter(folder.kinds.get(name, "other") for name in names)
    if len(kinds) > 1:
        odd = min(kinds, key=lambda kind: kinds[kind])
        place = next(k for k, name in enumerate(names) if folder.kinds.get(name, "other") == odd)
        row = found.rows[place]
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
    kept, heads = _headers(folder, found, options)
    if not kept:
        raise DataError("No labelled image found", file=folder.path, expected=dicom_image.EXPECTED)
    frame, headers = pd.DataFrame(kept), pd.DataFrame(heads)
    frame["image_path"] = headers.pop("image_path")
    found.doubts += _patients(frame, headers)
    frame = _number(frame.assign(**headers.drop(columns=["patient", "study", "synthetic"])))
    _referred_masks(frame, folder, found)
    images.add_masks(frame, folder, found, options.structures)
    images.check_boxes(frame, folder.path / (found.table or ""))
    _hang(frame)
    facts = _facts(frame, folder, found) | {"synthetic": int(headers["synthetic"].sum())}
    own = frame.drop(columns=["modality", "unit", "windows", "ends", "whole", "doubt", "plane"])
    return images.complete(own), facts | images.facts_of(found, folder, frame)


def _headers(
    folder: Folder, found: labelled.Labelled, options: Options
) -> tuple[list[dict], list[dict]]:
    """(rows, headers) of the labelled images; what is no image, or skipped, is counted."""
    heads, kept = [], []
    for row in found.rows:
        path = folder.path / row["image_path"]
        with labelled.skipping(found, options):
            data = dataset(parts.file_of(path))
            what = None if found.table else _no_image(data, path)
            if what:
                folder.passed_over[f"DICOM object without an image ({what})"] += 1
                continue
            head = _header(data, path)
            name = row["image_path"]
            if head.pop("middle"):
                name = parts.named(name, "frame", head["frame"])
            if options.skip_unreadable:
                dicom_pixels.values(folder.path / name)
            heads.append(head | {"image_path": name})
            kept.append(row)
    return kept, heads


def _referred_masks(frame: pd.DataFrame, folder: Folder, found: labelled.Labelled) -> None:
    """Give each image without a mask the SEG and RTSTRUCT of the folder that were drawn on it."""
    if frame["masks"].map(len).any():
        return
    drawn: dict[str, list[str]] = {}
    pictures = {str(parts.file_of(path)) for path in frame["image_path"]}
    for name, kind in folder.kinds.items():
        if kind == "DICOM" and name not in pictures and segmentations.kind_of(folder.path / name):
            for uid in segmentations.referred(folder.path / name):
                drawn.setdefault(uid, []).append(name)
    if drawn:
        instances = frame["instance"].str.split(" ").str[0]
        frame["masks"] = pd.Series([drawn.get(uid, []) for uid in instances], frame.index)


def _hang(frame: pd.DataFrame) -> None:
    """Turn sizes and boxes of stored pictures to those of the pictures as they are hung."""
    rows = zip(frame["boxes"], frame["turn"], frame["width"], frame["height"], strict=True)
    frame["boxes"] = pd.Series(
        [orientation.turned_boxes(boxes, turn, (w, h)) for boxes, turn, w, h in rows], frame.index
    )
    across = frame["turn"].str.contains("t")
    width, height = frame["width"].copy(), frame["height"].copy()
    frame["width"], frame["height"] = width.mask(across, height), height.mask(across, width)


def _facts(frame: pd.DataFrame, folder: Folder, found: labelled.Labelled) -> dict:
    """Unit, windows and step of the values, and what is worth a word about them."""
    kinds = frame["modality"].value_counts()
    units = frame["unit"].unique()
    if len(kinds) > 1 and not set(kinds.index) <= {"CR", "DX"}:
        odd = frame[frame["modality"] == kinds.index[-1]].iloc[0]
        raise DataError(
            "Images of several modalities are labelled together: their values differ in meaning",
            file=folder.path / odd["image_path"],
            found=", ".join(f"{count:,} {kind}" for kind, count in kinds.items()),
            expected="one modality; labels.csv can name the files meant",
        )
    if len(units) > 1:
        raise DataError("PET in several units", file=folder.path, found=", ".join(units))
    doubts = Counter(words for group in frame["doubt"] for words in group)
    found.doubts += [f"{count:,} {words}" for words, count in doubts.items()]
    planes = frame["plane"].value_counts()
    if len(planes) > 1:
        found.doubts.append(
            "slices of several planes: " + ", ".join(f"{n:,} {p}" for p, n in planes.items())
        )
    frame["hu_offset"], frame["step"] = np.nan, 1.0
    kind = f"Own {' and '.join(kinds.index)} (DICOM)"
    if units[0] == "HU":
        return {"kind": kind, "hu": True, "window": [50, 400]}
    low, high, whole = _range(frame, folder)
    step = frame["step"] = step_of(low, high, whole)
    shown = _windows(frame, found, (low, high), step)
    return {"kind": kind, "hu": False, "unit": named(units[0], step), "windows": shown} | {
        "window": next(iter(shown.values()))
    }


def _range(frame: pd.DataFrame, folder: Folder) -> tuple[float, float, bool]:
    """(least, largest value, whether all are whole) of the images: of their pixels where bits tell
    too little.
    """
    ends = np.array(frame["ends"].tolist())
    whole = bool(frame["whole"].all())
    if whole and ends.min() >= BACKGROUND and ends.max() <= 255:
        return float(ends.min()), float(ends.max()), whole
    with ThreadPoolExecutor(cpus()) as pool:
        found = list(pool.map(_ends_of, (folder.path / name for name in frame["image_path"])))
    return min(low for low, _ in found), max(high for _, high in found), whole


def _ends_of(path: Path) -> tuple[float, float]:
    values = dicom_pixels.values(path)
    return float(values.min()), float(values.max())


def _windows(
    frame: pd.DataFrame, found: labelled.Labelled, ends: tuple[float, float], step: float
) -> dict[str, list[float]]:
    """{name: [centre, width]}, in steps: the header's windows (medians), then the full range."""
    shown, given = {}, [w for w in frame["windows"] if w]
    for place in range(min(3, min(map(len, given), default=0))):
        centre, width = np.median([windows[place] for windows in given], axis=0) / step
        name = "header" if place == 0 else f"header {place + 1}"
        shown[name] = [round(float(centre), 3), max(round(float(width), 3), 1.0)]
    if given:
        low, high = np.percentile([windows[0][1] for windows in given], [5, 95])
        if high > LIKE_WINDOWS * low:
            found.doubts.append(
                f"the headers' windows differ {high / low:.0f} times in width: the values may mean"
                " different things in different series"
            )
    low, high = ends[0] / step, ends[1] / step
    shown["full range"] = [(low + high) / 2, max(1.0, high - low)]
    return shown


def header(path: str | Path) -> dict:
    """What the cohort needs of one header; DataError where it is not an image that is read."""
    return _header(dataset(parts.file_of(path)), path)


def left_edge(path: str | Path) -> str:
    """The patient's side at the left edge of a picture as it is hung: "R", or "" where it is none.

    DataError where the file is not DICOM or its ImageOrientationPatient cannot be meant.
    """
    file, part = parts.split(path)
    found = dicom_image.facts(dataset(file), path, part[1] if part else None, typed=False)
    cosines = dicom_image.cosines_of(found, path)
    projection = found["Modality"] not in ("CT", "MR", "PT")  # shown as it was sent
    sideways = cosines is None or projection or orientation.across(cosines) == 0
    return "" if sideways else "R"


def _no_image(data: pydicom.Dataset, path: str | Path) -> str | None:
    """What an object without an image is called (its modality or kind), None for an image."""
    meta = getattr(data, "file_meta", None) or {}
    kind = element(data, "SOPClassUID", path) or meta.get("MediaStorageSOPClassUID")
    modality = element(data, "Modality", path)
    if str(kind) in (segmentations.SEG, segmentations.LABELMAP, segmentations.RTSTRUCT):
        return str(modality)
    if any(element(data, name, path) is not None for name in ("Rows", "Columns")):
        return None
    if kind == CT_IMAGE or modality == "CT" or kind is modality is None:
        return None  # an image that lacks something: refused by name
    return str(modality or UID(str(kind)).name)


def _header(data: pydicom.Dataset, path: str | Path) -> dict:
    part = parts.split(path)[1]
    count = dicom_image.frames(data, path)
    frame = part[1] if part else (count + 1) // 2 if count > 1 else None
    found = dicom_image.facts(data, path, frame)
    place = dicom_image.numbers(path, "ImagePositionPatient", found["ImagePositionPatient"], 3)
    cosines = dicom_image.cosines_of(found, path)
    plane = parts.PLANES[orientation.across(cosines)] if cosines else "unknown"
    ends = dicom_image.ends_of(found, data)
    return {
        "patient": str(found["PatientID"] or "").strip(),
        "study": str(found["StudyInstanceUID"] or "").strip(),
        "study_id": str(found["StudyInstanceUID"] or ""),
        "series_id": str(found["SeriesInstanceUID"] or ""),
        "instance": str(found["SOPInstanceUID"] or "") + (f" {frame}" if frame else ""),
        "synthetic": str(found["SyntheticData"] or "").strip() == "YES",
        "z": _place(place, cosines) if place else _counted(data, frame),
        "spacing_mm": dicom_image.spacing_of(found, data, path),
        "width": int(found["Columns"]),
        "height": int(found["Rows"]),
        "turn": dicom_image.turn_of(found, path),
        "plane": plane,
        "frame": frame,
        "middle": count > 1 and part is None,
        "modality": str(found["Modality"]),
        "unit": dicom_image.unit_of(found),
        "windows": dicom_image.windows_of(found, data, path),
        "ends": ends,
        "whole": all(float(found[name] or 0).is_integer() for name in _SCALE),
        "doubt": _doubts(found, data, path, count > 1 and part is None),
    }


_SCALE = ("RescaleSlope", "RescaleIntercept")


def _doubts(found: dict, data: pydicom.Dataset, path: str | Path, middle: bool) -> list[str]:
    """What is worth a word about one image."""
    modality, said = found["Modality"], found["BurnedInAnnotation"]
    told = {
        "images of several frames, of which the middle one is read": middle,
        "images stored in colour, read as grey": found["SamplesPerPixel"] == 3
        or found["PhotometricInterpretation"] == "PALETTE COLOR",
        "images behind a VOI LUT, which is applied": dicom_image.shaped(found, data, path),
        "images whose sigmoid window is shown as a straight one": found["VOILUTFunction"]
        == "SIGMOID",
        "projections whose pixel size is that at the detector": found["PixelSpacing"] is None
        and found["ImagerPixelSpacing"] is not None,
        "ultrasound images that do not say whether text is burned in: look at Figure 3": modality
        == "US"
        and said is None,
    }
    return [words for words, true in told.items() if true]


def _place(place: Sequence[float], cosines: Sequence[float] | None) -> float:
    """Where a slice lies along the axis that it stands across, in mm."""
    return float(place[orientation.across(cosines) if cosines else 2])


def _counted(data: pydicom.Dataset, frame: int | None) -> float:
    """The slice's number in its series, 0 where it cannot be read: only their order is used."""
    try:
        return float(frame or data.InstanceNumber)
    except Exception:
        return 0.0


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
    return frame.drop(columns=["z", "frame"])


def decode(data: bytes | None, path: str | Path, offset: float | None = None) -> np.ndarray:
    """Values (H, W) of one DICOM image's bytes in their own unit, hung rightly: HU for CT.

    data None: `path` names a frame of a file. offset: not used, the image has its own rescale.
    """
    return dicom_pixels.values(path, data)
