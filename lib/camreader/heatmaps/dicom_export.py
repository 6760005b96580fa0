"""Heat-map overlays for the reading room: DICOM Secondary Capture that any viewer opens.

One file per slice: the original beside its overlay, with a colour bar and two lines that say what
it is. The files are marked as derived, and as synthetic where the slices are; they hold no
identity: patients are running numbers of this export, and no date or name travels on. The numbers
stand behind a mark of the export's own slices, so that an archive never takes the first patient of
one export for the first of another.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from camreader.cohorts import windows
from camreader.common.errors import DataError
from camreader.common.storage import atomic_path

HEAT, OPACITY, THRESHOLD = "inferno", 0.65, 0.1  # colder than the threshold: the slice alone
BAR, BAND = 28, 56  # pixels: width of the colour bar with its margin, height of the lines below
BOX = (86, 180, 233)


def picture(grey, heat, lines, boxes=()):
    """RGB uint8 (H + BAND, 2 W + BAR, 3): slice, slice under its heat-map, colour bar, text.

    `grey` (H, W) in 0..1 is the windowed slice, `heat` (h, w) in 0..1, `boxes` x1, y1, x2, y2 in
    pixels of the slice, `lines` up to three lines of text.
    """
    if grey.ndim != 2 or np.asarray(heat).ndim != 2:
        raise DataError("A slice and a map are 2-D", found=(grey.shape, np.shape(heat)))
    height, width = grey.shape
    plain = np.repeat((255 * np.clip(grey, 0, 1)).round().astype(np.uint8)[..., None], 3, 2)
    blended = _draw_boxes(_blend(plain, heat), boxes)
    bar = np.zeros((height, BAR, 3), np.uint8)
    bar[:, 6:-6] = _colours(np.linspace(1, 0, height))[:, None]
    text = _text(lines, 2 * width + BAR)
    return np.concatenate([np.concatenate([plain, blended, bar], 1), text])


def dataset(rgb, title, place, synthetic, spacing_mm=None, derived=""):
    """pydicom dataset of one Secondary Capture (PS3.3 A.8.1) of `rgb` (H, W, 3) uint8.

    `place` is (patient's number, a text; study UID, series UID, instance number); `title` the
    cohort's; `derived` says how the picture came about; `spacing_mm` the size of a pixel, where
    known.
    """
    patient, study_uid, series_uid, number = place
    uid = generate_uid(entropy_srcs=[series_uid, str(number), str(rgb.tobytes())])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, uid
    data.StudyInstanceUID, data.SeriesInstanceUID = study_uid, series_uid
    for name, value in _facts(patient, title, number, synthetic, derived).items():
        setattr(data, name, value)
    if spacing_mm is not None and np.isfinite(spacing_mm):
        data.PixelSpacing = [f"{spacing_mm:.6g}"] * 2
    _put_pixels(data, rgb)
    return data


def write(data, path):
    """Write a dataset as a DICOM file, whole or not at all."""
    with atomic_path(path) as temporary:
        data.save_as(temporary, enforce_file_format=True)


def export(folder, cases, slices, maps, card, layer):
    """Write the overlays of `cases` into `folder` as DICOM; returns a table of the files.

    `cases` has one row per slice (slice_id, patient_id, label, predicted, probability, boxes,
    spacing_mm), `slices` their windowed greys (H, W) in 0..1, `maps` (h, w) in 0..1, `card` the
    cohort's. A slice without a patient counts as a patient of its own. Files of an earlier export
    into the same folder are replaced.
    """
    folder, rows, written = Path(folder), [], set()
    patients = _patients(cases, slices)
    things = zip(cases.to_dict("records"), slices, maps, patients, strict=True)
    for number, (case, grey, heat, patient) in enumerate(things, start=1):
        lines = captions(case, card, layer)
        study_uid, series_uid = (
            generate_uid(entropy_srcs=[kind, card["title"], card["name"], layer, patient])
            for kind in ("study", "series")
        )
        rgb = picture(grey, heat, lines, case["boxes"])
        place = (patient, study_uid, series_uid, number)
        spacing = case["spacing_mm"] if windows.unit_of(card) == "HU" else None
        path = folder / f"overlay_{number:04d}.dcm"
        data = dataset(rgb, card["title"], place, card["synthetic"], spacing, " ".join(lines))
        write(data, path)
        written.add(path)
        rows.append({"file": path.name, "slice_id": case["slice_id"], "caption": lines[0]})
    for leftover in set(folder.glob("overlay_*.dcm")) - written:
        leftover.unlink()
    return pd.DataFrame(rows, columns=["file", "slice_id", "caption"])


def _patients(cases, slices):
    """A number as text for each case's patient: the same in an equal export, no other's ever."""
    digest = hashlib.sha256()
    for grey in slices:
        digest.update(np.ascontiguousarray(grey).tobytes())
    known = cases["patient_id"].fillna(cases["slice_id"])
    mark = digest.hexdigest()[:8].upper()
    return [f"{mark}-{number:04d}" for number in pd.factorize(known)[0] + 1]


def captions(case, card, layer):
    """The lines under one picture: the answer, what the map is, what it must not be used for."""
    words = {1: "tumor", 0: "no tumor"}
    answer = f"Actual: {words[case['label']]}. Predicted: {words[case['predicted']]}"
    kind = "SYNTHETIC (phantom). " if card["synthetic"] else ""
    return (
        f"{answer} (p = {case['probability']:.2f}). Right: Grad-CAM of that prediction.",
        f"{kind}DERIVED IMAGE, NOT FOR DIAGNOSIS. Layer {layer}; colours: share of the maximum.",
    )


def read(path):
    """RGB uint8 (H, W, 3) of a written overlay, through pydicom's own reader."""
    return pydicom.dcmread(path).pixel_array


def _facts(patient, title, number, synthetic, derived):
    """Attributes that do not depend on the pixels; empty ones are demanded but not known.

    BurnedInAnnotation is NO because it asks for text that tells who the patient is.
    """
    now = datetime.now(UTC)
    name = f"{'PHANTOM' if synthetic else 'ANONYMOUS'}^{patient}"
    empty = ["PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"]
    empty += ["ReferringPhysicianName", "Laterality", "Manufacturer", "PatientOrientation"]
    return dict.fromkeys(empty, "") | {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": name,
        "PatientID": name.replace("^", "-"),
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "Running number of this export; no date, name or UID kept",
        "Modality": "OT",
        "ConversionType": "WSD",
        "ImageType": ["DERIVED", "SECONDARY"],
        "SyntheticData": "YES" if synthetic else "NO",
        "BurnedInAnnotation": "NO",
        "RecognizableVisualFeatures": "NO",
        "StudyID": patient,
        "StudyDescription": title[:64],
        "SeriesDescription": f"Grad-CAM overlay{', SYNTHETIC phantom' if synthetic else ''}",
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "DerivationDescription": derived[:1024],
        "ImageComments": derived[:10240],
        "ContentDate": now.strftime("%Y%m%d"),
        "ContentTime": now.strftime("%H%M%S"),
        "DateOfSecondaryCapture": now.strftime("%Y%m%d"),
        "TimeOfSecondaryCapture": now.strftime("%H%M%S"),
        "SecondaryCaptureDeviceManufacturer": "camreader",
        "SecondaryCaptureDeviceSoftwareVersions": "0.1",
    }


def _put_pixels(data, rgb):
    """The image pixel module of 8-bit RGB."""
    data.Rows, data.Columns, data.SamplesPerPixel = rgb.shape
    data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.LossyImageCompression = "00"
    raw = rgb.astype(np.uint8).tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)  # an even number of bytes, as DICOM demands


def _blend(plain, heat):
    """RGB (H, W, 3) under a map enlarged as everywhere else; opacity grows with the heat."""
    height, width = plain.shape[:2]
    large = cv2.resize(np.asarray(heat, np.float32), (width, height), cv2.INTER_LINEAR)
    alpha = (OPACITY * large * (large >= THRESHOLD))[..., None]
    return (plain * (1 - alpha) + _colours(large) * alpha).round().astype(np.uint8)


def _colours(values):
    return (colormaps[HEAT](np.asarray(values))[..., :3] * 255).round().astype(np.uint8)


def _draw_boxes(rgb, boxes):
    image = Image.fromarray(rgb)
    for x1, y1, x2, y2 in boxes:
        ImageDraw.Draw(image).rectangle((x1, y1, x2, y2), outline=BOX, width=1)
    return np.asarray(image)


def _text(lines, width):
    """A black band (BAND, width, 3) with up to three lines, shrunk until they fit."""
    image = Image.new("RGB", (width, BAND))
    draw = ImageDraw.Draw(image)
    for place, line in enumerate(lines):
        size = 15
        while size > 8 and draw.textlength(line, ImageFont.load_default(size)) > width - 12:
            size -= 1
        draw.text((6, 6 + 24 * place), line, "white", ImageFont.load_default(size))
    return np.asarray(image)
