"""Marks from the log: one row per mark, and as free-response data for the statistics.

It opens the sealed truth, so it belongs in notebook 08 and in exports after the reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import write_shared_csv
from camreader.session.database import sqlite_file
from camreader.session.marks import lesion_of
from camreader.session.progress import Design, place_of
from camreader.session.tidy import events_of, facts_of
from camreader.statistics.mrmc.marks import Marks, read_marks, write_jafroc

COLUMNS = [
    "reader", "case", "modality", "mark", "x", "y", "slice", "x_mm", "y_mm", "confidence",
    "milliseconds", "lesion", "kind", "simulated",
]  # fmt: skip
NO_MARKS = "readers were not asked for marks (MARKS of notebook 07)"


@dataclass(frozen=True)
class Marked:
    """table: one row per mark (COLUMNS): x, y in source pixels from 0, x_mm, y_mm, slice, lesion
    (number of the lesion it is accepted at, 0: none), kind: "LL" (the surest mark at a lesion),
    "NL" (at none), "again" (a further one at the same lesion, which no statistic counts). truth:
    case, lesions (their number), patient where known. reads: reader, modality, case of each answer.
    mode, within_mm: as the design has them. flags: what was left out, and why."""

    table: pd.DataFrame
    truth: pd.DataFrame
    reads: pd.DataFrame
    mode: str
    within_mm: float
    simulated: bool
    flags: list[str] = field(default_factory=list)

    def marks(self, modalities: Sequence[str] | None = None) -> Marks:
        """Free-response data of these modalities (None: all), the first of them first.

        Cases with a lesion whose place is not known are left out. DataError where nothing is left.
        """
        found = list(dict.fromkeys(self.reads["modality"]))
        wanted = list(modalities) if modalities is not None else found
        rank = {name: k for k, name in enumerate(wanted)}
        reads = self.reads[self.reads["modality"].isin(wanted)]
        reads = reads[reads["case"].isin(self.truth["case"])]
        table = self.table.merge(reads, on=["reader", "modality", "case"])
        table = table[table["kind"] != "again"]
        table = table.sort_values("modality", key=lambda x: x.map(rank), kind="stable")
        marks = pd.DataFrame(
            {
                "reader": table["reader"], "modality": table["modality"], "case": table["case"],
                "mark": table["kind"], "rating": table["confidence"],
                "lesion": table["lesion"].where(table["lesion"] > 0),
            }
        ).reset_index(drop=True)  # fmt: skip
        reads = reads.sort_values("modality", key=lambda x: x.map(rank), kind="stable")
        arms = reads["reader"].nunique() * reads["modality"].nunique()
        full = len(reads) == arms * len(self.truth)
        marked = len(marks[["reader", "modality"]].drop_duplicates()) == arms
        return read_marks(marks, self.truth, None if full and marked else reads)


def load(source: str | Path, folder: str | Path | None = None, study: str | None = None) -> Marked:
    """`Marked` from a log, as `tidy.load_tidy` finds it; practice is left out.

    DataError where the study asked for no marks. Marks are final: a correction changes none.
    """
    folder = Path(folder or (sqlite_file(source) or Path()).parent)
    events = events_of(source, folder, study)
    facts, _, design = facts_of(events, folder)
    answers = [e for e in events if place_of(e) and e["phase"] != "training"]
    asked = [event for event in answers if "marks" in event["payload"]]
    if not asked:
        raise DataError(NO_MARKS, file=source)
    mode, within = _rules(asked[0], design)
    rows, truth, reads, seen, twice = [], {}, [], set(), 0
    for event in asked:
        place = place_of(event)
        key = event["reader"], place[1] if place else "", event["case_id"]
        if key in seen:
            twice += 1
            continue
        seen.add(key)
        reads.append(dict(zip(("reader", "modality", "case"), key, strict=True)))
        known = facts.get(event["case_id"], event["payload"])
        places = known if "lesions" in known else event["payload"].get("places", {})
        rows += _rows(event, key[1], places, within, _spacing(event, design))
        truth[event["case_id"]] = _truth(event["case_id"], known, places)
    flags = [f"{twice} answers at a stage that was read before are left out"] * bool(twice)
    table = pd.DataFrame(truth.values())
    unknown = table["lesions"].isna()
    if unknown.any():
        flags.append(f"{unknown.sum()} cases with a tumor of unknown place are left out")
    return Marked(
        pd.DataFrame(rows, columns=COLUMNS),
        table[~unknown].astype({"lesions": int}).reset_index(drop=True),
        pd.DataFrame(reads),
        mode,
        within,
        any(event["simulated"] for event in asked),
        flags,
    )


def _rules(event: Mapping, design: Design | None) -> tuple[str, float]:
    """(mode, within_mm) of the design, or of a simulated event."""
    if design is not None:
        return design.marks, design.card["plan"].get("marks_within_mm", 0.0)
    places = event["payload"].get("places", {})
    return places.get("mode", "free_response"), places.get("within_mm", 0.0)


def _spacing(event: Mapping, design: Design | None) -> float | None:
    if design is None:
        return event["payload"].get("places", {}).get("spacing_mm")
    return design.geometry(event["case_id"])["spacing_mm"]


def _truth(case: str, known: Mapping, places: Mapping) -> dict[str, Any]:
    """A case's number of lesions, missing where it has one whose place is not known."""
    number = len(places.get("lesions") or [])
    row = {"case": case, "lesions": None if known["truth"] == 1 and not number else number}
    return row | ({"patient": known["patient"]} if known.get("patient") else {})


def _rows(
    event: Mapping, modality: str, places: Mapping, within: float, spacing: float | None
) -> list[dict[str, Any]]:
    """Rows of the marks of one answer, scored; of several at one lesion the surest counts."""
    marks, lesions = event["payload"]["marks"], places.get("lesions") or []
    at = [lesion_of(mark, lesions, within, spacing) for mark in marks]
    kinds = ["LL" if number else "NL" for number in at]
    for number in set(at) - {0}:
        own = [k for k, found in enumerate(at) if found == number]
        best = max(own, key=lambda k: marks[k]["confidence"])
        for k in own:
            kinds[k] = "LL" if k == best else "again"
    told = {"reader": event["reader"], "case": event["case_id"], "modality": modality}
    told |= {"simulated": bool(event["simulated"])}
    return [
        told | mark | {"mark": k + 1, "lesion": number, "kind": kind}
        for k, (mark, number, kind) in enumerate(zip(marks, at, kinds, strict=True))
    ]


def export(found: Marked, target: str | Path) -> str:
    """Write the marks as a CSV, or as a JAFROC workbook (.xlsx), whose numbers read back alike."""
    kind = Path(target).suffix
    if kind == ".csv":
        write_shared_csv(found.table, target)
    elif kind == ".xlsx":
        write_jafroc(found.marks(), target)
    else:
        raise DataError("Unknown export of marks", found=kind, expected=".csv or .xlsx")
    return str(target)
