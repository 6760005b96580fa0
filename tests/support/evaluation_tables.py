"""Rows of the evaluation's tables, made by hand."""

import pandas as pd

from camreader.evaluation import protocols


def final_accuracies(**sound):
    """The rows of both protocols that `protocols.finding` reads; sound: changes of its rows."""
    row = {"run": "final", "value": 0.9, "low": 0.85, "high": 0.93, "n": 100, "note": ""}
    row |= {"seeds": 2, "mean": 0.9, "sd": 0.01, "mean_low": 0.8, "mean_high": 1.0}
    parts = (("paper", row), ("sound", row | {"value": 0.8, "low": 0.7, "high": 0.88} | sound))
    return pd.DataFrame(
        [part | {"protocol": p, "metric": m} for p, part in parts for m in protocols.METRICS]
    )


CARD = {"contamination": {"share": None, "source": "no truth"}}


def leaks_of(*cells):
    """Rows of the experiment's table from (split, seed, accuracy, low, high)."""
    table = pd.DataFrame(cells, columns=["split", "seed", "accuracy", "low", "high"])
    return table.assign(negatives="verified labels", note="")
