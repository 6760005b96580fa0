"""Heat-maps on disk: made a chunk at a time, whole or absent, and never made twice."""

import hashlib
import os
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from camreader.common.errors import DataError
from camreader.common.source import code_digest
from camreader.common.storage import atomic_path, read_json, write_json
from camreader.heatmaps import gradcam

RECORD = np.dtype(
    [("done", "?"), ("explained_class", "i8"), ("score", "f4"), ("blank", "?"), ("relative", "?")]
)


def store(path, model, read, count, mark="", chunk=64, target_layer=None, progress=True):
    """Explain `count` images into `path`, float16 (count, S, S) memory-mapped; resumable.

    `read(start, stop)` gives the images (n, C, S, S), so that only a chunk is in memory. Returns
    (read-only memory map, record array of explained_class, score, blank, relative). A killed call
    goes on where it stopped; a finished one made from the same weights, layer and `mark` (what
    the images are) is not repeated; the array appears under its name only when it is whole.
    """
    path, layer = Path(path), gradcam.find_layer(model, target_layer)
    name = gradcam.layer_name(model, layer)
    mark = fingerprint(model, name, count, mark)
    # Records first: if only they took their name, the next call fills both files again.
    whole = {"records": path.with_suffix(".records.npy"), "maps": path}
    parts = {end: path.with_name(f".{path.stem}.{mark}.{end}.npy") for end in whole}
    finished = path.with_suffix(".json")
    if _stored(whole, finished, mark) is None:
        _fill(parts, model, layer, read, count, chunk, progress)
        finished.unlink(missing_ok=True)
        for end, part in parts.items():
            os.replace(part, whole[end])
        for leftover in path.parent.glob(f".{path.stem}.*.npy"):  # of weights since replaced
            leftover.unlink()
        write_json({"mark": mark, "layer": name, "count": count}, finished)
    return _stored(whole, finished, mark)


def _stored(whole, finished, mark):
    """(maps, records) of a finished call with this mark; None where one is missing or damaged."""
    try:
        if read_json(finished)["mark"] == mark:
            return np.load(whole["maps"], mmap_mode="r"), np.load(whole["records"])
    except (DataError, KeyError, OSError, ValueError, EOFError):
        pass
    return None


def _fill(parts, model, layer, read, count, chunk, progress):
    """Fill the maps and records that are not done yet; each chunk is on disk before it counts."""
    if not all(part.exists() for part in parts.values()):  # records alone would call zeros done
        for part in parts.values():
            part.unlink(missing_ok=True)
    records = _open(parts["records"], RECORD, (count,))
    size = read(0, min(1, count)).shape[2:]
    maps = _open(parts["maps"], np.float16, (count, *size))
    bar = tqdm(total=count, initial=int(records["done"].sum()), unit="map", disable=not progress)
    with bar:
        for rows in gradcam.slices(count, chunk):
            if records["done"][rows].all():
                continue
            result = gradcam.explain(model, read(rows.start, rows.stop), target_layer=layer)
            maps[rows] = result.maps
            maps.flush()
            for name in RECORD.names[1:]:
                records[name][rows] = getattr(result, name)
            records["done"][rows] = True
            records.flush()
            bar.update(rows.stop - rows.start)


def _open(path, dtype, shape):
    """A memory-mapped array to go on with, or a new one of zeros."""
    if not path.exists():
        with atomic_path(path) as temporary:
            np.lib.format.open_memmap(temporary, "w+", dtype, shape).flush()
    return np.lib.format.open_memmap(path, "r+")


def fingerprint(model, layer, count, mark):
    """Hash of what decides a map: weights, layer, images (`mark`) and the text of Grad-CAM."""
    code = code_digest("heatmaps.gradcam", ("heatmaps",))
    digest = hashlib.sha256(f"{layer} {count} {mark} {code}".encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
