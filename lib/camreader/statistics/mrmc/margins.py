"""Non-inferiority and equivalence: is a difference within a margin that was declared beforehand?

Chen, Petrick & Sahiner 2012, J Med Imaging / Acad Radiol 19:1158: the difference's own standard
error and degrees of freedom, t = (difference + margin) / error for non-inferiority; two one-sided
tests for equivalence (Schuirmann 1987, J Pharmacokinet Biopharm 15:657). A margin chosen after the
data have been seen tests nothing: the result says whether it was declared before.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc import options

if TYPE_CHECKING:
    from camreader.statistics.mrmc.analysis import MRMC
    from camreader.statistics.mrmc.ustatistics import UStatistics

SIMULATED = "simulated, 5 readers x 50 cases: 3 to 4 % passed at the very margin, nominal 2.5 %"


@dataclass(frozen=True)
class MarginTest:
    """difference: first minus second; low, high: its two-sided interval of 1 - 2 alpha, which
    lies above -margin (inside both margins) exactly where the test rejects. t, df, p: one-sided;
    for equivalence those of the worse side. shown: p below alpha. flags in words."""

    kind: str
    first: str
    second: str
    margin: float
    difference: float
    error: float
    low: float
    high: float
    t: float
    df: float
    p: float
    alpha: float
    declared: bool
    flags: list = field(default_factory=list)

    @property
    def shown(self) -> bool:
        """True where the test rejects that the difference is beyond the margin."""
        return bool(self.p < self.alpha)

    @property
    def words(self) -> str:
        """The result in one sentence."""
        verdict = "shown" if self.shown else "not shown"
        limits = f"{100 * (1 - 2 * self.alpha):.0f} % interval {self.low:+.3f} to {self.high:+.3f}"
        said = f"{self.kind} of {self.first} to {self.second} at a margin of {self.margin:g} "
        said += (
            f"{verdict}: difference {self.difference:+.3f}, {limits}, one-sided p = {self.p:.3g}"
        )
        return said if self.declared else said + " (margin not declared before: exploratory)"


def non_inferiority(
    result: "MRMC | UStatistics",
    margin: float,
    alpha: float = 0.025,
    pair: tuple[str, str] | None = None,
    declared: bool = True,
) -> MarginTest:
    """Is the first modality at most `margin` worse than the second?

    `result` is an `MRMC` or `UStatistics`; `pair` names (first, second), by default the first
    pair; where it stands the other way round the difference is turned. `alpha` is one-sided.
    Returns `MarginTest`. DataError for a margin that is not above 0, or no difference to test.
    """
    test = _facts(result, margin, alpha, pair)
    return _tested("non-inferiority", test, test["difference"] + margin, declared)


def equivalence(
    result: "MRMC | UStatistics",
    margin: float,
    alpha: float = 0.025,
    pair: tuple[str, str] | None = None,
    declared: bool = True,
) -> MarginTest:
    """Is the difference inside both margins? Two one-sided tests; arguments as above."""
    test = _facts(result, margin, alpha, pair)  # the room is that of the side that is nearer
    return _tested("equivalence", test, margin - abs(test["difference"]), declared)


def _tested(kind: str, test: dict[str, Any], room: float, declared: bool) -> MarginTest:
    """The one-sided t test of the room that a difference leaves to its margin."""
    t = float(room / test["error"])
    return MarginTest(kind, t=t, p=float(stats.t.sf(t, test["df"])), declared=declared, **test)


def _facts(
    result: "MRMC | UStatistics", margin: float, alpha: float, pair: tuple[str, str] | None
) -> dict[str, Any]:
    """What both tests need of one pair: names, difference, error, df, interval and flags."""
    options.between("margin", margin, 0, 1, "a difference above 0 and below 1, such as 0.05")
    options.between("alpha", alpha, 0, 0.5, "a one-sided level such as 0.025")
    row, sign = _row(result.differences, pair)
    d = sign * row.get("difference", row.get("value"))  # type: ignore[operator]  # one is there
    error = row["error"] if "error" in row else np.sqrt(row["variance"])
    df: Any = row.get("ddf", row.get("df"))
    if not error > 0:
        raise DataError("The difference has no variance above 0: nothing to test")
    reach = stats.t.ppf(1 - alpha, df) * error
    names = (row["first"], row["second"])[:: int(sign)]
    facts = {"first": str(names[0]), "second": str(names[1]), "margin": float(margin)}
    facts |= {"difference": float(d), "error": float(error), "df": float(df), "alpha": float(alpha)}
    facts |= {"low": float(max(d - reach, -1)), "high": float(min(d + reach, 1))}
    return facts | {"flags": [*result.flags, SIMULATED]}


def _row(
    differences: pd.DataFrame, pair: tuple[str, str] | None
) -> tuple[dict[Hashable, Any], int]:
    """(row of the pair, 1 or -1 where it is asked for the other way round)."""
    if not len(differences):
        raise DataError("One modality: no difference to hold against a margin")
    rows = differences.to_dict("records")
    if pair is None:
        return rows[0], 1
    wanted = tuple(map(str, pair))
    for row in rows:
        names = (str(row["first"]), str(row["second"]))
        if names == wanted:
            return row, 1
        if names == wanted[::-1]:
            return row, -1
    found = "; ".join(f"{row['first']}, {row['second']}" for row in rows)
    raise DataError("No such pair of modalities", found=", ".join(wanted), expected=found)
