"""Copies in a folder: the same image twice, or nearly, on both sides of a split is no test.

Copies have the same bytes, the same pixels or the same SOPInstanceUID. Near copies (compressed
again, resized, the neighbouring slice of one scan) have a difference hash within `NEAR_BITS` of 256
bits and thumbnails of 32 x 32 that correlate by at least `NEAR_CORRELATION`. Both limits were
chosen by looking at two public sets and at neighbouring CT slices; they are no one's measurement.
Difference hash: Krawetz 2013, hackerfactor.com, "Kind of Like That", here of 16 x 16 bits.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from camreader.cohorts import parts
from camreader.common.errors import DataError
from camreader.common.storage import digest as digest_of
from camreader.common.text import counted
from camreader.statistics.intervals import wilson

NEAR_BITS, NEAR_CORRELATION = 12, 0.995
SIDE, THUMB, BLOCK = 16, 32, 1024
COLUMNS = ["split", "test_slices", "with_copy_in_training", "share", "low", "high", "note"]


@dataclass(frozen=True)
class Prints:
    """What tells n images apart: digests of bytes and pixels, hash (n, 256) and thumbs (n, 1024).

    The hash is of +1 and -1, thumbs have mean 0 and norm 1 (0 where an image is of one value).
    """

    bytes: list[str]  # "" where no other file has the same pixels
    pixels: list[str]
    hash: np.ndarray
    thumbs: np.ndarray


def prints(
    paths: Sequence[Path],
    decode: Callable[[bytes | None, Path], np.ndarray],
    workers: int = 1,
    near: bool = True,
) -> Prints:
    """Read every file once; decode(bytes, path) gives its values (H, W).

    Only files with the same pixels can have the same bytes: the bytes of others are not digested.
    near: whether hash and thumbs are wanted; without, they are (n, 0).
    """
    with ThreadPoolExecutor(workers) as pool:
        rows = list(pool.map(lambda path: _print(path, decode, near), paths))
        pixels, bits, thumbs = zip(*rows, strict=True)
        times: Counter[str] = Counter(pixels)
        again = [times[one] > 1 for one in pixels]
        data = list(pool.map(_of_bytes, paths, again))
    return Prints(data, list(pixels), np.array(bits), np.array(thumbs))


def _print(path: Path, decode: Callable, near: bool) -> tuple[str, np.ndarray, np.ndarray]:
    whole = parts.split(path)[1] is None
    values = np.ascontiguousarray(decode(path.read_bytes() if whole else None, path))
    digest = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    digest.update(values.data)
    if not near:
        return digest.hexdigest(), np.empty(0), np.empty(0)
    image = values.astype(np.float32)
    small = cv2.resize(image, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    bits = np.where(small[:, 1:] > small[:, :-1], 1, -1).astype(np.float32).ravel()
    thumb = cv2.resize(image, (THUMB, THUMB), interpolation=cv2.INTER_AREA).ravel()
    thumb = thumb - thumb.mean()
    return digest.hexdigest(), bits, thumb / (np.linalg.norm(thumb) or 1)


def _of_bytes(path: Path, wanted: bool) -> str:
    """Digest of a whole file, "" where it is not wanted, or the path names a part of a file."""
    return digest_of(path) if wanted and parts.split(path)[1] is None else ""


def same(keys: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (first, later) of equal keys; empty keys equal nothing."""
    first: dict[str, int] = {}
    pairs = []
    for row, key in enumerate(keys):
        if key and first.setdefault(key, row) != row:
            pairs.append((first[key], row))
    return pairs


def nearly(found: Prints) -> list[tuple[int, int]]:
    """Pairs of near copies, copies among them."""
    pairs: list[tuple[int, int]] = []
    bits = found.hash.shape[1]
    for start in range(0, len(found.hash), BLOCK):
        rows = slice(start, start + BLOCK)
        apart = (bits - found.hash[rows] @ found.hash[start:].T) / 2
        alike = found.thumbs[rows] @ found.thumbs[start:].T
        near = np.argwhere((apart <= NEAR_BITS) & (alike >= NEAR_CORRELATION))
        pairs += [(start + int(a), start + int(b)) for a, b in near if a < b]
    return pairs


def groups(count: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Object array (count,): a name for every group that the pairs join, None for single rows."""
    joined = np.array(pairs, int).reshape(-1, 2)
    graph = coo_array((np.ones(len(joined)), joined.T), shape=(count, count))
    part = connected_components(graph, directed=False)[1]
    sizes = np.bincount(part, minlength=1)
    numbers = {p: n + 1 for n, p in enumerate(dict.fromkeys(part[sizes[part] > 1].tolist()))}
    return np.array([f"C{numbers[p]:04d}" if p in numbers else None for p in part], object)


def find(
    frame: pd.DataFrame, folder: Path, decode: Callable, near: bool, workers: int = 1
) -> tuple[np.ndarray, dict]:
    """(group of copies per row or None, what was found) of a labelled folder's frame.

    frame: image_path, label, patient_id, hu_offset, and `instance` where files name themselves.
    Near copies are sought between patients, or where patients are unknown: two slices of one
    patient are alike anyhow. DataError where one and the same file has both labels.
    """
    paths = [folder / path for path in frame["image_path"]]
    told = prints(paths, decode, workers, near)
    twins = same(told.bytes) + same(list(frame.get("instance", [""] * len(frame))))
    label, patient = frame["label"].to_numpy(), frame["patient_id"].to_numpy(object)
    for a, b in twins:
        if label[a] != label[b]:
            raise DataError(
                "The same image has both labels",
                file=paths[a],
                row=frame["row"].iloc[b],
                found=f"it is also {frame['image_path'].iloc[b]}",
                expected="one label for it; take one away, or both",
            )
    exact = {*twins, *same(told.pixels)}
    close = set(nearly(told)) if near else set()
    close = {(a, b) for a, b in close if pd.isna(patient[a]) or patient[a] != patient[b]} - exact
    group = groups(len(frame), [*exact, *close])
    contrary = sum(label[a] != label[b] for a, b in (*exact, *close))
    about = {
        "copies": len(set(np.ravel([*exact]).tolist())) if exact else 0,
        "near_copies": len(set(np.ravel([*close]).tolist())) if close else 0,
        "groups": len({name for name in group if name}),
        "largest": int(pd.Series(group).value_counts().max()) if any(group) else 0,
        "both_labels": int(contrary),
        "near_sought": near,
    }
    return group, about


def doubts(about: dict) -> list[str]:
    """What the copies of a folder are, in words."""
    words = []
    if about["copies"] or about["near_copies"]:
        words.append(
            f"{counted(about['copies'], 'image')} with a copy, {about['near_copies']:,} with a near"
            f" copy, in {counted(about['groups'], 'group')} (the largest of {about['largest']:,})"
        )
    if about["both_labels"]:
        words.append(f"{counted(about['both_labels'], 'pair')} of copies with different labels")
    return words


def table(
    frame: pd.DataFrame, splits: Mapping[str, Sequence | np.ndarray | pd.Series]
) -> pd.DataFrame:
    """Test slices that have a copy in training, one row per split {words: split of each row}."""
    rows = []
    group = frame["duplicate_group"]
    for words, split in splits.items():
        sides = np.asarray(split, object)
        trained = set(group[sides == "train"].dropna())
        test = group[sides == "test"]
        share = wilson(int(test.isin(trained).sum()), len(test))
        row = {"split": words, "test_slices": len(test), "with_copy_in_training": share.k}
        rows.append(row | {"share": share.value, "low": share.low, "high": share.high})
    return pd.DataFrame(rows, columns=COLUMNS).fillna({"note": ""})


def not_sought(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table where copies were not looked for."""
    words = "copies are not looked for: every file is one slice of one series"
    tested = int((frame["split_image"] == "test").sum())
    return pd.DataFrame(
        [{"split": "by slice", "test_slices": tested, "note": words}], columns=COLUMNS
    )
