"""Where readers pointed: marks scored at lesions, and the accuracy that asks for the right place.

Free-response marks give wAFROC (Chakraborty 2017), one most suspicious place gives LROC (Swensson
1996): a right answer for a wrong place is not right. What the data cannot give comes back as one
row with the reason in the column `refused`.
"""

# mypy: disable-error-code="arg-type, index, misc"
# (the stubs of pandas are narrower than what these calls accept)

from collections.abc import Iterator

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.reader_study.study import ReaderStudy, log_of
from camreader.reader_study.tables import refused
from camreader.session import mark_table
from camreader.session.mark_table import NO_MARKS, Marked
from camreader.session.marks import rule_in_words
from camreader.statistics.intervals import clustered
from camreader.statistics.mrmc.analysis import obuchowski_rockette

METRICS = {"free_response": ("wafroc", "hr_auc"), "lroc": ("lroc",)}
COLUMNS = ["compared", "metric", "first", "second", "difference", "low", "high", "f", "ddf", "p"]
COLUMNS += ["unit", "units", "lesions", "accepted", "primary", "flags"]


def load(path: str, study: Study) -> Marked | str:
    """The marks of the readings that `study.load` reads; words where there are none."""
    log = log_of(path, study)
    if log is None:
        return "marks are in a reading log; this file has none" if path else NO_MARKS
    try:
        return mark_table.load(*log)
    except DataError as error:
        return str(error)


def marks_table(found: Marked | str) -> pd.DataFrame:
    """One row per reader and modality: marks, lesions found of those there were (interval over
    patients, else cases), and marks beside lesions per case."""
    if isinstance(found, str):
        return refused(found)
    rows = []
    numbers = found.truth.set_index("case")["lesions"]
    for (reader, modality), part in found.reads.groupby(["reader", "modality"], sort=False):
        own = found.table[(found.table["reader"] == reader) & (found.table["modality"] == modality)]
        own = own[own["case"].isin(numbers.index)]
        cases = part["case"][part["case"].isin(numbers.index)]
        kinds = own["kind"].value_counts()
        share = _found_share(own, cases, found.truth)
        beside = int(kinds.get("NL", 0))
        row = {"reader": reader, "modality": modality, "cases": len(cases), "marks": len(own)}
        row |= {"lesions": share.n, "found": share.k, "found_share": share.value}
        row |= {"found_low": share.low, "found_high": share.high, "beside": beside}
        rows.append(row | {"beside_per_case": beside / max(len(cases), 1)})
    return pd.DataFrame(rows)


def _found_share(own: pd.DataFrame, cases: pd.Series, truth: pd.DataFrame):  # noqa: ANN202
    """Proportion of the lesions of `cases` that were found, lesions of one patient together."""
    hits = set(zip(own["case"], own["lesion"], strict=True))
    table = truth[truth["case"].isin(set(cases)) & (truth["lesions"] > 0)]
    names = table["patient"] if "patient" in table else table["case"]
    pairs = [
        ((case, k + 1) in hits, name)
        for case, number, name in zip(table["case"], table["lesions"], names, strict=True)
        for k in range(number)
    ]
    hit, owner = (np.array(x) for x in zip(*pairs, strict=True)) if pairs else ([], [])
    return clustered(np.array(hit, bool), np.array(owner))[0]


def localisation_table(readings: ReaderStudy, found: Marked | str) -> pd.DataFrame:
    """The primary contrast in the figure of merit that asks for the right place.

    Obuchowski-Rockette as of the AUC: jackknife, readers and cases random. `accepted` states the
    rule by which a mark counted as at the lesion. With one stage only its accuracy is given.
    """
    if isinstance(found, str):
        return refused(found)
    pair = readings.contrast
    there = set(found.reads["modality"])
    wanted = list(pair) if pair and set(pair) <= there else sorted(there)[:1]
    rows = []
    for metric in METRICS[found.mode]:
        row = {"compared": " minus ".join(wanted), "metric": metric}
        try:
            result = obuchowski_rockette(found.marks(wanted), metric=metric)
        except DataError as error:
            rows.append(row | {"flags": f"refused: {error}"})
            continue
        told = result.summary().iloc[0].to_dict()
        means = result.modalities.set_index("modality")
        row |= {name: told[name] for name in COLUMNS if name in told and name != "compared"}
        sides = dict(zip(("first", "second"), (means["value"].get(m) for m in wanted)))  # noqa: B905
        if len(wanted) == 1:
            row |= {"low": means["low"].iloc[0], "high": means["high"].iloc[0]}
        flags = [*found.flags, *filter(None, [told.get("flags", "")])]
        rows.append(row | sides | {"metric": metric, "flags": "; ".join(flags)})
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    accepted, lesions = rule_in_words(found.within_mm), int(found.truth["lesions"].sum())
    return table.assign(accepted=accepted, lesions=lesions, primary=False)


def finding(found: Marked | str, table: pd.DataFrame) -> Iterator[str]:
    """One sentence about the right place; none where no marks were asked for."""
    if isinstance(found, str) or table["difference"].isna().all():
        return
    row = table.iloc[0]
    start = "SIMULATED marks: " if found.simulated else ""
    name = {"wafroc": "wAFROC", "lroc": "LROC"}[row["metric"]]
    yield (
        f"{start}{name} area, {row['compared']}: {row['difference']:+.3f} (95 % interval "
        f"{row['low']:+.3f} to {row['high']:+.3f}); a mark counts {row['accepted']}."
    )
