"""What did the map do? Effects stage by stage, by where the map lay, and how readers relied on it.

Every function takes a `ReaderStudy` and returns a DataFrame; what the data cannot give comes back
as one row with the reason in the column `refused`.
"""

# mypy: disable-error-code="arg-type"
# (the stubs of pandas are narrower than what these calls accept)

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.reader_study.study import ReaderStudy
from camreader.reader_study.tables import (
    THESE_READERS,
    change_row,
    compare,
    in_words,
    needs_log,
    paired,
    refused,
    unit_names,
)
from camreader.statistics.intervals import clustered, clustered_difference, clustered_mean
from camreader.statistics.mrmc.analysis import obuchowski_rockette

TOP = 10  # of the score
LEAST_GAP = 1.0  # of the score, between first answer and advice, for a weight of advice
FEW_READINGS = 10
SLIDERS = {
    "opacity_changes": "moved the opacity",
    "opacity_last": "opacity at the answer above the median",
    "opacity_max": "highest opacity above the median",
    "threshold_last": "set a threshold",
}


def stepwise_table(study: ReaderStudy) -> pd.DataFrame:
    """AUC, sensitivity and specificity at each stage, and the change to it from an earlier stage.

    Readers and cases are both samples (Obuchowski-Rockette, the stage or the two stages alone);
    no p: the comparison table holds the tests. endpoint, stage, value, low, high, readers, cases,
    previous, change, change_low, change_high, note.
    """
    endpoints: list[tuple[str, pd.DataFrame, dict[str, Any]]] = [("AUC", study.scores, {})]
    if study.readings is not None:
        for name in ("sensitivity", "specificity"):
            endpoints.append((name, study.marks(), {"metric": name, "threshold": 1}))
    rows = []
    for endpoint, scores, options in endpoints:
        for stage in study.stages:
            row = {"endpoint": endpoint, "stage": stage, **_level(scores, stage, options)}
            previous = _previous(study, stage)
            rows.append(row | _change(scores, stage, previous, options, row.pop("note")))
    return pd.DataFrame(rows)


def _previous(study: ReaderStudy, stage: str) -> str:
    """The stage that this one is held against: the contrast's second for its first, else the one
    before it in its arm, else the first of all."""
    if study.declared and study.contrast and stage == study.contrast[0]:
        return study.contrast[1]
    for arm in study.paradigm.arms if study.paradigm else ():
        for before, after in pairwise(each.name for each in arm.stages):
            if after == stage and before in study.modalities:
                return before
    return study.first_stage if stage != study.first_stage else ""


def _level(scores: pd.DataFrame, stage: str, options: dict[str, Any]) -> dict[str, Any]:
    part = scores[scores["modality"] == stage]
    row = {"readers": part["reader"].nunique(), "cases": part["case"].nunique()}
    try:
        found = obuchowski_rockette(part, **options).modalities.iloc[0]
    except DataError as error:
        return row | {"value": np.nan, "low": np.nan, "high": np.nan, "note": str(error)}
    note = "one reader: interval over cases" if row["readers"] == 1 else ""
    return row | {name: found[name] for name in ("value", "low", "high")} | {"note": note}


def _change(
    scores: pd.DataFrame, stage: str, previous: str, options: dict[str, Any], note: str
) -> dict[str, Any]:
    row: dict[str, Any] = {"previous": previous}
    empty = dict.fromkeys(("change", "change_low", "change_high"), np.nan)
    if not previous:
        return row | empty | {"note": "; ".join(filter(None, [note, "the first stage"]))}
    try:
        found = compare(scores, (stage, previous), **options)
    except DataError as error:
        return row | empty | {"note": "; ".join(filter(None, [note, str(error)]))}
    low, high = found.ci
    said = [note] + ["no variance: no interval of the change"] * bool(np.isnan(low))
    row |= {"change": found.difference, "change_low": low, "change_high": high}
    return row | {"note": "; ".join(filter(None, said))}


def map_steps(study: ReaderStudy) -> list[tuple[str, str]]:
    """The steps at which a map comes on: shown after, not before."""
    return [s for s in study.steps if "map" in study.shows(s[1]) and "map" not in study.shows(s[0])]


@needs_log
def hit_table(study: ReaderStudy) -> pd.DataFrame:
    """Benefit and harm at each step that shows a map, by whether the network was right and whether
    this case's map lay on the lesion.

    A map of a case without a lesion can hit nothing: `map` is then "no lesion". step, map, cnn and
    the columns of `tables.benefit_harm_table`; intervals are over patients, for these readers.
    """
    if not map_steps(study):
        return refused("no stage shows a map after one that does not")
    if study.log["map_hit"].isna().all():
        return refused("the readings do not say whether a case's map lay on the lesion")
    rows = []
    for step in map_steps(study):
        table = paired(study, step)
        hit, free = table["map_hit_after"], table["truth"] == 0
        places = {"hit": (hit == 1) & ~free, "missed": (hit == 0) & ~free, "no lesion": free}
        for (name, place), word in ((p, w) for p in places.items() for w in ("right", "wrong")):
            chosen = place & table["cnn"].notna() & (table["cnn_right"] == (word == "right"))
            row = {"step": in_words(step), "map": name, "cnn": word}
            rows.append(row | change_row(step, table[chosen]))
    return pd.DataFrame(rows)


@needs_log
def reliance_table(study: ReaderStudy) -> pd.DataFrame:
    """How far readers went with the network, from their first answer to each stage that helps.

    switched: of first answers that the network contradicted, the share that then agreed with it.
    RAIR, RSR: appropriate reliance (Schemmer et al. 2023, IUI, 410-422): of wrong first answers
    where the network was right, the share corrected; of right ones where it was wrong, the share
    kept. weight of advice: how far the score moved towards the network's (1 + 9 times its
    probability, or 1 and 10), as a share of the way, cut to 0..1 (Harvey & Fischer 1997, Organ
    Behav Hum Decis Process 70:117); left out where the two were within one step. Rows "b minus a"
    are over readings that have both. stage, measure, value, low, high, k, n, patients, note;
    intervals over patients, for these readers.
    """
    start = study.first_stage
    helped = [name for name in study.stages if name != start and study.shows(name)]
    if study.log["cnn_prediction"].isna().all():
        return refused("the readings do not say what the network had answered")
    if not helped or study.shows(start):
        return refused("no reading without and with help of one case")
    told = {name: _reliance(paired(study, (start, name))) for name in helped}
    rows = [_reliance_row(name, m, *v) for name, found in told.items() for m, v in found.items()]
    second = study.contrast[1] if study.contrast else ""
    for name in helped:
        if second in helped and name != second:
            rows += _between(told[name], told[second], f"{name} minus {second}")
    rows = [row for row in rows if row["n"]]
    return pd.DataFrame(rows) if rows else refused("no reading without and with help of one case")


def _reliance(table: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.Series]]:
    """{measure: (readings that it is of, value of each)}."""
    table = table[table["cnn"].notna()]
    call = {side: table[f"diagnosis_{side}"] == "tumor" for side in ("before", "after")}
    cnn = table["cnn"] == 1
    against = call["before"] != cnn
    corrigible = against & table["cnn_right"]
    misled = against & ~table["cnn_right"]  # the reader was right, the network wrong
    advice = 1 + (TOP - 1) * table["cnn_probability_after"].astype(float).fillna(cnn.astype(float))
    gap = advice - table["score_before"]
    weight = ((table["score_after"] - table["score_before"]) / gap).clip(0, 1)
    parts = {
        "switched": (against, (call["after"] == cnn).astype(float)),
        "RAIR": (corrigible, table["right_after"].astype(float)),
        "RSR": (misled, table["right_after"].astype(float)),
        "weight of advice": (gap.abs() >= LEAST_GAP, weight),
    }
    return {name: (table[chosen], value[chosen]) for name, (chosen, value) in parts.items()}


def _reliance_row(
    stage: str, measure: str, table: pd.DataFrame, values: pd.Series
) -> dict[str, Any]:
    if measure == "weight of advice" or not len(values):
        return _mean_row(stage, measure, table, values, "; a mean, not a count")
    share, _ = clustered(values == 1, unit_names(table))
    ends = {"k": values.sum(), "low": share.low, "high": share.high}
    return _mean_row(stage, measure, table, values) | ends


def _mean_row(
    stage: str, name: str, table: pd.DataFrame, values: pd.Series, words: str = "", least: int = 0
) -> dict[str, Any]:
    """Mean of `values`, `least` to 1, over the readings of `table`; words: added to its note."""
    names = unit_names(table)
    row = {"stage": stage, "measure": name, "n": len(values), "patients": len(set(names))}
    if not len(values):
        return row
    low, high = clustered_mean(values, names, (least, 1.0))
    note = "one patient: no interval" if np.isnan(low) else THESE_READERS
    row |= {"k": np.nan, "value": values.mean(), "low": low, "high": high}
    return row | {"note": note + words}


def _between(one: dict, other: dict, words: str) -> list[dict[str, Any]]:
    """Rows of the paired difference of two stages, over readings that have both."""
    rows = []
    for measure, (own, value) in one.items():
        side = own.assign(value=value)[["reader", "case", "value"]]
        table, values = other[measure]
        both = table.assign(other=values).merge(side, on=["reader", "case"])
        change = both["value"] - both["other"]
        rows.append(_mean_row(words, measure, both, change, "; a difference, not a count", -1))
    return rows


@needs_log
def viewing_table(study: ReaderStudy) -> pd.DataFrame:
    """Does what readers did with the map go with what they gained from it?

    Per slider, readings that used it (more) and those that did not: how many wrong answers turned
    right and right ones wrong at the steps that show a map, and the difference in benefit. A
    reader who looks harder may do so because the case is hard: it goes together, nothing more.
    step, slider, readings, share of readings that used it; benefit and harm with and without;
    difference, low, high; intervals over patients, for these readers.
    """
    if not map_steps(study):
        return refused("no stage shows a map after one that does not")
    rows = []
    for step in map_steps(study):
        table = paired(study, step)
        for name, words in SLIDERS.items():
            known = table[table[f"{name}_after"].notna()]
            if len(known):
                values = known[f"{name}_after"].astype(float)
                least = values.median() if name in ("opacity_last", "opacity_max") else 0
                used = (values > least).to_numpy()
                rows.append({"step": in_words(step), "slider": words} | _used_row(known, used))
    words = "the readings do not say what was done with opacity and threshold"
    return pd.DataFrame(rows) if rows else refused(words)


def _used_row(table: pd.DataFrame, used: np.ndarray) -> dict[str, Any]:
    before, after = table["right_before"].to_numpy(bool), table["right_after"].to_numpy(bool)
    names = unit_names(table)
    row: dict[str, Any] = {"readings": len(table), "used": used.mean()}
    for word, event, chance in (("benefit", after, ~before), ("harm", ~after, before)):
        for side, chosen in (("used", used), ("not_used", ~used)):
            own = chance & chosen
            row |= {f"{word}_{side}": int((event & own).sum()), f"{word}_{side}_of": int(own.sum())}
    could = ~before
    counts = min((could & used).sum(), (could & ~used).sum())
    empty = dict.fromkeys(("difference", "low", "high"), np.nan)
    if counts < FEW_READINGS:
        note = f"fewer than {FEW_READINGS} wrong answers on a side: no difference"
        return row | empty | {"note": note}
    low, high = clustered_difference(after[could], used[could], names[could])
    gap = after[could & used].mean() - after[could & ~used].mean()
    note = "goes together, no effect shown; " + THESE_READERS
    return row | {"difference": gap, "low": low, "high": high, "note": note}
