"""The slices of a DeepLesion folder (the phantom is one), with everything known about each."""

import os
import re
import struct
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.cohorts.annotations import (
    RELEASE,
    read_lesion_truth,
    read_release,
    read_slice_truth,
    release_truth,
)
from camreader.cohorts.deeplesion import read_info
from camreader.cohorts.labels import outside_lesion, slice_distances
from camreader.cohorts.rows import SERIES_NAME
from camreader.common.errors import DataError
from camreader.common.storage import PNG_BEGINS
from camreader.common.tables import UNKNOWN_REGION

LAYOUTS = ("Images_png", "minideeplesion")  # the official zips; the common 8 GB subset
SLICE_FILE = re.compile(r"(\d{3,4})\.png")


def image_root(folder):
    """Path of the folder of series folders under a DeepLesion folder, or None."""
    for name in LAYOUTS:
        if (Path(folder) / name).is_dir():
            return Path(folder) / name
    return None


def list_series(root):
    """{series: sorted slice indices with a PNG} of an image root; other files are left alone."""
    found = {}
    with os.scandir(root) as entries:
        names = sorted(e.name for e in entries if SERIES_NAME.fullmatch(e.name) and e.is_dir())
    for name in names:
        matches = (SLICE_FILE.fullmatch(file) for file in os.listdir(root / name))
        found[name] = {int(match[1]): match[0] for match in matches if match}
    return found


def read_truth(folder):
    """Full truth of a folder: (frame series_id, slice_index, truth, boxes; its source in words).

    slice_truth.csv comes first; the 3-D release adds series that slice_truth.csv does not list.
    """
    folder = Path(folder)
    parts, sources = [], []
    if (folder / "slice_truth.csv").exists():
        parts.append(read_slice_truth(folder / "slice_truth.csv"))
        sources.append("slice_truth.csv")
    if (folder / RELEASE).exists():
        volumes = release_truth(read_release(folder / RELEASE))
        if parts:
            volumes = volumes[~volumes["series_id"].isin(parts[0]["series_id"])]
        parts.append(volumes)
        sources.append(RELEASE)
    columns = ["series_id", "slice_index", "truth", "boxes"]
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    return frame.astype({"truth": "Int64"}), ", ".join(sources)


def png_size(path):
    """(width, height) from a PNG's header; DataError where it is not a PNG."""
    with open(path, "rb") as handle:
        head = handle.read(24)
    if len(head) < 24 or head[:8] != PNG_BEGINS:
        raise DataError("Not a PNG", file=path, found=f"{len(head)} bytes", expected="a PNG file")
    return struct.unpack(">II", head[16:24])


def slices(folder):
    """Every slice on disk that DL_info.csv or the truth knows of: (frame, facts dict).

    The frame has one row per slice: ids, slice_index, image_path, key, truth, boxes (lists),
    region, width, height, spacing_mm, distance_mm, outside_lesion, diameter_mm, contrast_hu,
    cysts, official_split. The facts: doubts, truth_source, series, rows_without_images.
    """
    folder = Path(folder)
    root = image_root(folder)
    if root is None:
        raise DataError(
            "No slices found", file=folder, expected=f"a folder {' or '.join(LAYOUTS)} in it"
        )
    info = read_info(folder / "DL_info.csv")
    truth, source = read_truth(folder)
    files = list_series(root)
    absent = _check_files(info, truth, files, folder, root)
    wanted = sorted({*info["series_id"], *truth["series_id"]} & set(files))
    lesions = dict(tuple(info.groupby("series_id")))
    truths = dict(tuple(truth.groupby("series_id")))
    parts = [
        _series(name, files[name], root.relative_to(folder), lesions.get(name), truths.get(name))
        for name in wanted
    ]
    if not parts:
        raise DataError("No series of DL_info.csv is on disk", file=root, found=f"{len(files)}")
    frame = pd.concat(parts, ignore_index=True)
    _fill_sizes(frame, folder)
    if (folder / "lesion_truth.csv").exists():
        _add_lesions(frame, read_lesion_truth(folder / "lesion_truth.csv"))
    doubts = _doubts(info, info[info["series_id"].isin(files)], truth)
    facts = {"doubts": doubts, "truth_source": source, "series": len(wanted)}
    return frame, facts | {"rows_without_images": absent}


def _doubts(info, present, truth):
    """Contradictions of DL_info.csv and, of its rows `present` on disk, those not to be trusted."""
    free = truth.loc[(truth["truth"] == 0).fillna(False), _KEY]
    free = set(free.itertuples(index=False, name=None))
    doubts = list(info.attrs["doubts"])
    for row, noisy, *key in present[["row", "noisy", *_KEY]].itertuples(index=False):
        if noisy:
            doubts.append(f"row {row}, Possibly_noisy: marked by DeepLesion's authors")
        if tuple(key) in free:
            doubts.append(f"row {row}, Key_slice_index: the full truth has no lesion there")
    return doubts


def _check_files(info, truth, files, folder, root):
    """DataError where a series on disk lacks a slice named in a table; count rows of no series.

    Whole series may be absent: the data set comes in 56 zips and a part of them is a fair start.
    slice_truth.csv is written for the very slices beside it, so all of its rows need their PNG.
    """
    present = info[info["series_id"].isin(files)]
    _need_images(present, files, folder / "DL_info.csv", root, "File_name")
    if "row" in truth:
        own = truth[truth["row"].notna()]
        _need_images(own, files, folder / "slice_truth.csv", root, "slice")
    return len(info) - len(present)


def _need_images(rows, files, table, root, column):
    for row, series, index in rows[["row", "series_id", "slice_index"]].itertuples(index=False):
        if index not in files.get(series, {}):
            raise DataError(
                "A slice of the table has no image",
                file=table,
                row=int(row),
                column=column,
                found=f"no file {root.name}/{series}/{index:03d}.png",
                expected="the PNG of every row whose series is on disk",
            )


def _series(name, files, root, lesions, truth):
    """Frame of one series: its files joined with its key lesions and its truth."""
    index = np.array(sorted(files))
    frame = pd.DataFrame(
        {
            "slice_id": [f"{name}_{i:03d}" for i in index],
            "patient_id": name[:6],
            "study_id": name[:9],
            "series_id": name,
            "slice_index": index,
            "image_path": [f"{root.as_posix()}/{name}/{files[i]}" for i in index],
        }
    )
    return frame.assign(**_from_lesions(index, lesions), **_from_truth(index, lesions, truth))


def _from_lesions(index, lesions):
    """Columns that DL_info.csv gives to every slice of a series."""
    if lesions is None:
        lesions = pd.DataFrame(columns=["slice_index", "diameter_mm", "region", "spacing_z"])
        first = {}
    else:
        first = lesions.iloc[0].to_dict()
    keys, spacing_z = lesions["slice_index"].to_numpy(float), first.get("spacing_z", np.nan)
    longest = lesions.groupby("slice_index")["diameter_mm"].max()
    return {
        "key": np.isin(index, keys),
        "distance_mm": slice_distances(index, keys) * spacing_z,
        "outside_lesion": outside_lesion(index, keys, lesions["diameter_mm"], spacing_z),
        "diameter_mm": pd.Series(index).map(longest).to_numpy(float),
        "region": _nearest_region(index, lesions),
        "width": first.get("width", 0),
        "height": first.get("height", 0),
        "spacing_mm": first.get("spacing_mm", np.nan),
        "official_split": first.get("official_split"),
        "contrast_hu": np.nan,
        "cysts": pd.NA,
    }


def _nearest_region(index, lesions):
    """Region of the nearest lesion whose region is known: a neighbour shows the same organs."""
    known = lesions[lesions["region"] != UNKNOWN_REGION]
    if known.empty:
        return UNKNOWN_REGION
    apart = np.abs(np.asarray(index)[:, None] - known["slice_index"].to_numpy(float)[None])
    return known["region"].to_numpy()[apart.argmin(axis=1)]


def _from_truth(index, lesions, truth):
    """truth (a key slice always holds a lesion) and boxes (the truth's, else DL_info.csv's)."""
    known, boxes = {}, {}
    if lesions is not None:
        for i, *box in lesions[["slice_index", "x1", "y1", "x2", "y2"]].itertuples(index=False):
            boxes.setdefault(i, []).append(box)
    if truth is not None:
        known = dict(zip(truth["slice_index"], truth["truth"], strict=True))
        boxes |= {i: b for i, b in zip(truth["slice_index"], truth["boxes"], strict=True) if b}
    keys = () if lesions is None else set(lesions["slice_index"])
    return {
        "truth": pd.array([1 if i in keys else known.get(i, pd.NA) for i in index], dtype="Int64"),
        "boxes": [boxes.get(i, []) for i in index],
    }


def _fill_sizes(frame, folder):
    """Width and height of series without a row in DL_info.csv, from the header of a PNG."""
    unknown = frame[frame["width"] == 0]
    for _, rows in unknown.groupby("series_id"):
        size = png_size(Path(folder) / rows["image_path"].iloc[0])
        frame.loc[rows.index, ["width", "height"]] = size


def _add_lesions(frame, lesions):
    """The phantom knows more: diameter, contrast and region of lesions, and its cysts."""
    tumors = lesions[lesions["kind"] == "tumor"]
    _nearest_tumor_region(frame, tumors)
    largest = tumors.sort_values("diameter_mm").drop_duplicates(_KEY, keep="last")
    for column in ("diameter_mm", "contrast_hu"):
        frame[column] = _matched(frame, largest.set_index(_KEY)[column]).to_numpy(float)
    cysts = lesions[lesions["kind"] == "cyst"].groupby(_KEY).size()
    frame["cysts"] = _matched(frame, cysts).fillna(0).astype("Int64").to_numpy()


_KEY = ["series_id", "slice_index"]


def _matched(frame, values):
    """Values indexed by series and slice, brought to the frame's rows."""
    return values.reindex(pd.MultiIndex.from_frame(frame[_KEY]))


def _nearest_tumor_region(frame, tumors):
    """Region of the nearest tumor slice of the series, where it has one."""
    for name, rows in tumors.groupby("series_id"):
        index = frame.index[frame["series_id"] == name]
        frame.loc[index, "region"] = _nearest_region(
            frame.loc[index, "slice_index"].to_numpy(), rows.sort_values("diameter_mm")[::-1]
        )
