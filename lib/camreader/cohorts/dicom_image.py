"""One DICOM image's header: which kinds are read, and what its elements say of a frame.

CT, MR, CR, DX, MG, US and PT, single and multi-frame. The values of its pixels are read by
`dicom_pixels`. Messages name elements, never a text that could name a person.
"""

import io
import math
import operator
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import BaseTag
from pydicom.uid import UID

from camreader.cohorts import orientation
from camreader.common.errors import DataError

BACKGROUND = -1024  # HU of air; lower values are corners that were not scanned
TILT = 30.0  # degrees a gantry tilts at most; a CT slice that is turned further is not axial
PREFIX = "1.2.840.10008.5.1.4.1.1."
KINDS = {  # modality: the storage classes that are images of it
    "CT": ("2", "2.1", "2.2"),
    "MR": ("4", "4.1", "4.4"),
    "CR": ("1", "1.1", "1.1.1"),
    "DX": ("1.1", "1.1.1", "1"),
    "MG": ("1.2", "1.2.1", "13.1.3", "1"),
    "US": ("6.1", "3.1", "6", "3"),
    "PT": ("128", "130", "128.1"),
}
PLAIN_CT = "one grey axial CT frame in HU, no localizer, no burned-in text"
EXPECTED = f"{PLAIN_CT}; or MR, CR, DX, MG, US or PT"
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR", "YBR_ICT", "YBR_RCT")
_READ = [  # elements that are read with the header, in this order; each by itself
    *("SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "BitsAllocated", "BitsStored"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("BurnedInAnnotation", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"),
    *("PixelAspectRatio", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("SOPInstanceUID", "PixelPaddingValue", "PixelPaddingRangeLimit", "ImagerPixelSpacing"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "Units"),
    "SyntheticData",
]
_WHOSE = ("PatientID", "InstanceUID", "Spacing", "AspectRatio", "PositionPatient", "Data")
SHOWN = [name for name in _READ if not name.endswith(_WHOSE)]  # what a picture's values hang on
_GROUPS = {  # functional group: the elements that a frame has there
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
_SAFE = {
    *("SOPClassUID", "Modality", "PhotometricInterpretation", "RescaleType"),
    "BurnedInAnnotation",
}
_UNITS = {"BQML": "Bq/ml", "GML": "g/ml", "CNTS": "counts", "PROPCPS": "counts/s"}


def dataset(path: str | Path, data: bytes | None = None) -> pydicom.Dataset:
    """The elements of a file (without its pixels where `data` is None), marked as DICOM or not."""
    try:
        if data is None:
            return pydicom.dcmread(path, stop_before_pixels=True, force=True)
        return pydicom.dcmread(io.BytesIO(data), force=True)
    except Exception as error:  # the reader raises many kinds; their words may hold a name
        raise DataError(
            "DICOM cannot be read", file=path, found=type(error).__name__, expected="a whole file"
        ) from None


def element(data: pydicom.Dataset, name: str, path: str | Path) -> Any:
    """One element's value, None where absent or empty; DataError naming the one that is broken."""
    try:
        raw = data.get_item(_tag(name))
        if raw is None:
            return None
        if isinstance(raw, RawDataElement) and raw.VR in _LIKE and len(raw.value or b"") <= 64:
            value = _converted(raw.tag, raw.VR, raw.is_little_endian, raw.value or b"")
        else:
            value = data.get(name)
        return None if value is None or value == "" else value
    except Exception:  # the reader's words may hold a name
        raise wrong(path, name, "unreadable", "a value as DICOM defines it") from None


_LIKE = ("CS", "DS", "IS", "UI", "US")  # what they mean hangs on nothing else in the data set


@lru_cache(256)
def _tag(name: str) -> BaseTag:
    return BaseTag(tag_for_keyword(name) or 0)


@lru_cache(4096)
def _converted(tag: BaseTag, kind: str, little: bool, raw: bytes) -> Any:
    """A value as pydicom converts it, once for all slices of a series: it is most of the work."""
    found = RawDataElement(tag, kind, len(raw), raw, 0, False, little)
    return convert_raw_data_element(found).value


def wrong(path: str | Path, name: str, found: Any, expected: str = EXPECTED) -> DataError:
    """The DataError for an element."""
    return DataError(
        "DICOM image is not one that is read",
        file=path,
        column=name,
        found=found,
        expected=expected,
    )


def numbers(path: str | Path, name: str, value: Any, count: int) -> list[float] | None:
    """`count` finite numbers of an element, None where absent; DataError for anything else."""
    if value is None:
        return None
    several = isinstance(value, list | tuple | pydicom.multival.MultiValue)
    try:
        found = [float(part) for part in (value if several else [value])]
    except (TypeError, ValueError):
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        words = f"{len(found)} numbers" if found and len(found) != count else "no number"
        raise wrong(path, name, words, f"{count} finite number{'s' * (count > 1)}")
    return found


def frames(data: pydicom.Dataset, path: str | Path) -> int:
    """How many frames an image holds; DataError where that is no whole number from 1."""
    count = (numbers(path, "NumberOfFrames", element(data, "NumberOfFrames", path), 1) or [1])[0]
    if count < 1 or count != int(count):
        raise wrong(path, "NumberOfFrames", f"{count:g}", "a whole number from 1")
    return int(count)


def facts(
    data: pydicom.Dataset,
    path: str | Path,
    frame: int | None = None,
    typed: bool = True,
    names: Iterable[str] = _READ,
) -> dict[str, Any]:
    """{element: value} of what is read of a header, a frame's functional groups included.

    frame: counted from 1; needed where an image holds several. typed: whether CT must say HU where
    it names a unit; GDCM writes another when it compresses. names: SHOWN leaves out what says
    whose an image is, and where it lies. DataError where the frame, or one of the elements, is not
    as it should be.
    """
    found = {name: element(data, name, path) for name in names}
    count = frames(data, path)
    if count > 1 and frame is None:
        raise wrong(path, "NumberOfFrames", f"{count:,}", "one frame, or the frame that is meant")
    if frame is not None and not 1 <= frame <= count:
        raise wrong(path, "NumberOfFrames", f"frame {frame:,}", f"a frame from 1 to {count:,}")
    own = element(data, "PerFrameFunctionalGroupsSequence", path)
    shared = element(data, "SharedFunctionalGroupsSequence", path)
    for group, held in _GROUPS.items() if own or shared else ():
        item = _group(own, shared, group, (frame or 1) - 1, path)
        for name in held if item is not None else ():
            value = element(item, name, path)
            found[name] = found.get(name) if value is None else value
    found["frames"], found["frame"] = count, frame
    _check(found if typed else found | {"RescaleType": None}, path)
    return found


def _group(own: Any, shared: Any, name: str, index: int, path: str | Path) -> Any:
    """A frame's own item of a functional group, else the one that all frames share, or None."""
    for holder, place in ((own, index), (shared, 0)):
        if holder and len(holder) > place:
            sequence = element(holder[place], name, path)
            if sequence:
                return sequence[0]
    return None


def _check(found: Mapping[str, Any], path: str | Path) -> None:
    """DataError for what would be read wrongly, by the first element that says so."""
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored"):
        numbers(path, name, found[name], 1)
    slope = numbers(path, "RescaleSlope", found["RescaleSlope"], 1)
    intercept = numbers(path, "RescaleIntercept", found["RescaleIntercept"], 1)
    ct, light = found["Modality"] == "CT", found["PhotometricInterpretation"]
    colour = light in COLOUR and found["Modality"] == "US"
    uid, depths = found["SOPClassUID"], (16, 32) if ct else (8, 16, 32)
    kinds = KINDS.get(str(found["Modality"]), ())
    least = 8 if ct else 0
    expectations = {
        "Modality": bool(kinds),
        "SOPClassUID": uid is None or uid in [PREFIX + kind for kind in kinds],
        "ImageType": "LOCALIZER" not in _parts(found["ImageType"]),
        "ImageOrientationPatient": not ct or _axial(found["ImageOrientationPatient"], path),
        "SamplesPerPixel": found["SamplesPerPixel"] == (3 if colour and light[:3] != "PAL" else 1),
        "PhotometricInterpretation": light in GREY or colour,
        "Rows": (found["Rows"] or 0) > 0,
        "Columns": (found["Columns"] or 0) > 0,
        "BitsAllocated": found["BitsAllocated"] in depths,
        "BitsStored": found["BitsStored"] is not None
        and least < found["BitsStored"] <= (found["BitsAllocated"] or 0),
        "PixelRepresentation": found["PixelRepresentation"] in (0, 1),
        "RescaleSlope": slope[0] > 0 if slope else not ct,
        "RescaleIntercept": intercept is not None or not ct,
        "RescaleType": not ct or found["RescaleType"] in (None, "HU"),  # PS3.3 C.8.2.1
        "BurnedInAnnotation": found["BurnedInAnnotation"] != "YES",
    }
    for name, good in expectations.items():
        if not good:
            value = found[name]
            if name == "SOPClassUID":
                value = f"{UID(str(value)).name} (Modality {found['Modality']})"
            known = name in _SAFE or isinstance(value, int | float)
            raise wrong(path, name, "nothing" if value is None else value if known else "not so")


def _parts(value: Any) -> tuple:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _axial(cosines: Any, path: str | Path) -> bool:
    """True where rows and columns (6 cosines) lie across the patient, or nothing is said."""
    found = numbers(path, "ImageOrientationPatient", cosines, 6) if cosines else None
    if found is None:
        return True
    along_z = found[0] * found[4] - found[1] * found[3]
    return abs(along_z) > math.cos(math.radians(TILT + 0.5))


def cosines_of(found: Mapping[str, Any], path: str | Path) -> list[float] | None:
    """The directions of rows and columns, None where not given; DataError where they are none."""
    value = found["ImageOrientationPatient"]
    cosines = numbers(path, "ImageOrientationPatient", value, 6) if value else None
    if cosines is None:
        return None
    row, column = cosines[:3], cosines[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    if abs(sum(map(operator.mul, row, column))) > 0.01 or any(
        abs(one - 1) > 0.01 for one in lengths
    ):
        raise wrong(path, "ImageOrientationPatient", "not so", "two directions at a right angle")
    return cosines


def turn_of(found: Mapping[str, Any], path: str | Path) -> str:
    """How a picture is turned to hang rightly; "" where the header does not say which way it lies.

    Projections (CR, DX, MG) and ultrasound stay as they were sent.
    """
    cosines = cosines_of(found, path) if found["Modality"] in ("CT", "MR", "PT") else None
    return orientation.turn_of(cosines) if cosines else ""


def unit_of(found: Mapping[str, Any]) -> str:
    """HU, the unit that PET names, or grey."""
    if found["Modality"] == "PT" and found["Units"]:
        return _UNITS.get(str(found["Units"]), "grey")
    return "HU" if found["Modality"] == "CT" else "grey"


def spacing_of(found: Mapping[str, Any], data: pydicom.Dataset, path: str | Path) -> float:
    """Pixel size in mm, NaN where not given; DataError where pixels are not square.

    For projections without PixelSpacing, the size at the detector; for ultrasound, that of its one
    region in cm (PS3.3 C.8.5.5).
    """
    spacing = numbers(path, "PixelSpacing", found["PixelSpacing"], 2)
    spacing = spacing or numbers(path, "ImagerPixelSpacing", found["ImagerPixelSpacing"], 2)
    spacing = spacing or _ultrasound_spacing(data, path) or [np.nan, np.nan]
    aspect = numbers(path, "PixelAspectRatio", found["PixelAspectRatio"], 2) or [1, 1]
    for name, pair in (("PixelSpacing", spacing), ("PixelAspectRatio", aspect)):
        if not np.isnan(pair).any() and (min(pair) <= 0 or max(pair) > 1.01 * min(pair)):
            words = f"{pair[0]:g} x {pair[1]:g}"
            raise wrong(path, name, words, "square pixels of a positive size")
    return spacing[0]


def _ultrasound_spacing(data: pydicom.Dataset, path: str | Path) -> list[float] | None:
    regions = element(data, "SequenceOfUltrasoundRegions", path)
    if not regions or len(regions) != 1:
        return None
    in_cm = all(element(regions[0], f"PhysicalUnits{way}Direction", path) == 3 for way in "XY")
    sizes = [element(regions[0], f"PhysicalDelta{way}", path) for way in "YX"]
    if not in_cm or None in sizes:
        return None
    found = numbers(path, "PhysicalDeltaX", sizes, 2) or []
    return [abs(10 * size) for size in found] if all(found) else None


def windows_of(found: Mapping[str, Any], data: pydicom.Dataset, path: str | Path) -> list[list]:
    """The header's windows as [lower end + upper end over 2, width], in the values that are read.

    DICOM's linear window reaches from centre - width / 2 to centre + width / 2 - 1 (PS3.3
    C.11.2.1.2); its exact one, and a sigmoid, have the ends their numbers say.
    """
    if shaped(found, data, path) or found["PhotometricInterpretation"] not in GREY:
        return []
    centres, widths = (_parts_of(found[name]) for name in ("WindowCenter", "WindowWidth"))
    windows = []
    exact = found["VOILUTFunction"] in ("LINEAR_EXACT", "SIGMOID")
    for centre, width in zip(centres, widths, strict=False):
        try:
            centre, width = float(centre), float(width)
        except (TypeError, ValueError):
            continue
        if not np.isfinite([centre, width]).all() or width < 1:
            continue
        if not exact:
            centre, width = centre - 0.5, max(width - 1, 1.0)
        if inverted(found):
            centre = sum(ends_of(found, data)) - centre
        windows.append([centre, width])
    return windows


def _parts_of(value: Any) -> list:
    several = isinstance(value, list | tuple | pydicom.multival.MultiValue)
    return [] if value is None else list(value) if several else [value]


def inverted(found: Mapping[str, Any]) -> bool:
    """True where dark and bright are turned round: MONOCHROME1 whose values are greys."""
    return found["PhotometricInterpretation"] == "MONOCHROME1" and unit_of(found) == "grey"


def shaped(found: Mapping[str, Any], data: pydicom.Dataset, path: str | Path) -> bool:
    """True where a VOI LUT is the only thing that says how greys are shown."""
    table = element(data, "VOILUTSequence", path)
    return bool(table) and found["WindowCenter"] is None and unit_of(found) == "grey"


def ends_of(found: Mapping[str, Any], data: pydicom.Dataset) -> tuple[float, float]:
    """The least and the largest value that the image's stored bits can mean."""
    table = data.get("ModalityLUTSequence")
    if table:
        return 0.0, float(2 ** int(table[0].LUTDescriptor[2]) - 1)
    bits, signed = int(found["BitsStored"]), int(found["PixelRepresentation"])
    low = -(2 ** (bits - 1)) if signed else 0
    slope, intercept = float(found["RescaleSlope"] or 1), float(found["RescaleIntercept"] or 0)
    return low * slope + intercept, (low + 2**bits - 1) * slope + intercept
