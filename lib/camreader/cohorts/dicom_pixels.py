"""The values of one DICOM image or frame in their own unit, hung as radiologists hang it.

Values are stored values through the modality LUT: HU for CT, the unit that PET names, else greys,
whose meaning is the scanner's. Greys come out bright where the picture is bright: MONOCHROME1 is
turned round, and where a VOI LUT is given and no window, it is applied.
Tested in tests/cohorts/test_dicom_image.py and tests/cohorts/test_dicom.py.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi
from pydicom.pixels import pixel_array as decoded
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian
from pydicom.uid import ImplicitVRLittleEndian as _IMPLICIT

from camreader.cohorts import orientation, parts
from camreader.cohorts.dicom_image import (
    BACKGROUND,
    GREY,
    SHOWN,
    dataset,
    element,
    ends_of,
    facts,
    inverted,
    numbers,
    shaped,
    turn_of,
    unit_of,
    wrong,
)
from camreader.cohorts.image_files import one_channel
from camreader.cohorts.opened import Opened
from camreader.common.errors import DataError

_PIXELS, _OTHER_PIXELS = BaseTag(0x7FE00010), (BaseTag(0x7FE00008), BaseTag(0x7FE00009))


def values(path: str | Path, data: bytes | None = None) -> np.ndarray:
    """Values (H, W) of one image or frame in their own unit, hung as radiologists hang it.

    int16, else int32, where every value is whole and fits, else float64. data: the file's bytes;
    None: the file is read (and, where the path names a frame, kept open for the next one).
    DataError for what is not read.
    """
    file, part = parts.split(path)
    frame = part[1] if part and part[0] == "frame" else None
    whole = _OPEN.get(file) if data is None else dataset(path, data)
    found = facts(whole, path, frame, typed=False, names=SHOWN)
    stored = _as_written(whole, found, frame)
    if stored is None:
        stored = _stored(whole, path, frame)
    if stored.ndim == 3:
        stored = one_channel(stored, path)
    padding = _padding(stored, found, path)
    own = _through_luts(stored, whole, found, path)
    if own.dtype.kind == "f" and not np.isfinite(own if padding is None else own[~padding]).all():
        raise wrong(path, "PixelData", "values that are no numbers", "finite values")
    if padding is not None:
        rest = own[:0] if unit_of(found) == "HU" else own[~padding]
        own[padding] = BACKGROUND if unit_of(found) == "HU" else rest.min() if rest.size else 0
    if unit_of(found) == "HU":
        _not_twice(own, path)
    return orientation.turned(own, turn_of(found, path))


def _not_twice(hu: np.ndarray, path: str | Path) -> None:
    """DataError where HU were stored and an intercept is given beside: then tissue lies at -1000.

    No scan is all lung or thinner and at the same time far below air. Padding is air here.
    """
    if hu.max() < -300 and hu.min() < -1500:
        words = f"values from {hu.min():.0f} to {hu.max():.0f}"
        raise wrong(path, "RescaleIntercept", words, "HU; were they stored as HU already?")


def _through_luts(
    stored: np.ndarray, data: pydicom.Dataset, found: Mapping[str, Any], path: str | Path
) -> np.ndarray:
    """Stored values through the modality LUT, a VOI LUT that stands alone, and MONOCHROME1."""
    own: np.ndarray
    try:
        if element(data, "ModalityLUTSequence", path) and unit_of(found) != "HU":
            own = np.asarray(apply_modality_lut(stored, data)).astype(np.int32)
        else:
            own = rescaled(stored, found)
        ends = ends_of(found, data)
        if shaped(found, data, path):
            own = np.asarray(apply_voi(own, data)).astype(np.int32)
            ends = 0.0, float(2 ** int(data.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    except DataError:
        raise
    except Exception as error:  # a table cut short, or of another length than it says
        raise wrong(path, "LUTData", type(error).__name__, "a look-up table as it says") from None
    if inverted(found):
        own = sum(ends) - own
        own = own.astype(np.int32) if (own == np.rint(own)).all() else own
    return own.astype(np.int16) if own.dtype == np.int32 and _fits(own.min(), own.max()) else own


def _fits(low: float, high: float) -> bool:
    return low >= -(2**15) and high < 2**15


def rescaled(stored: np.ndarray, found: Mapping[str, Any]) -> np.ndarray:
    """Stored value x slope + intercept: int16 or int32 where both are whole and nothing overflows.

    Where the least and the largest value fit 16 bit, all do, and sums that wrap on the way end
    right: so the picture is passed over once.
    """
    slope, intercept = float(found["RescaleSlope"] or 1), float(found["RescaleIntercept"] or 0)
    whole = slope == int(slope) and intercept == int(intercept)
    if whole and stored.dtype.itemsize <= 2 and max(slope, abs(intercept)) < 2**14:
        ends = (int(end) * int(slope) + int(intercept) for end in (stored.min(), stored.max()))
        if not _fits(*ends):
            return stored.astype(np.int32) * int(slope) + int(intercept)
        small = stored.view(np.int16) if stored.itemsize == 2 else stored.astype(np.int16)
        small = small if slope == 1 else small * np.int16(slope)
        return small + np.int16(intercept)
    own: np.ndarray = stored.astype(np.float64) * slope + intercept
    return own.astype(np.int32) if whole and np.abs(own).max(initial=0) < 2**31 else own


def _as_written(
    data: pydicom.Dataset, found: Mapping[str, Any], frame: int | None
) -> np.ndarray | None:
    """Stored values (H, W) of plain 16-bit greys where they lie in the file, None for all else.

    What pydicom would change (bits beyond BitsStored), or complain of, is left to `_stored`; for
    the rest, most of a CT, its many checks cost more than the picture.
    """
    raw = data.get_item(_PIXELS)
    meta = getattr(data, "file_meta", None)
    signed, size = found["PixelRepresentation"] == 1, found["Rows"] * found["Columns"]
    count, bits = found["frames"], found["BitsStored"]
    plain = getattr(meta, "TransferSyntaxUID", None) in (ExplicitVRLittleEndian, _IMPLICIT)
    if (
        not isinstance(getattr(raw, "value", None), bytes)
        or not plain
        or (found["BitsAllocated"], found["SamplesPerPixel"]) != (16, 1)
        or found["PhotometricInterpretation"] not in GREY
        or len(raw.value) != 2 * size * count
        or any(tag in data for tag in _OTHER_PIXELS)
    ):
        return None
    kind = np.dtype("<i2" if signed else "<u2")
    stored = np.frombuffer(raw.value, kind, size, 2 * size * ((frame or 1) - 1))
    low = -(1 << (bits - 1)) if signed else 0
    if stored.min() < low or stored.max() >= low + (1 << bits):
        return None
    return stored.reshape(found["Rows"], found["Columns"])


def _stored(data: pydicom.Dataset, path: str | Path, frame: int | None) -> np.ndarray:
    """Stored values (H, W) or (H, W, 3) of a frame; without a syntax, decoded as parsed."""
    meta = getattr(data, "file_meta", None)
    syntax = getattr(meta, "TransferSyntaxUID", None)
    if syntax is None:
        implicit, little = data.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        if meta is None:
            data.file_meta = pydicom.dataset.FileMetaDataset()
        syntax = data.file_meta.TransferSyntaxUID = _IMPLICIT if implicit else plain
    count = int(data.get("NumberOfFrames") or 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say of lengths is checked below
            found = np.asarray(decoded(data, index=(frame or 1) - 1))
            if data.PhotometricInterpretation == "PALETTE COLOR":
                found = _eight_bit(pydicom.pixels.apply_color_lut(found, data))
        size = int(data.Rows) * int(data.Columns) * int(data.SamplesPerPixel)
        size *= count * int(data.BitsAllocated) // 8
        spare = 0 if UID(str(syntax)).is_encapsulated else len(data.PixelData) - size
    except Exception as error:  # the reader raises many kinds; their words may hold a name
        raise DataError(
            "DICOM pixels cannot be decoded",
            file=path,
            column="PixelData",
            found=f"{type(error).__name__}, transfer syntax {UID(str(syntax)).name}",
            expected="whole pixel data in a transfer syntax that pydicom and GDCM decode",
        ) from None
    line = data.Columns * int(data.BitsAllocated) // 8
    if found.shape[:2] != (data.Rows, data.Columns) or spare >= line:
        words = f"{len(data.PixelData):,} bytes"
        held = "one frame" if count == 1 else f"{count:,} frames"
        raise wrong(path, "PixelData", words, f"{data.Rows} x {data.Columns} values of {held}")
    return found


def _eight_bit(colours: np.ndarray) -> np.ndarray:
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours


def _padding(stored: np.ndarray, found: Mapping[str, Any], path: str | Path) -> np.ndarray | None:
    """Boolean (H, W): pixels of PixelPaddingValue, or between it and PixelPaddingRangeLimit.

    The value may be written signed or unsigned (PS3.3 C.7.5.1.1.2): it is compared as stored bits.
    None where no pixel is.
    """
    value = numbers(path, "PixelPaddingValue", found["PixelPaddingValue"], 1)
    limit = numbers(path, "PixelPaddingRangeLimit", found["PixelPaddingRangeLimit"], 1)
    if value is None or found["PhotometricInterpretation"] not in GREY:
        return None
    bits = 1 << (8 * stored.dtype.itemsize)
    ends = [int(end) % bits for end in (value[0], (limit or value)[0])]
    if np.issubdtype(stored.dtype, np.signedinteger):
        ends = [end - bits if end >= bits // 2 else end for end in ends]
    if max(ends) < stored.min() or min(ends) > stored.max():
        return None
    if min(ends) == max(ends):
        return np.asarray(stored == ends[0])
    return (stored >= min(ends)) & (stored <= max(ends))


# frames are asked for one after the other
_OPEN = Opened("DICOM", lambda file: dataset(file, file.read_bytes()), most=2)
