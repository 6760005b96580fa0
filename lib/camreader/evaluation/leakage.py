"""Two sources of optimistic bias: slices of one patient on both sides, and unverified labels.

Four trainings on the same slices. Either slices or patients are split; and either every training
label is true, or every slice away from a key slice is called "no tumor", as a DeepLesion user
must who has no other source of negatives. All four are tested against the truth.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.statistics.classification import metrics
from camreader.statistics.intervals import INDEPENDENT
from camreader.training import experiments, runs
from camreader.training.predictions import test_slices
from camreader.training.train import train_all

RULES = {"truth": "verified labels", "neighbour": "neighbours as “no tumor”"}
COLUMNS = ["split", "negatives", "seed", "train slices", "wrong train labels", "n", "accuracy"]
COLUMNS += ["low", "high", "interval", "commoner class", "own_label_accuracy", "note"]


def experiment(
    study: Study, seeds: Sequence[int] = (0,), settings: experiments.Settings | None = None
) -> pd.DataFrame:
    """One row per split, label rule and seed: accuracy against the truth and its 95 % interval.

    commoner class is what one and the same answer would reach on that test set;
    own_label_accuracy what a user without the truth would have measured. A cell that cannot be
    trained has missing numbers and the reason in `note`.
    """
    cohort = read_table(study.cohort_table, Cohort)
    records = train_all(study, experiments.LEAKAGE, seeds, settings)
    rows = []
    for record in records.itertuples():
        split, rule = record.run.split("_")
        row = {"split": split, "negatives": RULES[rule], "seed": record.seed, "note": record.reason}
        rows.append(row | (_tested(study, cohort, record) if not record.reason else {}))
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _tested(study: Study, cohort: pd.DataFrame, record: Any) -> dict[str, Any]:
    """What one cell's network gets right: against the truth, and against the labels it was told."""
    plan = experiments.PLANS[f"{record.protocol}-{record.run}"]
    told = experiments.labelled(cohort[cohort["truth"].notna()], plan)
    predictions = runs.read_part(study, record, "predictions")
    test = test_slices(predictions, told, record.protocol, record.run, record.seed)
    train = predictions[predictions["split"] == "train"].merge(told, on="slice_id")
    patients = test["patient_id"] if plan.split == "split_patient" else INDEPENDENT
    found = metrics(test["truth"], test["probability"], patients=patients)
    found = found.set_index("metric")
    accuracy = found.loc["accuracy"]
    return {
        "train slices": len(train),
        "wrong train labels": int((train["label"] != train["truth"]).sum()),
        "n": int(accuracy["n"]),
        "accuracy": accuracy["value"],
        "low": accuracy["low"],
        "high": accuracy["high"],
        "interval": accuracy["interval"],
        "commoner class": found.loc["commoner class", "value"],
        "own_label_accuracy": (test["predicted"] == test["label"]).mean(),
    }
