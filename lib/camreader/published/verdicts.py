"""What recomputing one claim gave, and the verdicts it can have."""

from dataclasses import dataclass

from camreader.statistics.intervals import wilson

NAN = float("nan")
REPRODUCED, CONTRADICTED, UNCHECKABLE = "reproduced", "contradicted", "cannot be checked"
CONSISTENT = "consistent, one cell missing"
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


def verdict_of(same):
    """Reproduced or contradicted: for claims that the paper's own data decide."""
    return REPRODUCED if same else CONTRADICTED


def unsupported(n):
    """The verdict for a direction that n cases cannot tell from chance."""
    return f"not supported at n = {n}"


def share(k, n, recomputed, verdict, reason):
    """A Finding whose value is the proportion k of n with Wilson's interval."""
    p = wilson(k, n)
    return Finding(recomputed, verdict, reason, p.value, p.low, p.high, p.n)
