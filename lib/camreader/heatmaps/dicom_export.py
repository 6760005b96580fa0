"""Heat-map overlays for the reading room: DICOM Secondary Capture that any viewer opens.

One file per slice: the original beside its overlay, with a colour bar and two lines that say what
it is. The files are marked as derived, and as synthetic where the slices are; they hold no
identity: patients are running numbers of this export, and no date or name travels on. The numbers
stand behind a mark of the export's own slices, so that an archive never takes the first patient of
one export for the first of another.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from camreader.common.storage import atomic_path, digest
from camreader.common.style import LESION_BOX
from camreader.heatmaps import overlay

BAR, BAND = 28, 56  # pixels: width of the colour bar with its margin, height of the lines below


def picture(
    grey: np.ndarray, heat: np.ndarray, lines: Sequence[str], boxes: Iterable = ()
) -> np.ndarray:
    """RGB uint8 (H + BAND, 2 W + BAR, 3): slice, slice under its heat-map, colour bar, text.

    `grey` (H, W) in 0..1 is the windowed slice, `heat` (h, w) in 0..1, `boxes` x1, y1, x2, y2 in
    pixels of the slice, `lines` up to three lines of text.
    """
    blended = _draw_boxes(overlay.blend(grey, heat), boxes)
    height, width = grey.shape
    bar = np.zeros((height, BAR, 3), np.uint8)
    bar[:, 6:-6] = overlay.colours(np.linspace(1, 0, height))[:, None]
    text = _text(lines, 2 * width + BAR)
    return np.concatenate([np.concatenate([overlay.plain(grey), blended, bar], 1), text])


def dataset(
    pixels: np.ndarray, card: dict, place: tuple[str, str, str, int], derived: str
) -> FileDataset:
    """pydicom dataset of one Secondary Capture (PS3.3 A.8.1).

    `pixels`: a picture (H, W, 3) uint8, or a slice's stored values (H, W) uint16, of which it does
    not yet say what they mean. `place` is (patient's number, a text; study UID, series UID,
    instance number); `card` the cohort's; `derived` says how the picture came about.
    """
    patient, study_uid, series_uid, number = place
    uid = generate_uid(entropy_srcs=[series_uid, str(number), str(pixels.tobytes())])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, uid
    data.StudyInstanceUID, data.SeriesInstanceUID = study_uid, series_uid
    for name, value in _facts(patient, card["title"], number, card["synthetic"], derived).items():
        setattr(data, name, value)
    kind, bits = ("RGB", 8) if pixels.ndim == 3 else ("MONOCHROME2", 16)
    data.set_pixel_data(pixels, kind, bits_stored=bits, generate_instance_uid=False)
    data.LossyImageCompression = "00"
    return data


def write(data: FileDataset, path: Path) -> None:
    """Write a dataset as a DICOM file, whole or not at all."""
    with atomic_path(path) as temporary:
        data.save_as(temporary, enforce_file_format=True)


def export(
    folder: str | Path,
    cases: pd.DataFrame,
    slices: Sequence[np.ndarray],
    maps: np.ndarray,
    card: dict,
    layer: str,
) -> pd.DataFrame:
    """Write the overlays of `cases` into `folder` as DICOM; returns a table of the files.

    `cases` has one row per slice (slice_id, patient_id, truth, predicted, probability, boxes,
    spacing_mm), `slices` their windowed greys (H, W) in 0..1, `maps` (h, w) in 0..1, `card` the
    cohort's. A slice without a patient counts as a patient of its own. Files of an earlier export
    into the same folder are replaced.
    """
    folder, rows = Path(folder), []
    patients = patient_numbers(cases, slices)
    things = zip(cases.to_dict("records"), slices, maps, patients, strict=True)
    for number, (case, grey, heat, patient) in enumerate(things, start=1):
        lines = captions(case, card, layer)
        study_uid, series_uid = (
            generate_uid(entropy_srcs=[kind, card["title"], card["name"], layer, patient])
            for kind in ("study", "series")
        )
        rgb = picture(grey, heat, lines, case["boxes"])
        place = (patient, study_uid, series_uid, number)
        path = folder / f"overlay_{number:04d}.dcm"
        data = dataset(rgb, card, place, " ".join(lines))
        if np.isfinite(case["spacing_mm"]):
            data.PixelSpacing = [f"{case['spacing_mm']:.6g}"] * 2
        write(data, path)
        rows.append({"file": path.name, "slice_id": case["slice_id"], "caption": lines[0]})
    return listed(folder, rows, ["overlay_*.dcm"])


def listed(folder: Path, rows: list[dict[str, Any]], kinds: Iterable[str]) -> pd.DataFrame:
    """The table of an export's files; those of an earlier one, by their `kinds`, are removed."""
    written = {row["file"] for row in rows}
    for path in {path for kind in kinds for path in folder.glob(kind)}:
        if path.name not in written:
            path.unlink()
    return pd.DataFrame(rows, columns=["file", "slice_id", "caption"])


def patient_numbers(cases: pd.DataFrame, slices: Sequence[np.ndarray]) -> list[str]:
    """A number as text for each case's patient: the same in an equal export, no other's ever."""
    known = cases["patient_id"].fillna(cases["slice_id"])
    mark = digest(*(np.ascontiguousarray(grey).tobytes() for grey in slices))[:8].upper()
    return [f"{mark}-{number:04d}" for number in pd.factorize(known)[0] + 1]


def captions(case: Mapping, card: dict, layer: str) -> tuple[str, str]:
    """The lines under one picture: the answer, what the map is, what it must not be used for."""
    words = {1: "tumor", 0: "no tumor"}
    answer = f"Actual: {words[case['truth']]}. Predicted: {words[case['predicted']]}"
    kind = "SYNTHETIC (phantom). " if card["synthetic"] else ""
    kind += "NETWORK NOT WORTH EXPLAINING. " if card.get("banner") else ""
    return (
        f"{answer} (p = {case['probability']:.2f}). Right: Grad-CAM of that prediction.",
        f"{kind}DERIVED IMAGE, NOT FOR DIAGNOSIS. Layer {layer}; colours: share of the maximum.",
    )


def read(path: str | Path) -> np.ndarray:
    """RGB uint8 (H, W, 3) of a written overlay, through pydicom's own reader."""
    return pydicom.dcmread(path).pixel_array


def _facts(patient: str, title: str, number: int, synthetic: bool, derived: str) -> dict[str, Any]:
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


def _draw_boxes(rgb: np.ndarray, boxes: Iterable) -> np.ndarray:
    image = Image.fromarray(rgb)
    for x1, y1, x2, y2 in boxes:
        ImageDraw.Draw(image).rectangle((x1, y1, x2, y2), outline=LESION_BOX, width=1)
    return np.asarray(image)


def _text(lines: Sequence[str], width: int) -> np.ndarray:
    """A black band (BAND, width, 3) with up to three lines, shrunk until they fit."""
    image = Image.new("RGB", (width, BAND))
    draw = ImageDraw.Draw(image)
    for place, line in enumerate(lines):
        size = 15
        while size > 8 and draw.textlength(line, ImageFont.load_default(size)) > width - 12:
            size -= 1
        draw.text((6, 6 + 24 * place), line, "white", ImageFont.load_default(size))
    return np.asarray(image)
