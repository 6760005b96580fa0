"""What an image file is: right grey values whatever the depth, colour and alpha, or a refusal."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from camreader.cohorts import image_files
from camreader.common.errors import DataError

DEEP = (np.arange(40 * 24).reshape(40, 24) * 37 % 65536).astype(np.uint16)
SHALLOW = (DEEP >> 8).astype(np.uint8)
OPAQUE = {np.uint8: 255, np.uint16: 65535}
TURNED = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values, colour, extra=b""):
    """A PNG written by hand (PNG specification, W3C 2003), no decoder's own writer."""
    height, width = values.shape[:2]
    bits = 8 * values.dtype.itemsize
    rows = values.astype(values.dtype.newbyteorder(">")).reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def alike(grey, channels, alpha):
    stack = [grey] * channels + ([np.full_like(grey, OPAQUE[grey.dtype.type])] if alpha else [])
    return np.stack(stack, -1) if len(stack) > 1 else grey


KINDS = {"grey": (1, False, 0), "colour": (3, False, 2), "grey, alpha": (1, True, 4)}
KINDS["colour, alpha"] = (3, True, 6)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("grey", [SHALLOW, DEEP], ids=["8 bit", "16 bit"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_png_of_any_kind_keeps_its_values_and_its_order(tmp_path, kind, grey, turned):
    channels, alpha, colour = KINDS[kind]
    path = tmp_path / "a.png"
    path.write_bytes(png(alike(grey, channels, alpha), colour, chunk(b"eXIf", TURNED) * turned))
    found = image_files.decode(path.read_bytes(), path, exact=True)
    assert found.dtype == grey.dtype and np.array_equal(found, grey)
    head = image_files.header(path)
    assert (head.width, head.height, head.bits) == (24, 40, 8 * grey.dtype.itemsize)
    assert (head.colour, head.alpha, head.turned) == (channels == 3, alpha, turned)


PILLOW = {
    "palette": ("a.png", lambda image: image.convert("P")),
    "one bit": ("a.png", lambda image: image.point(lambda v: 255 * (v > 99)).convert("1")),
    "JPEG": ("a.jpg", lambda image: image),
    "CMYK": ("a.jpg", lambda image: image.convert("CMYK")),
    "BMP": ("a.bmp", lambda image: image),
    "PGM": ("a.pgm", lambda image: image),
    "TIFF": ("a.tif", lambda image: image),
}


@pytest.mark.parametrize("kind", PILLOW)
def test_what_another_program_wrote(tmp_path, kind):
    name, change = PILLOW[kind]
    image = change(Image.fromarray(SHALLOW))
    image.save(tmp_path / name, quality=100)
    wanted = np.asarray(image.convert("L")).astype(int)
    found = image_files.decode((tmp_path / name).read_bytes(), tmp_path / name)
    assert np.abs(found - wanted).max() <= 2 and image_files.header(tmp_path / name).bits == 8


@pytest.mark.parametrize("name", ["a.tif", "a.pgm", "a.png"])
def test_16_bit_stay_16_bit(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), DEEP)
    found = image_files.decode((tmp_path / name).read_bytes(), tmp_path / name)
    assert image_files.header(tmp_path / name).bits == 16 and np.array_equal(found, DEEP)


def test_transparent_pixels_are_background_and_colours_are_luminance(tmp_path):
    clear = np.full_like(SHALLOW, 255)
    clear[:10] = 0
    found = image_files.decode(png(np.stack([SHALLOW, clear], -1), 4), "a.png", exact=True)
    assert not found[:10].any() and np.array_equal(found[10:], SHALLOW[10:])
    red = np.stack([SHALLOW, SHALLOW * 0, SHALLOW * 0], -1)
    found = image_files.decode(png(red, 2), "a.png")
    assert np.array_equal(found, (SHALLOW * np.float32(0.299)).round())
    with pytest.raises(DataError, match="no HU"):
        image_files.decode(png(red, 2), "a.png", exact=True)
    clear[20] = 100
    with pytest.raises(DataError, match="transparent"):
        image_files.decode(png(np.stack([SHALLOW, clear], -1), 4), "a.png", exact=True)


def test_what_would_lose_values_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.tif"), np.stack([DEEP] * 3, -1))
    Image.fromarray(DEEP.astype(np.float32)).save(tmp_path / "float.tif")
    pages = [Image.fromarray(SHALLOW)] * 2
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "a.png", "GIF")
    for name in ("deep.tif", "float.tif", "pages.tif", "a.png"):
        with pytest.raises(DataError, match=r"Image of a kind|Not a readable") as raised:
            image_files.header(tmp_path / name)
        assert raised.value.places["file"] == tmp_path / name


def test_a_header_is_no_decoding(tmp_path):
    """A truncated image has a header; its pixels are refused when they are read."""
    data = png(DEEP, 0)
    (tmp_path / "a.png").write_bytes(data[:-200])
    assert image_files.header(tmp_path / "a.png").bits == 16
    with pytest.raises(DataError, match="cut short"):
        image_files.decode(data[:-200], tmp_path / "a.png")
    buffer = io.BytesIO()
    Image.fromarray(SHALLOW).save(buffer, "JPEG")
    with pytest.raises(DataError, match="JPEG cannot be decoded"):
        image_files.decode(buffer.getvalue()[:-40], "a.jpg")


# Inputs thought up by an adversary of the kinds that public reports named


@pytest.mark.parametrize("largest", [200, 255, 1023, 4095, 65535])
def test_a_pgm_is_read_as_stored_whatever_its_largest_value(largest):
    """Netpbm's PGM: values run from 0 to a largest one that the header names."""
    stored = np.linspace(0, largest, 24 * 20).round().astype(">u2" if largest > 255 else np.uint8)
    data = b"P5\n# made up 9 9 9\n24 20\n%d\n" % largest + stored.tobytes()
    assert np.array_equal(image_files.decode(data, "a.pgm"), stored.reshape(20, 24))


def tiff(values, white_is_zero=0, sample=1):
    """A TIFF of one strip (TIFF 6.0): 262 PhotometricInterpretation, 339 SampleFormat."""
    height, width = values.shape
    body, bits = values.tobytes(), values.dtype.itemsize * 8
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1 - white_is_zero, 273: 8, 277: 1}
    tags |= {278: height, 279: len(body), 339: sample}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = b"II*\0" + struct.pack("<I", 8 + len(body)) + body
    return start + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_a_tiff_whose_values_would_be_turned_or_cut_is_refused(tmp_path):
    stored = np.arange(20 * 24, dtype="<u2").reshape(20, 24) * 8
    (tmp_path / "a.tif").write_bytes(tiff(stored))
    assert image_files.header(tmp_path / "a.tif").bits == 16
    assert np.array_equal(image_files.decode(tiff(stored), "a.tif"), stored)
    for wrong in (tiff(stored, white_is_zero=1), tiff(stored.astype("<i2"), sample=2)):
        (tmp_path / "a.tif").write_bytes(wrong)
        with pytest.raises(DataError, match="kind that is not read"):
            image_files.header(tmp_path / "a.tif")
    grey = (stored // 16).astype(np.uint8)
    turned = image_files.decode(tiff(255 - grey, white_is_zero=1), "a.tif")
    assert np.array_equal(turned, grey)  # of 8 bit the decoder turns them
