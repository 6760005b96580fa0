"""Lung and liver trained and tested apart, and whether their difference is more than chance."""

import numpy as np
import pandas as pd

from camreader import plans, runs
from camreader.evaluation import compare, metrics, over_seeds, tested_slices
from camreader.intervals import wilson

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
    for name in plans.REGIONS:
        region, run = plans.part_of_study(name)
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


def comparison(accuracies):
    """Lung minus liver per protocol: Fisher's exact p, Newcombe's interval, the n that would tell.

    accuracies: from `table`. n_needed: test slices per region for 80 % power, if the observed
    difference were the true one; missing where both are equal or one was not tested.
    """
    rows = []
    for protocol, part in accuracies.groupby("protocol", sort=False):
        lung, liver = (part[part["region"] == name].iloc[0] for name in NAMES)
        counts = (lung["n"] - lung["wrong"], lung["n"], liver["n"] - liver["wrong"], liver["n"])
        row = {"comparison": "lung minus liver", "protocol": protocol}
        row |= {"n_lung": lung["n"], "n_liver": liver["n"]} | compare(*counts)
        rows.append(row | {"note": lung["note"] or liver["note"]})
    return pd.DataFrame(rows)


def least_n(published=0.98126, other=1.0, power=0.8):
    """Test slices per region to tell the two published accuracies apart (80 % power, 5 %)."""
    return compare(round(published * 1e5), 10**5, round(other * 1e5), 10**5, power)["n_needed"]


def finding(accuracies, compared):
    """Sentences that state what the comparison found, computed from its tables."""
    for row in accuracies.itertuples():
        share = wilson(row.n - row.wrong, row.n)
        said = row.note if not row.n else str(share)
        yield f"{row.region.capitalize()}, {row.protocol} protocol: {said}."
    for row in compared.itertuples():
        if np.isnan(row.difference):
            yield f"Under the {row.protocol} protocol the regions cannot be compared: {row.note}."
            continue
        verdict = "more than chance explains" if row.p < 0.05 else "not more than chance explains"
        yield (
            f"Under the {row.protocol} protocol lung is {100 * row.difference:+.1f} points "
            f"({100 * row.low:+.1f} to {100 * row.high:+.1f}) from liver: {verdict} "
            f"(Fisher p = {row.p:.2g})."
        )
        if row.p >= 0.05 and row.n_needed == row.n_needed:
            needed = f"{row.n_needed:,.0f} test slices per region"
            yield f"Were it true, {needed} would tell (power 80 %)."
    yield f"The published 98.126 % and 100 % would need {least_n():,.0f} test slices per region."
