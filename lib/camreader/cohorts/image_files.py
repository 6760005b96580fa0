"""What an image file is, and its grey values: PNG, JPEG, TIFF, BMP and PGM, told by content.

Bit depth and colour come from the file's own header, for decoders quietly turn 16 bit into 8.
Pixels stay in the order in which they are stored: boxes and masks are drawn on stored pixels, so
an EXIF orientation is reported and not applied.
"""

import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from camreader.common.errors import DataError
from camreader.common.storage import PNG_BEGINS

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".pnm")
_BEGINNINGS = (PNG_BEGINS, b"\xff\xd8\xff", b"II*\0", b"MM\0*")  # BMP and PGM: too short to trust
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "MPO")
EXPECTED = "PNG, JPEG, TIFF, BMP or PGM of 8 or 16 bit"
_MODES = {  # Pillow's modes: bits of a grey value
    **{"1": 8, "L": 8, "P": 8, "RGB": 8, "RGBA": 8, "LA": 8, "PA": 8, "La": 8, "RGBa": 8},
    **{"CMYK": 8, "YCbCr": 8, "RGBX": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16},
}
_GREY, _COLOUR, _PALETTE, _GREY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6  # colour types of PNG


SYNTHETIC = "SYNTHETIC: drawn by camreader, no patient"  # a comment in every slice of the phantom


@dataclass(frozen=True)
class Header:
    """Size, bits of a grey value (8 or 16) and what is special: colour, alpha, orientation.

    synthetic: whether the file says that it shows no patient.
    """

    width: int
    height: int
    bits: int
    colour: bool
    alpha: bool
    turned: bool
    synthetic: bool = False


def is_image(head: bytes, name: str) -> bool:
    """True for a file that begins as an image or is called one; what it is, `header` tells."""
    return head.startswith(_BEGINNINGS) or name.lower().endswith(SUFFIXES)


def header(path: str | Path) -> Header:
    """A file's header; DataError where it is no image or one that is not read."""
    try:
        with Image.open(path) as image:
            kind, (width, height), mode = image.format, image.size, image.mode
            frames = getattr(image, "n_frames", 1)
            turned = _orientation(image) not in (0, 1)
            bits = _bits(path, kind, mode, image)
            synthetic = image.info.get("Comment") == SYNTHETIC
    except FileNotFoundError:
        raise DataError("Image not found", file=path) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"Image is too large: {error}", file=path) from None
    except Exception as error:  # a broken file raises many kinds
        raise DataError(f"Not a readable image: {error}", file=path) from None
    if kind not in FORMATS or bits is None or (frames > 1 and kind != "MPO"):
        raise DataError(
            "Image of a kind that is not read",
            file=path,
            found=f"{kind} {mode}" + (f", {frames} frames" if frames > 1 else ""),
            expected=EXPECTED,
        )
    alpha = mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
    grey = mode in ("1", "L", "LA", "La") or mode.startswith("I;16")
    if kind == "PNG" and bits == 16:
        colour_type = _png_kind(path)[1]
        alpha = alpha or colour_type in (_GREY_ALPHA, _COLOUR_ALPHA)
        grey = colour_type in (_GREY, _GREY_ALPHA)
    return Header(width, height, bits, not grey, alpha, turned, synthetic)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 where it is not given; a PNG's is read without decoding its pixels."""
    exif = Image.Exif()
    if image.format == "PNG":
        exif.load(image.info.get("exif", b""))
    else:
        exif = image.getexif()
    return exif.get(ExifTags.Base.Orientation, 1)


def _bits(path: str | Path, kind: str | None, mode: str, image: Image.Image) -> int | None:
    """Bits of a grey value as stored, None for a kind that is not read."""
    if kind == "PNG":
        return 16 if _png_kind(path)[0] == 16 else 8
    if kind == "TIFF":
        stored = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        if max(stored) == 16 and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
            return None  # white is zero: of 16 bit the decoder leaves it so
        if max(stored) == 16 and mode not in _MODES:
            return None
        if max(stored) == 16 and _MODES[mode] != 16:
            return None  # colour of 16 bit would come as 8
    if kind == "PPM" and mode == "I":
        return 16
    return _MODES.get(mode)


def _png_kind(path: str | Path) -> tuple[int, int]:
    """(bit depth, colour type) as PNG's header says them."""
    with open(path, "rb") as handle:
        head = handle.read(26)
    if len(head) < 26 or head[:8] != PNG_BEGINS:
        raise DataError("Not a PNG", file=path, found=f"{len(head)} bytes", expected="a PNG file")
    return head[24], head[25]


def decode(data: bytes, path: str | Path, exact: bool = False) -> np.ndarray:
    """Grey values (H, W), uint8 or uint16 as stored, of an image file's bytes.

    Colour becomes grey by luminance (ITU-R BT.601), transparent pixels become 0. exact: the values
    mean something (HU), so colours that differ, or half transparent pixels, are a DataError.
    """
    values = decode_png(data, path) if data[:8] == PNG_BEGINS else _with_pillow(data, path)
    return one_channel(values, path, exact)


def decode_png(data: bytes, path: str | Path) -> np.ndarray:
    """A PNG's values (H, W) or (H, W, C) after checking every chunk's checksum.

    The checksums matter: a decoder fills the rest of a damaged image with zeros and says nothing.
    """
    bits, colour = check_png(data, path)
    if colour == _PALETTE or bits < 8:
        return _with_pillow(data, path)
    flag = cv2.IMREAD_UNCHANGED
    if colour == _COLOUR:  # a transparent colour (tRNS) would come as alpha
        flag = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None:
        raise DataError("PNG cannot be decoded", file=path)
    if colour == _GREY_ALPHA and image.ndim == 3 and image.shape[2] == 4:
        image = image[..., [0, 3]]  # the decoder gives grey with alpha as colour with alpha
    elif image.ndim == 3:
        image = image[..., [2, 1, 0, 3][: image.shape[2]]]
    return image


def check_png(data: bytes, path: str | Path) -> tuple[int, int]:
    """(bit depth, colour type) of a PNG whose chunks are all there and undamaged."""
    place, name, head = 8, b"", b""
    view = memoryview(data)
    while name != b"IEND":
        length = int.from_bytes(view[place : place + 4], "big")
        name, end = bytes(view[place + 4 : place + 8]), place + 8 + length
        if len(name) < 4 or end + 4 > len(data):
            raise DataError("PNG is cut short", file=path, found=f"{len(data)} bytes")
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise DataError("PNG is damaged: a checksum is wrong", file=path, found=f"at {place}")
        head = head or bytes(view[place + 8 : end])
        place = end + 4
    if len(head) != 13:
        raise DataError("PNG has no header", file=path)
    return head[8], head[9]


def _with_pillow(data: bytes, path: str | Path) -> np.ndarray:
    """Values of any image that Pillow reads whole, (H, W) or (H, W, C) in RGB(A) order."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image: Image.Image = opened
            mode = image.mode
            if image.format == "PPM" and mode in ("I", "L"):
                return _as_stored(np.asarray(image), data)
            if mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
                return np.asarray(image).astype(np.uint16, copy=False)
            if mode == "P" or "transparency" in image.info:
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            elif mode not in ("L", "LA", "RGB", "RGBA"):
                image = image.convert("L" if mode in ("1", "La") else "RGB")
            return np.asarray(image)
    except Exception as error:  # a broken file raises many kinds
        named = Path(path).suffix.lstrip(".").upper().replace("JPG", "JPEG") or "Image"
        raise DataError(f"{named} cannot be decoded: {error}", file=path) from None


def _as_stored(values: np.ndarray, data: bytes) -> np.ndarray:
    """A PGM's values as stored: Pillow stretches those below a largest value to the full range."""
    words = [word for word in re.findall(rb"#[^\r\n]*|\S+", data[:4096]) if word[:1] != b"#"]
    full = 255 if values.dtype == np.uint8 else 65535
    largest = int(words[3]) if words[0] in (b"P2", b"P5") else full
    if largest != full:
        values = np.rint(values.astype(np.float64) * largest / full)
    return values.astype(np.uint8 if full == 255 else np.uint16)


def one_channel(values: np.ndarray, path: str | Path, exact: bool = False) -> np.ndarray:
    """(H, W) of (H, W, C): transparent pixels 0, equal colours as they are, others by luminance."""
    if values.ndim == 2:
        return values
    channels, top = values.shape[2], np.iinfo(values.dtype).max
    alpha = values[..., -1] if channels in (2, 4) else None
    colours = values[..., : channels - (alpha is not None)]
    grey = colours[..., 0]
    if (colours != grey[..., None]).any():
        if exact:
            raise DataError(
                "A colour image has no HU", file=path, expected="grey values, or no hu_offset"
            )
        mixed = colours.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        grey = mixed.round().astype(values.dtype)
    if alpha is None or (alpha == top).all():
        return np.ascontiguousarray(grey)
    if exact and ((alpha != top) & (alpha != 0)).any():
        raise DataError(
            "Half transparent pixels have no HU", file=path, expected="no alpha channel"
        )
    return (grey.astype(np.float32) * (alpha.astype(np.float32) / top)).round().astype(values.dtype)
