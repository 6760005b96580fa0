"""What recomputing one claim gave, and the verdicts it can have.

Tested in tests/published/test_claims.py, where every verdict is met.
"""

from dataclasses import dataclass

import pandas as pd

from camreader.statistics.intervals import wilson

NAN = float("nan")
REPRODUCED, CONTRADICTED, UNCHECKABLE = "reproduced", "contradicted", "cannot be checked"
CONSISTENT = "consistent, one cell missing"
NO_COUNT = "no count of the images"
ALPHA = 0.05  # for every test behind a verdict


@dataclass(frozen=True)
class Finding:
    """What a claim's recomputation gave. `low` and `high` bound `value`; NaN where none exists."""

    recomputed: str
    verdict: str
    reason: str
    value: float = NAN
    low: float = NAN
    high: float = NAN
    n: int | None = None


def kind(verdict: str) -> str:
    """A verdict without its numbers, for counting: "not supported at n = 16" -> "not supported"."""
    return NO_COUNT if verdict.startswith("no count of") else verdict.split(" at n = ")[0]


def by_fact(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a ledger to be counted: what the paper states, each fact once."""
    return frame[frame["basis"] == "stated"].drop_duplicates("fact")


def verdict_of(same: bool) -> str:
    """Reproduced or contradicted: for claims that the paper's own data decide."""
    return REPRODUCED if same else CONTRADICTED


def unsupported(n: int) -> str:
    """The verdict for a direction that n cases cannot tell from chance."""
    return f"not supported at n = {n}"


def share(k: int, n: int, recomputed: str, verdict: str, reason: str) -> Finding:
    """A Finding whose value is the proportion k of n with Wilson's interval."""
    p = wilson(k, n)
    return Finding(recomputed, verdict, reason, p.value, p.low, p.high, p.n)
