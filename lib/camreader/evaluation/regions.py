"""Lung and liver trained and tested apart, and whether their difference is more than chance."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from camreader.common.errors import Refusal
from camreader.common.study import Study
from camreader.common.text import points
from camreader.evaluation.groups import measured, over_seeds
from camreader.statistics import proportions
from camreader.statistics.intervals import Proportion, clustered_difference
from camreader.training import experiments, runs
from camreader.training.predictions import test_slices

PROTOCOL = {"final": "paper", "sound": "sound"}  # a region's run -> the split it was made with
NAMES = ("lung", "liver")
PUBLISHED = (0.98126, 1.0)  # their accuracies in the paper


def tested(
    study: Study, cohort: pd.DataFrame, records: pd.DataFrame, region: str, run: str = "final"
) -> pd.DataFrame | Refusal:
    """Test rows of a region's first network with their truth, or why there are none."""
    mine = records.query("protocol == @region and run == @run").iloc[0]
    if mine["reason"]:
        return Refusal(f"{region.capitalize()}, {PROTOCOL[run]} protocol", mine["reason"])
    predictions = runs.read_part(study, mine, "predictions")
    return test_slices(predictions, cohort, region, run, mine["seed"])


def table(study: Study, cohort: pd.DataFrame, records: pd.DataFrame, paper: Any) -> pd.DataFrame:
    """One row per region and protocol: accuracy with n and interval, beside the published one.

    records: of training.train_all over experiments.REGIONS; paper: published.load(). Values are
    those of the first seed; mean and sd are over seeds.
    """
    rows = []
    for name in experiments.REGIONS:
        region, run = experiments.part_of_study(name)
        mine = records.query("protocol == @region and run == @run")
        row = {"region": region, "protocol": PROTOCOL[run], "seed": mine["seed"].iloc[0]}
        row |= {"note": mine["reason"].iloc[0], "n": 0, "wrong": 0}
        if run == "final":
            row["published"] = paper.number(f"{region}_percent") / 100
        rows.append(row if row["note"] else row | _accuracy(study, cohort, mine))
    columns = ["region", "protocol", "seed", "n", "patients", "wrong", "accuracy", "low", "high"]
    columns += ["interval"]
    columns += ["published", "seeds", "mean", "sd", "mean_low", "mean_high", "note"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _accuracy(study: Study, cohort: pd.DataFrame, records: pd.DataFrame) -> dict[str, Any]:
    """Accuracy of the first seed with its interval, and mean and spread over all."""
    found = []
    for record in records.itertuples():
        predictions = runs.read_part(study, record, "predictions")
        test = test_slices(predictions, cohort, record.protocol, record.run, record.seed)
        found.append(measured(test, record.run == "sound").iloc[0])
    first, spread = found[0], over_seeds([row["value"] for row in found], (0, 1))
    row = {"n": first["n"], "wrong": first["n"] - first["k"], "accuracy": first["value"]}
    row |= {name: first[name] for name in ("patients", "low", "high", "interval", "note")}
    row |= {name: spread[name] for name in ("seeds", "mean", "sd")}
    return row | {"mean_low": spread["low"], "mean_high": spread["high"]}


def comparison(study: Study, cohort: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Lung minus liver per protocol, from the test slices of the first seed.

    Paper: Fisher's exact p and Newcombe's interval, by slice. Sound: an interval from resampled
    patients and no p, because Fisher's test takes slices of one patient for independent ones.
    n_needed: see `proportions.compare`; missing, with the reason in `note`, as where a region has
    no test.
    """
    rows = []
    for run, protocol in PROTOCOL.items():
        lung, liver = (tested(study, cohort, records, name, run) for name in NAMES)
        row = {"comparison": "lung minus liver", "protocol": protocol}
        rows.append(row | _difference(lung, liver, by_patient=protocol == "sound"))
    columns = ["comparison", "protocol", "n_lung", "n_liver", "patients", "difference", "low"]
    columns += ["high"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "interval", "p", "n_needed", "note"])


def _difference(
    lung: pd.DataFrame | Refusal, liver: pd.DataFrame | Refusal, by_patient: bool
) -> dict[str, Any]:
    """The comparison of two regions' test slices, each with correct and patient_id, if tested."""
    if isinstance(lung, Refusal):
        return {"note": lung.why}
    if isinstance(liver, Refusal):
        return {"note": liver.why}
    counts = [int(x) for arm in (lung, liver) for x in (arm["correct"].sum(), len(arm))]
    row: dict[str, Any] = {"n_lung": len(lung), "n_liver": len(liver)} | proportions.compare(
        *counts
    )
    row["note"] = proportions.why_no_number(*counts) if np.isnan(row["n_needed"]) else ""
    if not by_patient:
        return row | {"interval": "Newcombe by slice"}
    right, patients = (np.concatenate([lung[c], liver[c]]) for c in ("correct", "patient_id"))
    low, high = clustered_difference(right, np.arange(len(right)) < len(lung), patients)
    if np.isnan(low):
        words = "no interval: a region's slices are of one patient"
        row["note"] = "; ".join(filter(None, [row["note"], words]))
    row |= {"p": np.nan, "low": low, "high": high, "patients": len(set(patients))}
    return row | {"interval": "t by patient"}


def findings(accuracies: pd.DataFrame, compared: pd.DataFrame) -> Iterator[str]:
    """Sentences that state what the comparison found, computed from its tables."""
    for row in accuracies[accuracies["n"] > 0].itertuples():
        share = Proportion(row.n - row.wrong, row.n, row.accuracy, row.low, row.high)
        yield f"{row.region.capitalize()}, {row.protocol} protocol: {share}, {row.interval}."
    for note, rows in accuracies[accuracies["n"] == 0].groupby("note", sort=False):
        names = ", ".join(f"{row.region} ({row.protocol} protocol)" for row in rows.itertuples())
        yield f"Not trained: {names}. {note}."
    for row in compared.dropna(subset=["difference"]).itertuples():
        yield from _compared_words(row)
    missing = compared.loc[compared["difference"].isna(), "protocol"]
    if len(missing):
        yield f"Lung and liver cannot be compared ({' and '.join(missing)} protocol)."
    yield (
        f"To tell the published 98.126 % from 100 %, Fisher's exact test would need "
        f"{proportions.cases_needed(*PUBLISHED):,.0f} test slices per region, each of another "
        "patient (power 80 %)."
    )


def _compared_words(row: Any) -> Iterator[str]:
    told = row.p < proportions.ALPHA if row.p == row.p else row.low > 0 or row.high < 0
    verdict = "more than chance explains" if told else "compatible with chance"
    test = f"Fisher p = {row.p:.2g}" if row.p == row.p else f"interval: {row.interval}"
    gap = points(row.difference, row.low, row.high)
    yield f"Under the {row.protocol} protocol lung is {gap} from liver: {verdict} ({test})."
    if told or row.difference == 0:
        return
    needed = f"more than {proportions.MOST:,}" if np.isnan(row.n_needed) else f"{row.n_needed:,.0f}"
    yield (
        f"Were it true, Fisher's exact test would need {needed} test slices per region, each of "
        "another patient (power 80 %)."
    )
