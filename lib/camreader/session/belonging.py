"""Whether a reading is one of this cohort, told by content and never by a name or a place.

Two hospitals may both call their folder `images`, and a folder keeps its name when its slices are
replaced. What was read of one must never be shown as read of the other.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.cohorts import pixels
from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.text import counted
from camreader.session.progress import Design
from camreader.session.sealed import open_all


def check(study: Study, folder: str | Path) -> None:
    """DataError where the reading in `folder` is not one of the study's cohort."""
    if (Path(folder) / "design.json").exists() and (words := foreign(study, Design.load(folder))):
        raise DataError(
            "These readings are of another cohort",
            file=folder,
            found=words,
            expected="readings of this cohort: move the folder away, or give this cohort a name of"
            " its own (COHORT, or `cohort:` in config.yaml)",
        )


def foreign(study: Study, design: Design) -> str:
    """How the cases of a design differ from the study's cohort; empty where they do not.

    A cohort of the same identity is the same. One that was split or labelled anew since may still
    hold every case as it was read: then each case's slice, truth and picture are compared. Opens
    the sealed truth, so it belongs in no process that a reader sits at.
    """
    if not (study.cohort_table.exists() and (study.cohort_folder / "cohort.json").exists()):
        return ""
    card = study.card
    if card.get("identity") and card["identity"] == design.card.get("identity"):
        return ""
    cohort = read_table(study.cohort_table).set_index("slice_id")
    facts = open_all(design.folder) if design.card["cases"] else {}
    wrong = [
        case
        for case, known in facts.items()
        if known["slice_id"] not in cohort.index
        or _truth(cohort.loc[known["slice_id"]]) != known["truth"]
        or not _pictured(design.folder / "images" / f"{case}.npy", card, cohort, known["slice_id"])
    ]
    if not wrong:
        return ""
    total = counted(len(facts), "case")
    return f"{len(wrong):,} of {total} are another slice, or have another truth, in this cohort"


def of_rehearsal(cohort: pd.DataFrame, readings: pd.DataFrame) -> bool:
    """Whether invented readings are of this cohort's slices, with their truth."""
    truth = cohort.set_index("slice_id").apply(_truth, axis=1)
    told = readings.drop_duplicates("case").set_index("case")["truth"].astype(float)
    return bool(told.index.isin(truth.index).all()) and told.eq(truth.reindex(told.index)).all()


def _truth(row: pd.Series) -> int:
    truth = row.get("truth")
    return int(row["label"] if truth is None or pd.isna(truth) else truth)


def _pictured(kept: Path, card: dict[str, Any], cohort: pd.DataFrame, slice_id: str) -> bool:
    """Whether the picture that was read is the slice; true where one of them is gone."""
    try:
        now = pixels.read_hu(Path(card["source"]) / cohort.loc[slice_id, "image_path"])
        read = np.load(kept, allow_pickle=False)
    except (DataError, OSError, ValueError):
        return True
    planes = read if read.ndim == 3 else read[None]
    return any(np.array_equal(plane, now) for plane in planes)
