"""Before a run: folders that cannot be written are named, and damaged intermediate files removed.

A file cut short by a crash of the machine or a bad disk would stop every later run. What the
study made itself it can make again, so such a file is taken away, in words, and the run repeats
the step behind it. Nothing that a person brought or typed (a source folder, the reading log) is
ever touched.
"""

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors import safe_open

from camreader.common.storage import png_is_whole, read_json


def check_writable(folders: Iterable[str | Path]) -> None:
    """SystemExit naming the first folder that cannot be written, and why."""
    for folder in folders:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as handle:
                handle.write(bytes(4096))
        except OSError as error:
            words = error.strerror or error
            raise SystemExit(f"{folder}: cannot be written ({words}); nothing was run") from None


def _weights(path: Path) -> None:
    with safe_open(path, framework="numpy") as handle:
        for name in handle.keys():  # noqa: SIM118 - not a dict
            handle.get_slice(name).get_shape()


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": pq.read_table,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".npy": lambda path: np.load(path, mmap_mode="r"),
    ".safetensors": _weights,
}


def damage(path: Path) -> str:
    """Why a file cannot be opened, in words; empty where it can."""
    try:
        OPENERS[path.suffix](path)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def remove_damaged(data: str | Path, cohort: str) -> list[tuple[Path, str]]:
    """Remove the study's own files that cannot be opened; return (path, why) of each.

    In a training run's folder one damaged file takes model.json and the run's stamp with it, so
    that the run is trained again, to the same result. Heat-maps are checked where they are read.
    """
    study, runs = Path(data) / "cohorts" / cohort, Path(data) / "runs" / cohort
    made = [study / name for name in ("cohort.parquet", "cohort.json", "pixels.npy")]
    removed = []
    for path in [*made, *runs.glob("*.parquet"), *runs.glob("*-seed*/*")]:
        if path.suffix not in OPENERS or path.name.startswith(".") or not path.exists():
            continue
        if why := damage(path):
            removed.append((path, why))
            path.unlink()
            if path.parent.parent == runs:
                for name in ("model.json", "trained"):
                    (path.parent / name).unlink(missing_ok=True)
    return removed + _reopen(study)


def _reopen(study: Path) -> list[tuple[Path, str]]:
    """Where slices that the study drew or copied are lost, remove cohort.parquet; [(path, why)].

    The step that makes cohort.parquet draws or copies what is missing. Only the end of a file is
    looked at, where a crash shows; whoever reads the slice checks all of it.
    """
    table, card = study / "cohort.parquet", study / "cohort.json"
    if not (table.exists() and card.exists()):
        return []
    source = Path(read_json(card)["source"])
    if source.is_absolute():  # not ours
        return []
    paths = [
        study / source / path
        for path in pq.read_table(table, columns=["image_path"])["image_path"].to_pylist()
    ]
    paths += (study / source).glob("Masks_png/*/*.png")
    lost = [path for path in paths if not png_is_whole(path)]
    if not lost:
        return []
    table.unlink()
    return [(lost[0], f"gone or cut short, as are {len(lost) - 1:,} more slices")]
