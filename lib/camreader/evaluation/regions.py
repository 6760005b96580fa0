"""Lung and liver trained and tested apart, and whether their difference is more than chance."""

import numpy as np
import pandas as pd

from camreader.evaluation.groups import over_seeds, tested_slices
from camreader.statistics import proportions
from camreader.statistics.classification import metrics
from camreader.statistics.intervals import Proportion, cluster_bootstrap, newcombe
from camreader.training import experiments, runs

PROTOCOL = {"final": "paper", "sound": "sound"}  # a region's run -> the split it was made with
NAMES = ("lung", "liver")


def tested(study, cohort, records, region, run="final"):
    """Test rows of a region's first network with their truth, or words why there are none."""
    mine = records.query("protocol == @region and run == @run").iloc[0]
    if mine["reason"]:
        return mine["reason"]
    predictions = runs.read_part(study, mine, "predictions")
    return tested_slices(predictions, cohort, region, run, mine["seed"])


def table(study, cohort, records, paper):
    """One row per region and protocol: accuracy with n and interval, beside the published one.

    records: of training.train_all over plans.REGIONS; paper: published.load(). Values are those
    of the first seed; mean and sd are over seeds.
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
    columns = ["region", "protocol", "seed", "n", "wrong", "accuracy", "low", "high", "interval"]
    columns += ["published", "seeds", "mean", "sd", "mean_low", "mean_high", "note"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _accuracy(study, cohort, records):
    """Accuracy of the first seed with its interval, and mean and spread over all."""
    found = []
    for record in records.itertuples():
        predictions = runs.read_part(study, record, "predictions")
        test = tested_slices(predictions, cohort, record.protocol, record.run, record.seed)
        patients = test["patient_id"] if record.run == "sound" else None
        rows = metrics(test["label"], test["probability"], test["predicted"], patients)
        found.append(rows.iloc[0])
    first, spread = found[0], over_seeds([row["value"] for row in found])
    row = {"n": first["n"], "wrong": first["n"] - first["k"], "accuracy": first["value"]}
    row |= {name: first[name] for name in ("low", "high", "interval", "note")}
    row |= {name: spread[name] for name in ("seeds", "mean", "sd")}
    return row | {"mean_low": spread["low"], "mean_high": spread["high"]}


def comparison(study, cohort, records):
    """Lung minus liver per protocol, from the test slices of the first seed.

    Paper: Fisher's exact p and Newcombe's interval, by slice. Sound: an interval from resampled
    patients and no p, because Fisher's test takes slices of one patient for independent ones.
    n_needed: see `fisher.compare`. Missing, with the reason in `note`, where a region has no test.
    """
    rows = []
    for run, protocol in PROTOCOL.items():
        arms = [tested(study, cohort, records, name, run) for name in NAMES]
        row = {"comparison": "lung minus liver", "protocol": protocol}
        rows.append(row | _difference(*arms, by_patient=protocol == "sound"))
    columns = ["comparison", "protocol", "n_lung", "n_liver", "difference", "low", "high"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "interval", "p", "n_needed", "note"])


def _difference(lung, liver, by_patient):
    """The comparison of two regions' test slices, each with correct and patient_id, or words."""
    why = next((arm for arm in (lung, liver) if isinstance(arm, str)), "")
    if why:
        return {"note": why}
    counts = [int(x) for arm in (lung, liver) for x in (arm["correct"].sum(), len(arm))]
    row = {"n_lung": len(lung), "n_liver": len(liver), "note": ""} | proportions.compare(*counts)
    if not by_patient:
        return row | {"interval": "Newcombe by slice"}
    low, high = _by_patient(lung, liver)
    if low < high:
        return row | {"p": np.nan, "low": low, "high": high, "interval": "bootstrap by patient"}
    # every draw is the same, as where all are right: each patient counts as one slice
    sizes = [arm["patient_id"].nunique() for arm in (lung, liver)]
    rights = [round(arm["correct"].mean() * n) for arm, n in zip((lung, liver), sizes, strict=True)]
    found = newcombe(rights[0], sizes[0], rights[1], sizes[1])
    row |= {"low": found.low, "high": found.high}
    return row | {"p": np.nan, "interval": "Newcombe by patient"}


def _by_patient(lung, liver):
    """Interval of the difference when whole patients, with slices of either region, are drawn."""
    right, patients = (np.concatenate([lung[c], liver[c]]) for c in ("correct", "patient_id"))
    is_lung = np.arange(len(right)) < len(lung)

    def gap(rows):
        first, second = right[rows][is_lung[rows]], right[rows][~is_lung[rows]]
        return first.mean() - second.mean() if len(first) and len(second) else np.nan

    return cluster_bootstrap(gap, patients)


def least_n(published=0.98126, other=1.0):
    """Test slices per region to tell the two published accuracies apart (80 % power, 5 %)."""
    return proportions.cases_needed(published, other)


def finding(accuracies, compared):
    """Sentences that state what the comparison found, computed from its tables."""
    for row in accuracies.itertuples():
        share = Proportion(row.n - row.wrong, row.n, row.accuracy, row.low, row.high)
        said = f"{share}, {row.interval}" if row.n else row.note
        yield f"{row.region.capitalize()}, {row.protocol} protocol: {said}."
    for row in compared.itertuples():
        yield from _compared_words(row)
    yield (
        f"To tell the published 98.126 % from 100 %, Fisher's exact test would need "
        f"{least_n():,.0f} test slices per region, each of another patient (power 80 %)."
    )


def _compared_words(row):
    if np.isnan(row.difference):
        yield f"Under the {row.protocol} protocol the regions cannot be compared: {row.note}."
        return
    told = row.p < proportions.ALPHA if row.p == row.p else row.low > 0 or row.high < 0
    verdict = "more than chance explains" if told else "not more than chance explains"
    test = f"Fisher p = {row.p:.2g}" if row.p == row.p else f"interval: {row.interval}"
    yield (
        f"Under the {row.protocol} protocol lung is {100 * row.difference:+.1f} points "
        f"({100 * row.low:+.1f} to {100 * row.high:+.1f}) from liver: {verdict} ({test})."
    )
    if told or row.difference == 0:
        return
    needed = f"more than {proportions.MOST:,}" if np.isnan(row.n_needed) else f"{row.n_needed:,.0f}"
    yield (
        f"Were it true, Fisher's exact test would need {needed} test slices per region, each of "
        "another patient (power 80 %)."
    )
