"""The slices of a DeepLesion folder (the phantom is one), with everything known about each."""

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.cohorts import image_files, labels
from camreader.cohorts.annotations import (
    RELEASE,
    read_lesion_truth,
    read_release,
    read_slice_truth,
    release_truth,
)
from camreader.cohorts.deeplesion import SERIES_NAME, read_info
from camreader.cohorts.folder import Folder, Options
from camreader.cohorts.images import BACKGROUND
from camreader.common.errors import DataError
from camreader.common.storage import PNG_BEGINS, read_json
from camreader.common.tables import UNKNOWN_REGION

LAYOUTS = ("Images_png", "minideeplesion")  # the official zips; the common 8 GB subset
SLICE_FILE = re.compile(r"(\d{3,4})\.png")
FLAT_FILE = re.compile(r"(\d{6}_\d{2}_\d{2})_(\d{3,4})\.png")
FULL = 32_000  # key slices; the official data set has 32,120
SHIFT = 32768  # HU + 32768 are stored as unsigned 16 bit


def image_root(folder: str | Path) -> Path | None:
    """Path of the folder of series folders under a DeepLesion folder, or None."""
    for name in LAYOUTS:
        if (Path(folder) / name).is_dir():
            return Path(folder) / name
    return None


def list_series(root: Path) -> dict[str, dict[int, str]]:
    """{series: {slice index: path below root}} of the PNG of an image root; others are left alone.

    Series folders may lie one folder deeper, as zips unpacked each into a folder of its own leave
    them, and slices may lie loose under their names of DL_info.csv.
    """
    found: dict[str, dict[int, str]] = {}
    for name in Folder(root).files:
        *way, file = name.split("/")
        if not way and (flat := FLAT_FILE.fullmatch(file)):
            found.setdefault(flat[1], {})[int(flat[2])] = name
        elif len(way) not in (1, 2) or not SERIES_NAME.fullmatch(way[-1]):
            continue
        elif match := SLICE_FILE.fullmatch(file):
            found.setdefault(way[-1], {})[int(match[1])] = name
    return dict(sorted(found.items()))


def read_truth(folder: str | Path) -> tuple[pd.DataFrame, str]:
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


def png_size(path: str | Path) -> tuple[int, int]:
    """(width, height) from a PNG's header; DataError where it is not a PNG."""
    with open(path, "rb") as handle:
        head = handle.read(24)
    if len(head) < 24 or head[:8] != PNG_BEGINS:
        raise DataError("Not a PNG", file=path, found=f"{len(head)} bytes", expected="a PNG file")
    return struct.unpack(">II", head[16:24])


def recognise(folder: Folder, options: Options) -> bool:
    """True for DeepLesion's layout, whole or in part; the phantom is written in it."""
    return image_root(folder.path) is not None or (folder.path / "DL_info.csv").exists()


def read(folder: Folder, options: Options) -> tuple[pd.DataFrame, dict]:
    """(frame with the cohort's columns before the splits, facts) of a DeepLesion folder.

    With verified negatives every slice of known truth is used; under the other rules the key
    slices and as many neighbours.
    """
    path, rule, distance_mm, seed = (
        folder.path,
        options.negatives,
        options.distance_mm,
        options.seed,
    )
    listed, facts = slices(path)
    if rule == "auto":
        rule = "verified" if facts["truth_source"] else "neighbour"
    if rule == "verified" and not facts["truth_source"]:
        raise DataError(
            "Verified negatives need full truth",
            file=path,
            found="no slice_truth.csv and no 3-D annotation release",
            expected=f"one of them, or NEGATIVES = {labels.RULES[1]!r}",
        )
    synthetic = _synthetic(path, listed)
    chosen = _choose(listed, rule, options, synthetic)
    card = {
        "synthetic": synthetic,
        "hu": True,
        "window": [50, 400],
        "label_rule": labels.describe(rule, distance_mm),
        "negatives": rule,
        "distance_mm": distance_mm if rule == "neighbour" else None,
        "doubts": facts["doubts"],
        "truth_source": facts["truth_source"] or "none",
        "found": _counts(listed) | {"rows_without_images": facts["rows_without_images"]},
    }
    if not chosen["label"].isin([0]).any():
        raise DataError(
            "Only one label in the cohort",
            file=path,
            column="label",
            found=f"{len(chosen)} slices with a lesion, no neighbour that {rule!r} allows",
            expected="the slices around the key slices on disk, not the key slices alone",
        )
    odd = int((chosen["width"] != chosen["height"]).sum())
    if odd:
        card["doubts"] = [
            *card["doubts"],
            f"{odd:,} slices are not square: they are squeezed to be",
        ]
    free = chosen[chosen["label"] == 0]
    card["contamination"] = labels.contamination(free, rule, distance_mm, seed)
    return chosen, card | {"name": path.name, "title": _title(synthetic, listed, chosen)}


def _synthetic(folder: Path, listed: pd.DataFrame) -> bool:
    """True for a finished phantom, False for real data; DataError for an unfinished phantom.

    A phantom is also told by its slices, one of each series: they say what they are.
    """
    if (folder / "phantom.json").exists():
        return bool(read_json(folder / "phantom.json").get("synthetic", True))
    if (folder / "lesion_truth.csv").exists():
        raise DataError("The phantom is not finished; run it again", file=folder / "phantom.json")
    firsts = listed.drop_duplicates("series_id")["image_path"]
    return any(image_files.header(folder / name).synthetic for name in firsts)


def _counts(listed: pd.DataFrame) -> dict[str, int]:
    """What the folder holds, as plain numbers for the card."""
    return {
        "slices": len(listed),
        "positive": int((listed["truth"] == 1).sum()),
        "verified_negative": int((listed["truth"] == 0).sum()),
        "unknown": int(listed["truth"].isna().sum()),
        "key_slices": int(listed["key"].sum()),
        "series": int(listed["series_id"].nunique()),
        "patients": int(listed["patient_id"].nunique()),
    }


def _choose(listed: pd.DataFrame, rule: str, options: Options, synthetic: bool) -> pd.DataFrame:
    """The cohort's slices with label and label_source; see `read` for which they are."""
    rng, limit = np.random.default_rng(options.seed), options.limit
    free = labels.negatives(listed, rule, options.distance_mm)
    has = listed["key"].to_numpy(bool)
    if rule == "verified":
        has = (listed["truth"] == 1).fillna(False).to_numpy(bool)
    positive, negative = np.flatnonzero(has), np.flatnonzero(free & ~has)
    if rule != "verified":
        negative = _sample(negative, len(positive), rng)
    if limit and limit < len(positive) + len(negative):
        few = min(len(positive), len(negative))
        half = min(limit // 2, few)
        positive = _sample(positive, max(half, limit - len(negative)), rng)
        negative = _sample(negative, limit - len(positive), rng)
    rows = np.sort(np.concatenate([positive, negative]))
    chosen = listed.iloc[rows].copy()
    chosen["label"] = has[rows].astype(int)
    chosen["label_source"] = _sources(chosen, rule, synthetic)
    return chosen.sort_values("slice_id", ignore_index=True)


def _sample(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= count else rng.choice(rows, count, replace=False)


def _sources(chosen: pd.DataFrame, rule: str, synthetic: bool) -> np.ndarray:
    """Where each label comes from, in the schema's words."""
    full = "phantom_truth" if synthetic else "box_3d"
    free = "phantom_truth" if synthetic and rule == "verified" else rule
    source = np.where(chosen["label"] == 0, free, full)
    return np.where(chosen["key"] & (chosen["label"] == 1), "key_slice", source)


def _title(synthetic: bool, listed: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """What every figure says of its data."""
    if synthetic:
        return f"Phantom: synthetic CT, {len(chosen):,} slices"
    name = "DeepLesion" if listed["key"].sum() >= FULL else "DeepLesion sample"
    unknown = int(listed["truth"].isna().sum())
    if unknown and len(chosen) + unknown == len(listed):
        return (
            f"{name}: real CT, {len(listed):,} slices ({len(chosen):,} used, "
            f"{unknown:,} of unknown truth left out)"
        )
    return f"{name}: real CT, {len(chosen):,} of {len(listed):,} slices"


def decode(data: bytes, path: str | Path, offset: float | None = None) -> np.ndarray:
    """int16 HU (H, W) of one 16-bit grey PNG that holds HU + 32768; below -1024 is air."""
    if data[:8] != PNG_BEGINS:
        raise DataError("Not a slice", file=path, found=data[:8], expected="a 16-bit PNG or DICOM")
    if len(data) > 25 and tuple(data[24:26]) != (16, 0):
        raise DataError(
            "Slice is not a 16-bit grey PNG",
            file=path,
            found=f"{data[24]} bit, colour type {data[25]}",
            expected="16 bit grey, HU + 32768",
        )
    values = image_files.decode_png(data, path)
    if values.ndim != 2:
        raise DataError("Slice has transparent pixels", file=path, expected="grey values alone")
    return np.maximum((values ^ np.uint16(SHIFT)).view(np.int16), BACKGROUND)


def slices(folder: str | Path) -> tuple[pd.DataFrame, dict]:
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
        raise DataError(
            "No series of DL_info.csv is on disk",
            file=root,
            found=f"{len(files)} series, none of them in DL_info.csv",
            expected="folders such as 000001_01_01 with 100.png, or files 000001_01_01_100.png",
        )
    frame = pd.concat(parts, ignore_index=True)
    _fill_sizes(frame, folder)
    if (folder / "lesion_truth.csv").exists():
        _add_lesions(frame, read_lesion_truth(folder / "lesion_truth.csv"))
    doubts = _doubts(info, info[info["series_id"].isin(files)], truth)
    facts = {"doubts": doubts, "truth_source": source, "series": len(wanted)}
    return frame, facts | {"rows_without_images": absent}


def _doubts(info: pd.DataFrame, present: pd.DataFrame, truth: pd.DataFrame) -> list[str]:
    """Contradictions of DL_info.csv and, of its rows `present` on disk, those not to be trusted."""
    known_free = truth.loc[(truth["truth"] == 0).fillna(False), _KEY]
    free = set(known_free.itertuples(index=False, name=None))
    doubts = list(info.attrs["doubts"])
    for row, noisy, *key in present[["row", "noisy", *_KEY]].itertuples(index=False):
        if noisy:
            doubts.append(f"row {row}, Possibly_noisy: marked by DeepLesion's authors")
        if tuple(key) in free:
            doubts.append(f"row {row}, Key_slice_index: the full truth has no lesion there")
    return doubts


def _check_files(
    info: pd.DataFrame,
    truth: pd.DataFrame,
    files: Mapping[str, Mapping[int, str]],
    folder: Path,
    root: Path,
) -> int:
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


def _need_images(
    rows: pd.DataFrame, files: Mapping[str, Mapping[int, str]], table: Path, root: Path, column: str
) -> None:
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


def _series(
    name: str,
    files: Mapping[int, str],
    root: Path,
    lesions: pd.DataFrame | None,
    truth: pd.DataFrame | None,
) -> pd.DataFrame:
    """Frame of one series: its files joined with its key lesions and its truth."""
    index = np.array(sorted(files))
    frame = pd.DataFrame(
        {
            "slice_id": [f"{name}_{i:03d}" for i in index],
            "patient_id": name[:6],
            "study_id": name[:9],
            "series_id": name,
            "slice_index": index,
            "image_path": [f"{root.as_posix()}/{files[i]}" for i in index],
        }
    )
    return frame.assign(**_from_lesions(index, lesions), **_from_truth(index, lesions, truth))


def _from_lesions(index: np.ndarray, lesions: pd.DataFrame | None) -> dict:
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
        "distance_mm": labels.slice_distances(index, keys) * spacing_z,
        "outside_lesion": labels.outside_lesion(index, keys, lesions["diameter_mm"], spacing_z),
        "diameter_mm": pd.Series(index).map(longest).to_numpy(float),
        "region": _nearest_region(index, lesions),
        "width": first.get("width", 0),
        "height": first.get("height", 0),
        "spacing_mm": first.get("spacing_mm", np.nan),
        "official_split": first.get("official_split"),
        "contrast_hu": np.nan,
        "cysts": pd.NA,
    }


def _nearest_region(index: np.ndarray, lesions: pd.DataFrame) -> Any:
    """Region of the nearest lesion whose region is known: a neighbour shows the same organs."""
    known = lesions[lesions["region"] != UNKNOWN_REGION]
    if known.empty:
        return UNKNOWN_REGION
    apart = np.abs(np.asarray(index)[:, None] - known["slice_index"].to_numpy(float)[None])
    return known["region"].to_numpy()[apart.argmin(axis=1)]


def _from_truth(
    index: np.ndarray, lesions: pd.DataFrame | None, truth: pd.DataFrame | None
) -> dict:
    """truth (a key slice always holds a lesion) and boxes (the truth's, else DL_info.csv's)."""
    known: dict[int, Any] = {}
    boxes: dict[int, list] = {}
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


def _fill_sizes(frame: pd.DataFrame, folder: str | Path) -> None:
    """Width and height of series without a row in DL_info.csv, from the header of a PNG."""
    unknown = frame[frame["width"] == 0]
    for _, rows in unknown.groupby("series_id"):
        size = png_size(Path(folder) / rows["image_path"].iloc[0])
        frame.loc[rows.index, ["width", "height"]] = size


def _add_lesions(frame: pd.DataFrame, lesions: pd.DataFrame) -> None:
    """The phantom knows more: diameter, contrast and region of lesions, and its cysts."""
    tumors = lesions[lesions["kind"] == "tumor"]
    _nearest_tumor_region(frame, tumors)
    largest = tumors.sort_values("diameter_mm").drop_duplicates(_KEY, keep="last")
    for column in ("diameter_mm", "contrast_hu"):
        frame[column] = _matched(frame, largest.set_index(_KEY)[column]).to_numpy(float)
    cysts = lesions[lesions["kind"] == "cyst"].groupby(_KEY).size()
    frame["cysts"] = _matched(frame, cysts).fillna(0).astype("Int64").to_numpy()


_KEY = ["series_id", "slice_index"]


def _matched(frame: pd.DataFrame, values: pd.Series) -> pd.Series:
    """Values indexed by series and slice, brought to the frame's rows."""
    return values.reindex(pd.MultiIndex.from_frame(frame[_KEY]))


def _nearest_tumor_region(frame: pd.DataFrame, tumors: pd.DataFrame) -> None:
    """Region of the nearest tumor slice of the series, where it has one."""
    for name, rows in tumors.groupby("series_id"):
        index = frame.index[frame["series_id"] == name]
        frame.loc[index, "region"] = _nearest_region(
            frame.loc[index, "slice_index"].to_numpy(), rows.sort_values("diameter_mm")[::-1]
        )
