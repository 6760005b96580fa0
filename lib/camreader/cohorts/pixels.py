"""Slices on disk -> HU -> one memory-mapped array; windows.

HU below -1024 (the unscanned corners, -2048 or -3024 on some series) are set to -1024.
"""

import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from camreader.cohorts import dicom, images
from camreader.cohorts.ingestion import Progress, check_rows, fingerprint, table_digest
from camreader.common.errors import DataError
from camreader.common.storage import PNG_BEGINS, atomic_path, png_is_whole

BACKGROUND = -1024
SHIFT = 32768  # DeepLesion stores HU + 32768 as unsigned 16 bit
BATCH = 32  # slices per task: large enough to cost nothing, small enough to lose nothing


def load(path, cohort):
    """The ingested slices of a cohort's table as a read-only memory map, int16 HU (N, S, S).

    DataError where they cannot be read, or are those of another table.
    """
    try:
        hu = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise DataError("Pixels not found; `make report` writes them", file=path) from None
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"Pixels cannot be read: {error}", file=path) from None
    check_rows(path, len(hu), cohort)
    return hu


def read_hu(path, offset=None):
    """One slice at full resolution, int16 HU (H, W); DataError where the file is broken.

    offset None: DeepLesion's 16-bit PNG (value - 32768) or DICOM (its own rescale). A number: HU =
    value + offset. NaN: the values are greys, not HU; 8 bit as they are, 16 bit halved to fit.
    """
    data = _bytes(path)
    if data[:8] == PNG_BEGINS:
        values = decode_png(data, path, deep=offset is None)
    elif data[:3] == b"\xff\xd8\xff" and offset is not None:
        values = images.read_jpeg(path)
    elif data[128:132] == b"DICM":
        return np.maximum(dicom.read_hu(path), BACKGROUND)
    else:
        raise DataError("Not a slice", file=path, found=data[:8], expected="a 16-bit PNG or DICOM")
    return _to_hu(values, offset)


def _bytes(path):
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError("Slice not found", file=path) from None
    except OSError as error:
        raise DataError(f"Slice cannot be read: {error}", file=path) from None
    if not data:
        raise DataError("Slice is empty", file=path, found="0 bytes", expected="a PNG image")
    return data


def _to_hu(values, offset):
    """Stored values (uint8 or uint16) as int16, by the rules of `read_hu`."""
    if offset is None:
        return np.maximum((values ^ np.uint16(SHIFT)).view(np.int16), BACKGROUND)
    if np.isnan(offset):
        return (values >> (1 if values.dtype == np.uint16 else 0)).astype(np.int16)
    return np.clip(values.astype(np.float32) + offset, BACKGROUND, 32767).round().astype(np.int16)


def decode_png(data, path, deep=True):
    """Grey values (H, W) of a PNG after checking every chunk's checksum.

    deep: refuse anything but 16-bit grey. The checksums matter: a decoder fills the rest of a
    damaged image with zeros and says nothing.
    """
    bits, colour = _check_png(data, path)
    if deep and (bits, colour) != (16, 0):
        raise DataError(
            "Slice is not a 16-bit grey PNG",
            file=path,
            found=f"{bits} bit, colour type {colour}",
            expected="16 bit grey, HU + 32768",
        )
    flag = cv2.IMREAD_UNCHANGED if colour == 0 and bits >= 8 else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None or image.ndim != 2:
        raise DataError("PNG cannot be decoded", file=path)
    return image


def _check_png(data, path):
    """(bit depth, colour type) of a PNG whose chunks are all there and undamaged."""
    place, name, header = 8, b"", b""
    view = memoryview(data)
    while name != b"IEND":
        length = int.from_bytes(view[place : place + 4])
        name, end = bytes(view[place + 4 : place + 8]), place + 8 + length
        if len(name) < 4 or end + 4 > len(data):
            raise DataError("PNG is cut short", file=path, found=f"{len(data)} bytes")
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise DataError("PNG is damaged: a checksum is wrong", file=path, found=f"at {place}")
        header = header or bytes(view[place + 8 : end])
        place = end + 4
    if len(header) != 13:
        raise DataError("PNG has no header", file=path)
    return header[8], header[9]


def shrink(hu, size):
    """HU (H, W) to int16 (size, size): area average when smaller, linear when larger."""
    if hu.shape == (size, size):
        return hu
    method = cv2.INTER_AREA if min(hu.shape) >= size else cv2.INTER_LINEAR
    return cv2.resize(hu, (size, size), interpolation=method)


def ingest(cohort, source, target, image_size=128, workers=None, progress=True):
    """Read every slice of `cohort` once and write `target`: int16 HU (N, S, S), row by row.

    Threads decode in parallel; memory stays flat because rows go straight to the file. A killed
    run is taken up where it stopped, a finished one is not repeated; `target` appears whole.
    Returns the path. DataError names the first slice that cannot be read.
    """
    rows = _rows(cohort, source)
    shape, table = (len(rows), image_size, image_size), table_digest(cohort)
    state = Progress(target, shape, fingerprint(rows), table)
    if state.finished:
        return Path(target)
    todo = state.open()
    batches = [todo[i : i + BATCH] for i in range(0, len(todo), BATCH)]
    bar = tqdm(total=len(rows), initial=len(rows) - len(todo), unit="slice", disable=not progress)
    with ThreadPoolExecutor(workers or cpus()) as pool, bar:
        tasks = [pool.submit(_batch, rows, batch, image_size, state) for batch in batches]
        try:
            for task in as_completed(tasks):
                batch = task.result()
                state.mark_done(batch)
                bar.update(len(batch))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            state.close()
            raise
    state.finish()
    return Path(target)


def cpus():
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _rows(cohort, source):
    """[(path, expected (H, W), hu offset or None)] of a cohort's rows."""
    offsets = cohort["hu_offset"] if "hu_offset" in cohort else [None] * len(cohort)
    shapes = zip(cohort["height"], cohort["width"], strict=True)
    paths = (Path(source) / path for path in cohort["image_path"])
    return list(zip(paths, shapes, offsets, strict=True))


def _batch(rows, batch, image_size, state):
    """Decode, check and write one batch; returns it for marking."""
    for index in batch:
        path, shape, offset = rows[index]
        hu = read_hu(path, offset)
        if hu.shape != tuple(shape):
            raise DataError(
                "Slice has another size than its table says",
                file=path,
                found=f"{hu.shape[1]} x {hu.shape[0]}",
                expected=f"{shape[1]} x {shape[0]}",
            )
        state.write(index, shrink(hu, image_size))
    return batch


def bring_in(cohort, card, target, workers=None):
    """Copy a department's own slices into `target` as 16-bit PNG; DeepLesion stays where it is.

    Returns (cohort, card) whose image_path and source point at the copy. From there on every
    slice is read alike, and no file name of the hospital travels on. Finished copies are kept;
    those of other files, or made by other code, are removed.
    """
    if "hu_offset" not in cohort:
        return cohort, card
    rows, target = _rows(cohort, card["source"]), Path(target)
    mark = fingerprint(rows)[:16]
    names = [f"own_{mark}/{images.slice_name(n)}.png" for n in range(1, len(rows) + 1)]
    todo = [
        (row, target / name)
        for row, name in zip(rows, names, strict=True)
        if not png_is_whole(target / name)
    ]
    with ThreadPoolExecutor(workers or cpus()) as pool:
        list(tqdm(pool.map(_copy, todo), total=len(todo), unit="slice"))
    for old in target.glob("own_*"):
        if old.name != f"own_{mark}":
            shutil.rmtree(old)
    copied = cohort.drop(columns="hu_offset").assign(image_path=names)
    return copied, card | {"source": str(target.resolve())}


def _copy(job):
    (path, shape, offset), target = job
    hu = read_hu(path, offset)
    if hu.shape != tuple(shape):
        raise DataError("Image has another size than its header says", file=path)
    stored = (hu.astype(np.int32) + SHIFT).astype(np.uint16)
    _done, data = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    with atomic_path(target) as temporary:
        temporary.write_bytes(data.tobytes())
