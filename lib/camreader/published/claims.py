"""The claims ledger: what the paper claims, what its own data say, what this run measured.

data/published/claims.csv lists every numeric or directional claim in our words, with a few of the
paper's own, and names the check that recomputes it; the verdict comes from the check, never from
the file. `basis` says whether the paper states the claim, whether it is our reading of it, or
arithmetic; rows of one `fact` say the same and are counted once (`by_fact`). Notebook 05
writes the ledger without this run, so that it is the same on every machine; as a program
(`camreader claims --reports reports`) this module adds what the run measured.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.tables import check
from camreader.published import numbers, readings
from camreader.published.paper import Paper
from camreader.published.verdicts import Finding, by_fact, kind

__all__ = ["by_fact", "kind", "ledger", "read_claims", "with_this_run"]
LEDGER = "claims_published"
CHECKS = {check.__name__: check for check in (*readings.CHECKS, *numbers.CHECKS)}
NOT_MEASURED = "not measured in this run"
STATED = ("id", "section", "place", "claim", "quote", "published", "basis", "fact")


class Claims(pa.DataFrameModel):
    """One row per claim, in the order of the paper; `check` names the function that decides."""

    id: Series[str] = pa.Field(unique=True)
    section: Series[str]
    place: Series[str]
    claim: Series[str]
    quote: Series[str]
    published: Series[str]
    basis: Series[str] = pa.Field(isin=("stated", "our reading", "arithmetic"))
    fact: Series[str]
    check: Series[str]
    argument: Series[str]


def read_claims(folder: str | Path = "../data/published") -> pd.DataFrame:
    """The list of claims (one row each), checked; DataError names an unknown check."""
    path = Path(folder) / "claims.csv"
    read_table(path)  # for its words where the file is missing or broken
    claims = check(pd.read_csv(path, dtype=str, keep_default_na=False), Claims, file=path)
    unknown = [row for row in claims.itertuples() if row.check not in CHECKS]
    if unknown:
        first = unknown[0]
        raise DataError("Unknown check", file=path, row=first.id, column="check", found=first.check)
    return claims


def ledger(paper: Paper, claims: pd.DataFrame) -> pd.DataFrame:
    """Every claim with its recomputed value, interval, n, verdict and reason: one row each."""
    rows = []
    for claim in claims.itertuples(index=False):
        finding = _recomputed(paper, claim)
        rows.append({name: getattr(claim, name) for name in STATED} | asdict(finding))
    frame = pd.DataFrame(rows).astype({"n": "Int64"})
    order = ["recomputed", "value", "low", "high", "n", "verdict", "reason"]
    return frame[[*STATED, *order]]


def _recomputed(paper: Paper, claim: Any) -> Finding:
    """The Finding of one claim; DataError for an argument that its check does not know."""
    try:
        return CHECKS[claim.check](paper, claim.argument, claim.published)
    except (KeyError, ValueError) as error:
        words = f"Check {claim.check} does not know this argument: {error}"
        place = {"file": "claims.csv", "row": claim.id, "column": "argument"}
        raise DataError(words, **place, found=claim.argument) from error


@dataclass(frozen=True)
class Measure:
    """Where a run keeps one quantity: a table of reports/tables, the row's cells, the column."""

    table: str
    where: dict[str, Any] = field(default_factory=dict)
    column: str = "value"

    def read(self, folder: str | Path) -> str:
        """The quantity in words with its interval and n, or words on why there is none."""
        path = Path(folder) / f"{self.table}.csv"
        if not path.exists():
            return NOT_MEASURED
        frame = read_table(path)
        rows, sought = frame, ", ".join(f"{k} = {v}" for k, v in self.where.items())
        for column, value in self.where.items():
            if column not in frame:
                return f"{NOT_MEASURED}: {self.table} has no column {column}"
            rows = rows[rows[column].astype(str).str.lower() == str(value).lower()]
        if rows.empty or self.column not in rows:
            return f"{NOT_MEASURED}: {self.table} has no {self.column} where {sought}"
        return self._words(rows.iloc[0])

    def _words(self, row: pd.Series) -> str:
        value = row[self.column]
        if pd.isna(value):
            note = row.get("note", "")
            return f"{NOT_MEASURED}: {note if isinstance(note, str) and note else 'no value'}"
        low, high = (row.get(f"{self.column}_{end}", row.get(end)) for end in ("low", "high"))
        limits = "no interval" if pd.isna(low) else f"{100 * low:.1f}–{100 * high:.1f}"
        n = next((f", n = {row[k]:.0f}" for k in ("n", "with_truth") if pd.notna(row.get(k))), "")
        return f"{100 * value:.1f} % ({limits}{n})"


def metric(name: str, protocol: str = "paper", run: str = "final") -> Measure:
    """A metric of one run under one protocol."""
    return Measure("03_metrics", {"metric": name, "protocol": protocol, "run": run})


def region(name: str, protocol: str = "paper") -> Measure:
    """Accuracy of the network trained on one region alone."""
    return Measure("06_regions", {"region": name, "protocol": protocol}, "accuracy")


def localisation(method: str, column: str = "hit") -> Measure:
    """How often a method's maximum lies on the lesion, over all slices that have one."""
    return Measure("04_localisation", {"method": method, "kind": "all"}, column)


MAP_HIT = localisation("gradcam")
DIFFERENCES = {  # best of several: answered by what the others hit minus what Grad-CAM hits
    f"{words} minus Grad-CAM": localisation(name, "hit_minus_gradcam")
    for name, words in (("gradcam_pp", "Grad-CAM++"), ("cam", "CAM"), ("saliency", "saliency"))
}
FAITHFUL = Measure("04_faithfulness", {"method": "gradcam"}, "insertion")
HIDDEN = Measure("01_label_rules", {"rule": "neighbour", "distance_mm": 0.0}, "share")
MEASURED = {  # claim -> what this run measured of the same quantity, each named in words
    "cited-ms": {"Grad-CAM on the lesion": MAP_HIT} | DIFFERENCES,
    "cited-chest": {"Grad-CAM on the lesion": MAP_HIT} | DIFFERENCES,
    "benefit-localisation": {"Grad-CAM on the lesion": MAP_HIT} | DIFFERENCES,
    "benefit-faithful": {"Grad-CAM, insertion": FAITHFUL},
    "labels": {"neighbours that hide a lesion": HIDDEN},
    "labels-incomplete": {"neighbours that hide a lesion": HIDDEN},
    "threshold": {"paper": metric("accuracy")},
    "accuracy-final": {"paper": metric("accuracy")},
    "accuracy-true": {"paper": metric("accuracy"), "sound": metric("accuracy", "sound")},
    "accuracy-unseen": {"sound": metric("accuracy", "sound")},
    "accuracy-1": {"first run": metric("accuracy", run="first")},
    "accuracy-2": {"second run": metric("accuracy", run="second")},
    "accuracy-lung": {"lung": region("lung")},
    "accuracy-liver": {"liver": region("liver")},
    "region-higher": {
        f"{protocol}, {name}": measure
        for protocol in ("paper", "sound")
        for name, measure in (
            ("lung", region("lung", protocol)),
            ("liver", region("liver", protocol)),
            ("all", metric("accuracy", protocol)),
        )
    },
}


def with_this_run(frame: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """The ledger with a column `this_run`: what the tables in `folder` say of each claim."""
    said = []
    for name in frame["id"]:
        parts = {words: m.read(folder) for words, m in MEASURED.get(name, {}).items()}
        found = [f"{words}: {text}" for words, text in parts.items()]
        if all(text == NOT_MEASURED for text in parts.values()):
            found = [NOT_MEASURED]
        said.append("; ".join(found))
    return frame.assign(this_run=said)


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of `camreader claims`."""
    parser.add_argument("--reports", default="reports", help="folder with tables/ (default here)")


def run(options: Namespace) -> None:
    """Add this run's measurements to notebook 05's ledger: reports/tables/claims.csv."""
    study = Study(reports=options.reports)
    published = read_table(study.tables / f"{LEDGER}.csv")
    study.save_table(with_this_run(published, study.tables), "claims")
    print(f"{len(published)} claims in {study.tables / 'claims.csv'}")
