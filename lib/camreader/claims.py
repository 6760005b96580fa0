"""The claims ledger: what the paper claims, what its own data say, what this run measured.

data/published/claims.csv lists every numeric or directional claim in our words and names the
check that recomputes it; the verdict comes from the check, never from the file. Notebook 05
writes the ledger without this run, so that it is the same on every machine; as a program
(`python -m camreader.claims --reports reports`) this module adds what the run measured.
"""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from camreader import number_checks, reading_checks
from camreader.files import read_table
from camreader.schemas import DataError, check

LEDGER = "claims_published"
NOT_MEASURED = "not measured in this run"


class Claims(pa.DataFrameModel):
    """One row per claim, in the order of the paper; `check` names the function that decides."""

    id: Series[str] = pa.Field(unique=True)
    section: Series[str]
    place: Series[str]
    claim: Series[str]
    published: Series[str]
    check: Series[str]
    argument: Series[str]


def read_claims(folder="../data/published"):
    """The list of claims (one row each), checked; DataError names an unknown check."""
    path = Path(folder) / "claims.csv"
    read_table(path)  # for its words where the file is missing or broken
    claims = check(pd.read_csv(path, dtype=str, keep_default_na=False), Claims, file=path)
    unknown = [row for row in claims.itertuples() if _find_check(row.check) is None]
    if unknown:
        first = unknown[0]
        raise DataError("Unknown check", file=path, row=first.id, column="check", found=first.check)
    return claims


def _find_check(name):
    """The check of that name, or None; helpers with a leading underscore do not count."""
    if name.startswith("_"):
        return None
    return getattr(reading_checks, name, None) or getattr(number_checks, name, None)


def ledger(paper, claims):
    """Every claim with its recomputed value, interval, n, verdict and reason: one row each."""
    rows = []
    for claim in claims.itertuples(index=False):
        finding = _find_check(claim.check)(paper, claim.argument, claim.published)
        stated = {name: getattr(claim, name) for name in ("id", "section", "place", "claim")}
        rows.append({**stated, "published": claim.published, **asdict(finding)})
    frame = pd.DataFrame(rows).astype({"n": "Int64"})
    order = ["recomputed", "value", "low", "high", "n", "verdict", "reason"]
    return frame[["id", "section", "place", "claim", "published", *order]]


def kind(verdict):
    """A verdict without its n, for counting: "not supported at n = 16" -> "not supported"."""
    return verdict.split(" at n = ")[0]
