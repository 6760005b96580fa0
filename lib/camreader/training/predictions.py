"""Test slices with what a network said of them: the one join of predictions with the cohort.

Whatever is evaluated, explained or read is judged by the same rule: by the full truth of a slice
where that is known, else by its label. The label, which training saw, stays beside it.
"""

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.tables import Predictions

PROTOCOLS = ("sound", "paper")  # in the order in which their final network is preferred
SIZE_BANDS = {  # long axis of the longest lesion on a slice, mm: from, below
    "under 10 mm": (0, 10),
    "10–20 mm": (10, 20),
    "20–30 mm": (20, 30),
    "30 mm or more": (30, np.inf),
}


NONE = "No trained network; `make report` or notebook 02 trains it"


def load(study: Study, target: str = "predictions") -> pd.DataFrame:
    """The predictions of every finished run of a study; DataError where nothing was trained.

    target: the table that `runs.collect` wrote.
    """
    path = study.runs / f"{target}.parquet"
    if not path.exists():
        raise DataError(NONE, file=path)
    return read_table(path, Predictions)


def test_slices(
    predictions: pd.DataFrame,
    cohort: pd.DataFrame,
    protocol: str,
    run: str = "final",
    seed: int = 0,
) -> pd.DataFrame:
    """Test rows of one run joined with their cohort rows, in the order of the predictions.

    predictions: the table `Predictions`; cohort: the table `Cohort`, with any other columns. Adds
    `row` (the slice's place in the cohort, and so in its pixels), `correct`, and makes `truth`
    whole: the known truth, else the label. DataError where the run or a slice of it is missing.
    """
    runs = predictions[(predictions["protocol"] == protocol) & (predictions["run"] == run)]
    tested = runs[(runs["seed"] == seed) & (runs["split"] == "test")]
    if tested.empty:
        raise DataError(
            f"No {run} run of the {protocol} protocol with this seed",
            found=seed,
            expected=sorted(set(runs["seed"])) or "a run that 02_train made",
        )
    cohort = cohort.assign(row=np.arange(len(cohort)))
    joined = tested.merge(cohort, on="slice_id", how="left", validate="one_to_one")
    if joined["row"].isna().any():
        missing = joined.loc[joined["row"].isna(), "slice_id"].iloc[0]
        raise DataError("A predicted slice is not in the cohort", found=missing)
    truth = joined["truth"].fillna(joined["label"])
    joined = joined.assign(truth=truth).astype({"truth": int, "label": int, "row": int})
    return joined.assign(correct=joined["predicted"] == joined["truth"])


def final_protocols(
    predictions: pd.DataFrame, preferred: str = "sound", seed: int | None = None
) -> list[str]:
    """Protocols with a final run (of this seed), `preferred` first, else the sound one first."""
    final = predictions[predictions["run"] == "final"]
    if seed is not None:
        final = final[final["seed"] == seed]
    trained = set(final["protocol"])
    return [name for name in dict.fromkeys((preferred, *PROTOCOLS)) if name in trained]


def final_protocol(
    predictions: pd.DataFrame, preferred: str = "sound", seed: int | None = None
) -> str:
    """The protocol whose final network is explained and read with: the sound one, else the paper's.

    `preferred` names another first choice. DataError where neither has a final run (of this seed).
    """
    found = final_protocols(predictions, preferred, seed)
    if not found:
        raise DataError(
            NONE,
            found="none" if seed is None else f"none with seed {seed}",
            expected=" or ".join(f"{name}-final" for name in PROTOCOLS),
        )
    return found[0]


def size_bands(diameter_mm: pd.Series) -> pd.Series:
    """Each lesion's SIZE_BANDS name as an ordered category; missing where the size is unknown."""
    edges = [low for low, _ in SIZE_BANDS.values()] + [np.inf]
    return pd.cut(diameter_mm.astype(float), edges, right=False, labels=list(SIZE_BANDS))
