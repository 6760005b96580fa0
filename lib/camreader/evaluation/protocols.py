"""The protocols side by side: what was tested, how good it was, our Table 2, and in words.

The paper's protocol chooses the test set it reports on; the sound one is what a reader may expect
of new patients. Every table here has both, and says in words where one was refused.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.text import counted
from camreader.evaluation.groups import by_group, over_seeds, tested_slices, with_groups
from camreader.statistics.classification import metrics
from camreader.statistics.intervals import Proportion, difference, wilson
from camreader.training import runs
from camreader.training.experiments import MAIN, part_of_study

METRICS = ("accuracy", "sensitivity", "specificity", "PPV", "NPV", "AUC", "Brier score")
METRICS += ("calibration error", "commoner class")
RUN_WORDS = {"first": "first run", "second": "second run", "final": "final run (resampled)"}


def tests(predictions, cohort, card, run="final", seed=0):
    """{"paper": test rows with truth and groups, "sound": ...}; words where there is none."""
    found = {}
    for protocol in ("paper", "sound"):
        try:
            tested = tested_slices(predictions, cohort, protocol, run, seed)
            found[protocol] = with_groups(tested, cohort)
        except DataError as error:
            words = card["refusals"].get(protocol)
            found[protocol] = f"refused: {words}" if words else str(error)
    return found


def with_conspicuity(cohort, card):
    """The cohort with the phantom's truth on how well each slice's plainest tumor shows."""
    path = Path(card["source"]) / "lesion_truth.csv"
    if not path.exists():
        return cohort
    truth = read_table(path)
    if "conspicuity" not in truth:
        return cohort
    names = truth["series"] + "_" + truth["slice"].astype(str).str.zfill(3)
    return cohort.assign(
        conspicuity=cohort["slice_id"].map(truth.groupby(names)["conspicuity"].max())
    )


def metrics_table(predictions, cohort, card, seeds=(0,), draws=1000):
    """Every metric of every run: value and interval of the first seed, mean and spread over all.

    low, high: 95 % interval over test slices (paper) or test patients (sound) of the first seed;
    mean, sd, mean_low, mean_high: over seeds, missing for one seed; hidden_lesions: the share of
    "no tumor" labels expected to hide a lesion (the cohort's card), which bounds every number.
    """
    rows = []
    for protocol, run in map(part_of_study, MAIN):
        found = [_measured(predictions, cohort, card, protocol, run, s, draws) for s in seeds]
        together = pd.concat(found).groupby("metric")["value"].apply(over_seeds).unstack()
        together = together.rename(columns={"low": "mean_low", "high": "mean_high"})
        first = found[0].merge(together, left_on="metric", right_index=True, how="left")
        rows.append(first.assign(protocol=protocol, run=run, seed=seeds[0]))
    table = pd.concat(rows, ignore_index=True)
    table["hidden_lesions"] = card["contamination"]["share"]
    front = ["metric", "protocol", "run", "seed"]
    return table[front + [name for name in table if name not in front]]


def _measured(predictions, cohort, card, protocol, run, seed, draws):
    tested = tests(predictions, cohort, card, run, seed)[protocol]
    if isinstance(tested, str):
        return pd.DataFrame({"metric": METRICS, "value": np.nan, "n": 0, "note": tested})
    patients = tested["patient_id"] if protocol == "sound" else None
    return metrics(tested["label"], tested["probability"], tested["predicted"], patients, draws)


def groups(found):
    """{protocol: by_group table} of the protocols that were tested; found: from `tests`."""
    tested = {name: rows for name, rows in found.items() if not isinstance(rows, str)}
    return {name: by_group(rows, by_patient=name == "sound") for name, rows in tested.items()}


def groups_table(grouped):
    """The same as one table with the protocol in front."""
    if not grouped:
        return pd.DataFrame([{"protocol": "none", "by": "", "group": "", "n": 0}])
    return pd.concat([table.assign(protocol=name) for name, table in grouped.items()])


def table2(study, paper, seed=0):
    """Our Table 2 beside the published one: error rates in percent, n and 95 % interval of ours.

    paper: published.load(). Columns ending in _published are the paper's, in _here this study's;
    training error is that of the epoch that was kept, as training went (with dropout).
    """
    printed = paper.cells(2)[0].astype(float)
    final = paper.number("final_percent")
    printed.loc["final", ["test_error_percent", "accuracy_percent"]] = [100 - final, final]
    rows = []
    for run, words in RUN_WORDS.items():
        row = {"run": words, "note": ""}
        for column in ("training_error_percent", "test_error_percent", "accuracy_percent"):
            row[f"{column}_published"] = printed.loc[run].get(column)
        rows.append(row | _here(study, run, seed))
    order = [f"{c}_{w}" for c in printed.columns[:3] for w in ("published", "here")]
    table = pd.DataFrame(rows).reindex(columns=["run", *order, "low", "high", "n", "note"])
    return table.rename(columns={"low": "test_error_low", "high": "test_error_high"})


def _here(study, run, seed):
    """This study's half of one row of Table 2."""
    try:
        record = runs.record(study, f"paper-{run}", seed)
    except DataError as error:
        return {"n": 0, "note": str(error)}
    error = wilson(record["wrong_test"], record["n_test"])
    percents = {
        "training_error_percent": record["train_error"],
        "test_error_percent": error.value,
        "accuracy_percent": 1 - error.value,
    }
    row = {f"{name}_here": 100 * value for name, value in percents.items()}
    epochs, draws = (counted(record[f"{noun}s"], noun) for noun in ("epoch", "draw"))
    note = f"{record['stopped']}, after {epochs} in {draws}"
    return row | {"low": 100 * error.low, "high": 100 * error.high, "n": error.n, "note": note}


def words(row):
    """A metric's row in words: value with interval and n, or why there is none."""
    if pd.isna(row["value"]):
        return row["note"]
    if row["metric"] in ("AUC", "Brier score", "calibration error"):
        return f"{row['value']:.3f} ({row['low']:.3f}–{row['high']:.3f}, n = {row['n']})"
    return str(Proportion(row.get("k"), row["n"], row["value"], row["low"], row["high"]))


def finding(table, grouped, leaks, card):
    """Sentences that state what the evaluation found, computed from its tables."""
    final = table[table["run"] == "final"].set_index(["protocol", "metric"], drop=False)
    for protocol in ("paper", "sound"):
        row = final.loc[protocol, "accuracy"]
        yield f"Accuracy under the {protocol} protocol: {_accuracy_words(final.loc[protocol])}."
        if row.get("seeds", 1) > 1:
            yield _seeds_words(row)
    paper, sound = (final.loc[protocol, "accuracy"] for protocol in ("paper", "sound"))
    if pd.notna(paper["value"]) and pd.notna(sound["value"]):
        gap = _points(paper["value"] - sound["value"], *_limits(paper, sound, "value"))
        yield f"The paper's protocol reads {gap} against the sound one."
    for protocol, groups_of in grouped.items():
        yield from _contrast_words(protocol, groups_of)
    yield from _leak_words(leaks)
    yield hidden_words(card)


def _accuracy_words(of):
    """One protocol's accuracy beside that of an answer which is always the same."""
    row, always = of.loc["accuracy"], of.loc["commoner class"]
    said = words(row)
    if pd.isna(row["value"]):
        return said
    said += f"; always naming the commoner class would reach {100 * always['value']:.1f} %"
    return said + ("" if row["low"] > always["value"] else ", and more than that is not shown")


def _seeds_words(row):
    return (
        f"Over {row['seeds']:.0f} seeds: mean {100 * row['mean']:.1f} %, SD {100 * row['sd']:.1f} "
        f"points, 95 % interval of the mean {100 * row['mean_low']:.1f}–"
        f"{100 * row['mean_high']:.1f} %."
    )


def _contrast_words(protocol, table):
    """How the share of tumors found changes from the faintest to the strongest band."""
    for column, faint, strong in (
        ("contrast", "of the least contrast", "of the most"),
        ("sign", "whose sign is faintest", "whose sign is strongest"),
    ):
        bands = table[(table["by"] == column) & (table["tumor slices"] > 0)]
        if len(bands) < 2:
            continue
        first, last = (_found(bands.iloc[place]) for place in (0, -1))
        yield f"{protocol.capitalize()}: of tumors {faint} {first} are found, {strong} {last}."


def _found(row):
    """Share of one band's tumors that were found, with the band's name."""
    n, ends = row["tumor slices"], (row[f"found{end}"] for end in ("", "_low", "_high"))
    return f"({row['group']}) {Proportion(n - row['missed tumors'], n, *ends)}"


def _limits(first, second, column):
    """Interval of one row's number minus another's, the test sets taken for separate ones."""
    return difference(*(tuple(row[[column, "low", "high"]]) for row in (first, second)))


def _points(gap, low, high):
    """A difference of shares in words."""
    return f"{100 * gap:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def _leak_words(leaks):
    """What splitting slices and trusting neighbours would have added or cost."""
    tested = leaks.dropna(subset=["accuracy"])
    for rule, part in tested.groupby("negatives", sort=False):
        rows = {split: cells.set_index("seed") for split, cells in part.groupby("split")}
        if len(rows) == 2:
            gap = _split_gap(rows["slices"], rows["patients"])
            yield f"Trained on {rule}, a split by slice reads {gap}."
    for note in dict.fromkeys(leaks["note"]):
        if note:
            yield f"Not in the experiment: {note}."
    if tested["seed"].nunique() == 1:
        yield "The experiment used one seed; “make report SEEDS=5” gives the spread."


def _split_gap(by_slice, by_patient):
    """Mean difference over seeds in words; its interval is over seeds, or over cases of one."""
    seeds = by_slice.index.intersection(by_patient.index)
    if len(seeds) == 1:
        first, second = by_slice.loc[seeds[0]], by_patient.loc[seeds[0]]
        limits = _limits(first, second, "accuracy")
        return f"{_points(first['accuracy'] - second['accuracy'], *limits)} against patients"
    found = over_seeds(by_slice.loc[seeds, "accuracy"] - by_patient.loc[seeds, "accuracy"])
    said = _points(found["mean"], found["low"], found["high"])
    return f"{said} against patients, over {len(seeds)} seeds"


def hidden_words(card):
    """How many "no tumor" labels may hide a lesion, in one sentence to stand beside an accuracy."""
    said = card["contamination"]
    if said["share"] is None:
        return f"How many “no tumor” slices hide a lesion is unknown: {said['source']}."
    return (
        f"Expected share of “no tumor” labels that hide a lesion: {100 * said['share']:.0f} %; "
        f"{said['source']}."
    )
