"""Margins, and how large the next reader study must be, from this study or published ones."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from camreader.common.errors import DataError
from camreader.reader_study.study import ReaderStudy
from camreader.reader_study.tables import compare, refused
from camreader.statistics.mrmc import power, roe_metz
from camreader.statistics.mrmc.margins import equivalence, non_inferiority

POINTS = (0.05, 0.10, 0.15)
STRUCTURES = {
    "HL": "scores much alike, readers much alike",
    "HH": "scores much alike, readers differ",
    "LL": "scores differ, readers much alike",
    "LH": "scores differ, readers differ",
}
SEPARATIONS = (0.75, 1.5)  # of the two classes in the simulated pilots
MOSTLY_CROSSED = 0.9  # share of readings made; with less, no pilot for a crossed study


def planning_table(
    study: ReaderStudy,
    differences: Sequence[float] = POINTS,
    readers: Iterable[int] = range(3, 21),
    wanted: float = 0.8,
) -> pd.DataFrame:
    """Cases needed per number of readers until each difference in AUC shows, for several pilots.

    First a real study of three readers or more that read (nearly) everything, if this is one;
    else the published Van Dyke study. Then the four Roe-Metz structures at AUCs of 0.70 and 0.86,
    for the range that readers and cases of other kinds would need. `room` is False where the
    difference does not fit above the pilot's AUC.
    """
    tables = []
    for words, parts, cases, lower in [_pilot(study), *_structures()]:
        table = power.plan(parts, cases, differences, readers, wanted)
        notes = [_plan_note(row, lower) for row in table.itertuples()]
        room = lower + table["difference"] <= 1
        tables.append(table.assign(pilot=words, pilot_auc=lower, room=room, note=notes))
    return pd.concat(tables, ignore_index=True)


def margin_table(study: ReaderStudy, margin: float = 0.0) -> pd.DataFrame:
    """Non-inferiority and equivalence in AUC at one margin, of the declared contrast or, without
    one, of every pair of modalities.

    The margin is the one that the design declared before the first answer; `margin` is used where
    it declared none, and is said to be chosen afterwards. compared, test, margin, declared,
    difference, low, high (of 1 - 2 alpha = 95 %), t, df, p (one-sided), shown, note.
    """
    declared = study.margin > 0
    margin = study.margin if declared else margin
    if not margin:
        return refused("no margin was declared")
    try:
        result = compare(study.scores, study.contrast if study.declared else None)
        pairs = result.differences[["first", "second"]].to_numpy().tolist()
        tests = [
            test(result, margin, pair=pair, declared=declared)
            for pair in pairs
            for test in (non_inferiority, equivalence)
        ]
    except DataError as error:
        return refused(str(error))
    if not tests:
        return refused("one modality: nothing to compare")
    note = "" if declared else "margin chosen after the readings: exploratory"
    if study.simulated:
        note = "; ".join(filter(None, [note, "simulated readings"]))
    names = ("margin", "declared", "difference", "low", "high", "t", "df", "p", "shown")
    rows = [
        {"compared": f"{test.first} minus {test.second}", "test": test.kind}
        | {name: getattr(test, name) for name in names}
        for test in tests
    ]
    return pd.DataFrame(rows).assign(note=note)


def sizing_table(study: ReaderStudy) -> pd.DataFrame:
    """Cases by design and number of readers, with the sentence that an application can quote, for
    a difference of 5 points of AUC and a margin of 5.

    The pilot is this study where it can be one, else the published Van Dyke study; see
    `power.designs_table`. Columns of that, pilot, and words.
    """
    words, parts, cases, _ = _pilot(study)
    table = power.designs_table(parts, cases, difference=0.05, margin=0.05)
    quoted = [f"{power.in_words(row)} Pilot: {words}." for row in table.to_dict("records")]
    return table.assign(pilot=words, words=quoted)


def _plan_note(row: Any, lower: float) -> str:
    if lower + row.difference > 1:
        return f"no room for this difference above the pilot's AUC of {lower:.2f}"
    if pd.isna(row.cases):
        return f"not within {power.MOST_CASES} cases"
    least = row.cases <= power.FEWEST_CASES
    return "the least that these large-sample formulas can plan" if least else ""


def _pilot(study: ReaderStudy) -> tuple:
    """(words, components, cases, mean AUC of the lower modality)."""
    readers, cases, _ = study.size
    words = "Van Dyke et al. 1993 (published: 5 readers, 114 cases)"
    published = (words, power.VAN_DYKE, power.VAN_DYKE_CASES, power.VAN_DYKE_AUC)
    pair = study.contrast if study.declared or len(study.modalities) == 2 else None
    read = study.scores["modality"].isin(pair or ()).sum()
    complete = read >= MOSTLY_CROSSED * 2 * readers * cases
    if study.simulated or readers < 3 or pair is None or not complete:
        return published
    try:
        result = compare(study.scores, pair)
    except DataError:
        return published
    part = result.components
    if part.var - part.cov1 <= 0:
        return published
    words = f"this study ({readers} readers, {cases} cases)"
    return words, part, cases, result.modalities["value"].min()


def _structures() -> Iterator[tuple]:
    """The Roe-Metz structures as pilots: components averaged over 300 simulated studies."""
    for separation in SEPARATIONS:
        for name, words in STRUCTURES.items():
            variances = roe_metz.structure(name, separation)
            options: dict[str, Any] = {"variances": variances, "seed": 0}
            options["separations"] = (separation, separation)
            parts = roe_metz.average_components(*roe_metz.simulate(300, 5, 50, 50, **options))
            auc = roe_metz.expected_auc(separation, variances)
            yield f"Roe-Metz {name}, AUC {auc:.2f}: {words}", parts, 100, auc
