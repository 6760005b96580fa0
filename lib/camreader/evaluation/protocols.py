"""The protocols side by side: what was tested, how good it was, our Table 2, and the findings.

The paper's protocol chooses the test set it reports on; the sound one is what a reader may expect
of new patients. Every table has both; a refused protocol keeps its row, with the reason.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.common.errors import DataError, Refusal
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.text import points
from camreader.evaluation.groups import by_group, measured, over_seeds, with_groups
from camreader.statistics.classification import PROPORTIONS
from camreader.statistics.intervals import Proportion, wilson
from camreader.training import runs
from camreader.training.experiments import MAIN, part_of_study
from camreader.training.predictions import test_slices

METRICS = (  # in the rows of a protocol that was refused
    *(name for name in PROPORTIONS if name != "commoner class"),
    *("AUC", "Brier score", "calibration error", "commoner class"),
)
SHARED = "no interval: the two test sets share patients"
RUN_WORDS = {"first": "first run", "second": "second run", "final": "final run (resampled)"}


Tests = dict[str, pd.DataFrame | Refusal]  # by protocol


def tests(
    predictions: pd.DataFrame, cohort: pd.DataFrame, card: dict, run: str = "final", seed: int = 0
) -> Tests:
    """{"paper": test rows with truth and groups, "sound": ...}; a Refusal where there is none."""
    found: Tests = {}
    for protocol in ("paper", "sound"):
        try:
            tested = test_slices(predictions, cohort, protocol, run, seed)
            found[protocol] = with_groups(tested, cohort)
        except DataError as error:
            why = card["refusals"].get(protocol) or str(error)
            if not predictions["split"].eq("train").any():
                why = "the network is used as it is, and tested once, under the other protocol"
            found[protocol] = Refusal(f"{protocol.capitalize()} protocol, {run} run", why)
    return found


def tested_only(found: Tests) -> dict[str, pd.DataFrame]:
    """The protocols of `tests` that were tested, without those that were refused."""
    return {name: rows for name, rows in found.items() if isinstance(rows, pd.DataFrame)}


def preferred(found: Tests) -> pd.DataFrame | Refusal:
    """The sound protocol's test slices, else the paper's, else why there are none."""
    tested = tested_only(found)
    return tested.get("sound", tested.get("paper", found["sound"]))


def overview(found: Tests, cohort: pd.DataFrame) -> pd.DataFrame:
    """One row per protocol: its test slices, and how many labels the known truth contradicts."""
    known = cohort.set_index("slice_id")["truth"]
    rows = []
    for protocol, tested in found.items():
        if isinstance(tested, Refusal):
            rows.append({"protocol": protocol, "test slices": 0, "note": tested.note})
            continue
        row = {"protocol": protocol, "test slices": len(tested), "note": ""}
        row["patients"] = tested["patient_id"].nunique()
        row["tumor"] = int((tested["truth"] == 1).sum())
        row["truth known"] = int(tested["slice_id"].map(known).notna().sum())
        row["labels differ"] = int((tested["truth"] != tested["label"]).sum())
        rows.append(row)
    columns = ["protocol", "test slices", "patients", "tumor", "truth known", "labels differ"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "note"])


def with_conspicuity(cohort: pd.DataFrame, card: dict) -> pd.DataFrame:
    """The cohort with `conspicuity` and `level` of each slice's plainest tumor.

    As it is where the truth does not hold them: real slices, and phantoms of an earlier version.
    """
    path = Path(card["source"]) / "lesion_truth.csv"
    if not path.exists():
        return cohort
    truth = read_table(path)
    if not {"conspicuity", "level"} <= set(truth):
        return cohort
    tumors = truth[truth["kind"] == "tumor"].sort_values("conspicuity")
    names = tumors["series"] + "_" + tumors["slice"].astype(str).str.zfill(3)
    plainest = tumors.set_index(names).groupby(level=0)[["conspicuity", "level"]].last()
    return cohort.join(plainest, on="slice_id")


def metrics_table(
    predictions: pd.DataFrame,
    cohort: pd.DataFrame,
    card: dict,
    seeds: Sequence[int] = (0,),
    draws: int = 1000,
) -> pd.DataFrame:
    """Every metric of every run: value and interval of the first seed, mean and spread over all.

    low, high: 95 % interval over test slices (paper) or test patients (sound) of the first seed;
    mean, sd, mean_low, mean_high: over seeds, missing for one seed; hidden_lesions: the share of
    "no tumor" labels expected to hide a lesion (the cohort's card), which bounds every number.
    """
    rows = []
    for protocol, run in map(part_of_study, MAIN):
        found = [_measured(predictions, cohort, card, protocol, run, s, draws) for s in seeds]
        together = (
            pd.concat(found).groupby("metric")["value"].apply(over_seeds, limits=(0, 1)).unstack()
        )
        together = together.rename(columns={"low": "mean_low", "high": "mean_high"})
        first = found[0].merge(together, left_on="metric", right_index=True, how="left")
        rows.append(first.assign(protocol=protocol, run=run, seed=seeds[0]))
    table = pd.concat(rows, ignore_index=True)
    table["hidden_lesions"] = card["contamination"]["share"]
    front = ["metric", "protocol", "run", "seed"]
    return table[front + [name for name in table if name not in front]]


def _measured(
    predictions: pd.DataFrame,
    cohort: pd.DataFrame,
    card: dict,
    protocol: str,
    run: str,
    seed: int,
    draws: int,
) -> pd.DataFrame:
    tested = tests(predictions, cohort, card, run, seed)[protocol]
    if isinstance(tested, Refusal):
        return pd.DataFrame({"metric": METRICS, "value": np.nan, "n": 0, "note": tested.note})
    return measured(tested, protocol == "sound", draws)


def groups(found: Tests) -> dict[str, pd.DataFrame]:
    """{protocol: by_group table} of the protocols that were tested; found: from `tests`."""
    tested = tested_only(found).items()
    return {name: by_group(rows, by_patient=name == "sound") for name, rows in tested}


def groups_table(grouped: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The same as one table with the protocol in front."""
    if not grouped:
        return pd.DataFrame([{"protocol": "none", "by": "", "group": "", "n": 0}])
    return pd.concat([table.assign(protocol=name) for name, table in grouped.items()])


def table2(study: Study, paper: Any, seed: int = 0) -> pd.DataFrame:
    """Our Table 2 beside the published one: error rates in percent, n and 95 % interval of ours.

    paper: published.load(). Columns ending in _published are the paper's, in _here this study's;
    training error is that of the epoch that was kept, as training went (with dropout). All are by
    the labels that training saw, as the paper's must be.
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


def _here(study: Study, run: str, seed: int) -> dict[str, Any]:
    """This study's half of one row of Table 2."""
    try:
        record = runs.record(study, f"paper-{run}", seed)
    except DataError as error:
        return {"n": 0, "note": str(error)}
    wrong = wilson(record["wrong_test"], record["n_test"])
    percents = {
        "training_error_percent": record["train_error"],
        "test_error_percent": wrong.value,
        "accuracy_percent": 1 - wrong.value,
    }
    row = {f"{name}_here": 100 * value for name, value in percents.items()}
    row |= {"low": 100 * wrong.low, "high": 100 * wrong.high, "n": wrong.n}
    return row | {"note": runs.ending(record)}


def words(row: pd.Series) -> str:
    """A metric's row in words: value with interval and n, or why there is none."""
    if pd.isna(row["value"]):
        return row["note"]
    if row["metric"] in ("AUC", "Brier score", "calibration error"):
        return f"{row['value']:.3f} ({row['low']:.3f}–{row['high']:.3f}, n = {row['n']})"
    return str(Proportion(row.get("k"), row["n"], row["value"], row["low"], row["high"]))


def findings(
    table: pd.DataFrame, grouped: dict[str, pd.DataFrame], leaks: pd.DataFrame, card: dict
) -> Iterator[str]:
    """Sentences that state what the evaluation found, computed from its tables."""
    final = table[table["run"] == "final"].set_index(["protocol", "metric"], drop=False)
    for protocol in ("paper", "sound"):
        row = final.loc[protocol, "accuracy"]
        yield f"Accuracy under the {protocol} protocol: {_accuracy_words(final.loc[protocol])}."
        if row.get("seeds", 1) > 1:
            yield _seeds_words(row)
    paper, sound = (final.loc[protocol, "accuracy"] for protocol in ("paper", "sound"))
    if pd.notna(paper["value"]) and pd.notna(sound["value"]):
        gap = 100 * (paper["value"] - sound["value"])
        yield f"Difference of the accuracies, paper minus sound: {gap:+.1f} points ({SHARED})."
    for protocol, groups_of in grouped.items():
        yield from _contrast_words(protocol, groups_of)
    yield from _leak_words(leaks)
    yield hidden_words(card)


def _accuracy_words(of: pd.DataFrame) -> str:
    """One protocol's accuracy beside that of an answer which is always the same."""
    row, always = of.loc["accuracy"], of.loc["commoner class"]
    said = words(row)
    if pd.isna(row["value"]):
        return said
    said += f"; always naming the majority class would reach {100 * always['value']:.1f} %"
    exceeds = row["low"] > always["value"]
    return said + ("" if exceeds else "; the accuracy is not shown to exceed this baseline")


def _seeds_words(row: pd.Series) -> str:
    return (
        f"Over {row['seeds']:.0f} seeds: mean {100 * row['mean']:.1f} %, SD {100 * row['sd']:.1f} "
        f"points, 95 % interval of the mean {100 * row['mean_low']:.1f}–"
        f"{100 * row['mean_high']:.1f} %."
    )


def _contrast_words(protocol: str, table: pd.DataFrame) -> Iterator[str]:
    """How the share of tumors found changes from the faintest to the strongest band."""
    for column, least, most in (
        ("contrast", "of the tumors of least contrast", "of those of most"),
        ("conspicuity", "of the tumors hardest to see", "of the easiest"),
    ):
        bands = table[(table["by"] == column) & (table["tumor slices"] > 0)]
        if len(bands) < 2:
            continue
        first, last = (_found(bands.iloc[place]) for place in (0, -1))
        yield f"{protocol.capitalize()} protocol: {least} {first} are found, {most} {last}."


def _found(row: pd.Series) -> str:
    """Share of one band's tumors that were found, with the band's name."""
    n, ends = row["tumor slices"], (row[f"found{end}"] for end in ("", "_low", "_high"))
    return f"({row['group']}) {Proportion(n - row['missed tumors'], n, *ends)}"


def _leak_words(leaks: pd.DataFrame) -> Iterator[str]:
    """What splitting slices and trusting neighbours would have added or cost."""
    tested = leaks.dropna(subset=["accuracy"])
    for rule, part in tested.groupby("negatives", sort=False):
        rows = {split: cells.set_index("seed") for split, cells in part.groupby("split")}
        if len(rows) == 2:
            gap = _split_gap(rows["slices"], rows["patients"])
            yield f"Trained on {rule}, split by slice minus split by patient: {gap}."
    for note in dict.fromkeys(leaks["note"]):
        if note:
            yield f"Not in the experiment: {note}."
    if tested["seed"].nunique() == 1:
        yield "The experiment used one seed; “make report SEEDS=5” gives the spread."


def _split_gap(by_slice: pd.DataFrame, by_patient: pd.DataFrame) -> str:
    """Mean difference over seeds in words; its interval is over seeds, one seed has none."""
    seeds = by_slice.index.intersection(by_patient.index)
    if len(seeds) == 1:
        first, second = by_slice.loc[seeds[0]], by_patient.loc[seeds[0]]
        gap = 100 * (first["accuracy"] - second["accuracy"])
        return f"{gap:+.1f} points ({SHARED})"
    found = over_seeds(by_slice.loc[seeds, "accuracy"] - by_patient.loc[seeds, "accuracy"])
    said = points(found["mean"], found["low"], found["high"])
    return f"{said} over {len(seeds)} seeds"


def hidden_words(card: dict) -> str:
    """How many "no tumor" labels may hide a lesion, in one sentence to stand beside an accuracy."""
    said = card["contamination"]
    if said["share"] is None:
        return f"How many “no tumor” slices hide a lesion is unknown: {said['source']}."
    return (
        f"Expected share of “no tumor” labels that hide a lesion: {100 * said['share']:.0f} %; "
        f"{said['source']}."
    )
