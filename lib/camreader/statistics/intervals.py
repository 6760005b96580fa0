"""Proportions and their 95 % intervals, in one place so that every table says the same thing.

No interval leaves the range of what it bounds, and no unit of analysis is assumed: rows are
independent only where the caller says INDEPENDENT.

Tested in tests/statistics, in the files of the statistics whose intervals they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from camreader.common.errors import DataError
from camreader.statistics.mrmc.options import level_of

NAN = float("nan")
LEVEL = 0.95  # coverage of every interval, unless another is asked for
Groups: TypeAlias = Sequence | np.ndarray | pd.Series | str  # names, one per row, or INDEPENDENT


@dataclass(frozen=True)
class Proportion:
    """k of n with a 95 % interval; value and interval are NaN where n = 0."""

    k: int
    n: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.n == 0:
            return "no cases (n = 0)"
        percents = (100 * x for x in (self.value, self.low, self.high))
        return "{:.1f} % ({:.1f}–{:.1f}, n = {})".format(*percents, self.n)


def wilson(k: int, n: int, level: float = LEVEL) -> Proportion:
    """Proportion k/n with Wilson's score interval (Wilson 1927, JASA 22:209), by statsmodels."""
    level_of(level)
    k, n = int(k), int(n)
    if not 0 <= k <= n:
        raise DataError("Not a count of successes", found=f"{k} of {n}", expected="0 <= k <= n")
    if n == 0:
        return Proportion(0, 0, NAN, NAN, NAN)
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    low, high = (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))  # not 6e-17
    return Proportion(k, n, k / n, low, high)


INDEPENDENT = "independent"  # the unit of analysis is the row: said, never assumed


def units(groups: Groups | None, n: int) -> np.ndarray | None:
    """Codes (n,) of the unit that each row belongs to, from 0; None where rows are independent.

    DataError where the unit is not stated (None), a name is missing, or the lengths differ.
    """
    if groups is None:
        words = "The unit of analysis is not stated"
        raise DataError(words, expected="names of patients, one per row, or INDEPENDENT")
    if isinstance(groups, str) and groups == INDEPENDENT:
        return None
    names = pd.Series(np.asarray(groups, dtype=object))
    if len(names) != n:
        raise DataError("Not one group name per row", found=len(names), expected=n)
    missing = names.isna() | names.astype(str).str.strip().eq("")
    if missing.any():
        words = "Rows without a patient cannot be resampled by patient"
        raise DataError(
            words, row=int(missing.idxmax()), found=f"{missing.sum()} of {n} names missing"
        )
    return pd.factorize(names)[0]


def unit_codes(groups: Groups | None, n: int) -> np.ndarray:
    """Codes (n,) as of `units`; where rows are independent, each is a unit of its own."""
    codes = units(groups, n)
    return np.arange(n) if codes is None else codes


def by_unit(method: str, groups: Groups) -> str:
    """An interval's method with its unit of analysis: "Wilson by slice", "t by patient"."""
    return f"{method} by {'slice' if isinstance(groups, str) else 'patient'}"


def units_in(groups: Groups) -> Any:
    """How many patients `groups` names; missing where rows are independent."""
    return pd.NA if isinstance(groups, str) else len(set(np.asarray(groups).tolist()))


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], float],
    groups: Groups,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `statistic(rows)` when whole groups (patients) are resampled.

    `groups` is an array (n,) of group names, one per row; `statistic` takes an integer array of
    row positions and returns a float (NaN draws are left out). Returns (low, high), NaN where
    fewer than two groups exist. DataError for a missing name. Too narrow below about 50 groups
    (docs/statistics.md): for shares and means see `clustered` and `clustered_mean`. Source:
    Davison & Hinkley 1997, Bootstrap Methods, section 3.8.
    """
    codes: Any = units(groups, len(groups))
    members = [np.flatnonzero(codes == k) for k in range(1 + max(codes, default=-1))]
    if len(members) < 2:
        return NAN, NAN
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(members), size=(draws, len(members)))
    drawn = [statistic(np.concatenate([members[i] for i in pick])) for pick in picks]
    values = np.asarray(drawn, float)
    if np.isnan(values).all():
        return NAN, NAN
    tail = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def clustered(hits: ArrayLike, groups: Groups) -> tuple[Proportion, str]:
    """(Proportion, method) of `hits` (n,) bool whose rows are alike within `groups` (n,).

    With groups: Wilson's interval for n over the design effect, that in turn by the squared ratio
    of the normal and the t quantile with K - 1 degrees of freedom for K groups (Korn & Graubard
    1998, Surv Methodol 24:193); no more than n cases, and K where every row is the same. One
    group has no interval. `groups` INDEPENDENT: Wilson's for n. DataError for None: the unit of
    analysis must be stated.
    """
    hits = np.asarray(hits, bool)
    codes, share = units(groups, len(hits)), wilson(hits.sum(), len(hits))
    if codes is None or not share.n:
        return share, "Wilson"
    number = 1 + codes.max()
    if number < 2:
        return replace(share, low=NAN, high=NAN), "no interval: one unit"
    low, high = _wilson_limits(share.value, _effective(hits, codes, number))
    return replace(share, low=low, high=high), "Wilson with design effect"


def _effective(hits: np.ndarray, codes: np.ndarray, number: int) -> float:
    """Independent rows that would tell as much as these rows of `number` groups."""
    n, p = len(hits), hits.mean()
    if p in (0, 1):
        return float(number)
    gaps = np.bincount(codes, hits - p)
    variance = number / (number - 1) * (gaps**2).sum() / n**2
    if variance <= 1e-24:  # 0 but for rounding
        return float(number)
    shrink = (ndtri(0.975) / stdtrit(number - 1, 0.975)) ** 2
    return float(min(p * (1 - p) / variance * shrink, n))


def _wilson_limits(p: float, n: float) -> tuple[float, float]:
    """Wilson's limits for a share p of n rows, n not necessarily whole."""
    z = ndtri(0.975)
    centre, below = p + z**2 / (2 * n), 1 + z**2 / n
    reach = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (centre - reach) / below, (centre + reach) / below
    return (0.0 if p == 0 else float(max(low, 0))), (1.0 if p == 1 else float(min(high, 1)))


def clustered_mean(
    values: ArrayLike, groups: Groups, limits: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """(low, high) of the mean of `values` (n,) alike within `groups` (n,), cut to `limits`.

    Linearised variance of a ratio of group sums, t with K - 1 degrees of freedom. Where every
    value is the same, resampling would claim certainty: then as far as Wilson's limit for 0 of K
    groups, in units of the range. (NaN, NaN) below two units.
    """
    values = np.asarray(values, float)
    codes = unit_codes(groups, len(values))
    number = 1 + max(codes, default=-1)
    if number < 2:
        return NAN, NAN
    mean = values.mean()
    gaps = np.bincount(codes, values - mean)
    variance = number / (number - 1) * (gaps**2).sum() / len(values) ** 2
    reach = stdtrit(number - 1, 0.975) * np.sqrt(variance)
    if variance <= 1e-24:
        reach = _wilson_limits(0.0, number)[1] * (limits[1] - limits[0])
    return float(max(mean - reach, limits[0])), float(min(mean + reach, limits[1]))


def clustered_difference(hits: ArrayLike, first: ArrayLike, groups: Groups) -> tuple[float, float]:
    """(low, high) of the share of `hits` (n,) where `first` (n,) minus that elsewhere.

    Rows are alike within `groups`, which may have rows on both sides: linearised variance of the
    difference of two ratios, t with the degrees of freedom of the side with fewer groups (less
    one). Where neither share varies, MOVER of the two sides' own limits (see `difference`).
    (NaN, NaN) where a side has fewer than two groups.
    """
    hits, first = np.asarray(hits, bool), np.asarray(first, bool)
    codes = unit_codes(groups, len(hits))
    sides = first, ~first
    numbers = [len(set(codes[side].tolist())) for side in sides]
    if min(numbers) < 2:
        return NAN, NAN
    shares = [hits[side].mean() for side in sides]
    parts = [(hits - p) * side / side.sum() for p, side in zip(shares, sides, strict=True)]
    gaps, number = np.bincount(codes, parts[0] - parts[1]), 1 + codes.max()
    variance = number / (number - 1) * (gaps**2).sum()
    own = [clustered(hits[side], codes[side])[0] for side in sides]
    if min(shares) in (0, 1) or max(shares) in (0, 1) or variance <= 1e-24:
        return difference(*((p.value, p.low, p.high) for p in own))
    reach = stdtrit(min(numbers) - 1, 0.975) * np.sqrt(variance)
    gap = shares[0] - shares[1]
    return float(max(gap - reach, -1)), float(min(gap + reach, 1))


@dataclass(frozen=True)
class Estimate:
    """A statistic of n cases with its 95 % interval.

    `note` is empty for a sound result; otherwise it says in words why the value or the interval
    is missing (NaN) or degenerate. No NaN travels without a note.
    """

    value: float
    low: float
    high: float
    n: int
    note: str = ""


def newcombe(k1: int, n1: int, k2: int, n2: int) -> Estimate:
    """k1/n1 - k2/n2 for two separate groups, as an Estimate.

    Newcombe 1998, Stat Med 17:873, method 10 (two Wilson intervals), by statsmodels.
    """
    n, groups = int(n1) + int(n2), ((k1, n1), (k2, n2))
    first, second = (wilson(*group).value for group in groups)  # refuses what is no count
    if not n1 or not n2:
        return Estimate(NAN, NAN, NAN, n, "a group has no cases")
    from statsmodels.stats.proportion import confint_proportions_2indep

    limits = confint_proportions_2indep(k1, n1, k2, n2, "newcomb", "diff", 1 - LEVEL)
    return Estimate(first - second, float(limits[0]), float(limits[1]), n)


def difference(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """(low, high) of first minus second, two independent estimates, each (value, low, high).

    Their own intervals, whatever kind they are of, squared and added: MOVER (Zou & Donner 2008,
    Stat Med 27:1693), which for two Wilson intervals is `newcombe`.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    low, high = np.hypot(a - a_low, b_high - b), np.hypot(a_high - a, b - b_low)
    return float(a - b - low), float(a - b + high)


def disagreement(low: float, high: float, p: float) -> str:
    """Words where 95 % interval and exact test do not say the same of 0; empty where they do.

    They rest on different approximations: a score interval can exclude what an exact test, which
    is conservative for few cases, does not reject.
    """
    if np.isnan(low) or np.isnan(p) or (low > 0 or high < 0) == (p < 0.05):
        return ""
    return "interval and exact test disagree: too few cases to conclude"


def newcombe_paired(both: int, first_only: int, second_only: int, neither: int) -> Estimate:
    """Share of `first` minus share of `second` when both were judged on the same cases.

    Four counts of cases; the note is set where no case exists. Newcombe 1998, Stat Med 17:2635,
    method 10: Wilson intervals joined with a continuity-corrected correlation phi.
    """
    n = both + first_only + second_only + neither
    if min(both, first_only, second_only, neither) < 0:
        raise DataError("A count below 0", found=(both, first_only, second_only, neither))
    if n == 0:
        return Estimate(NAN, NAN, NAN, 0, "no cases")
    first, second = (wilson(both + only, n) for only in (first_only, second_only))
    phi = _newcombe_phi(both, first_only, second_only, neither)

    def reach(one: float, other: float) -> float:
        # rounding can leave a tiny negative where both arms are equal and phi is 1
        return np.sqrt(max(one**2 - 2 * phi * one * other + other**2, 0.0))

    value = (first_only - second_only) / n
    low = value - reach(first.value - first.low, second.high - second.value)
    high = value + reach(second.value - second.low, first.high - first.value)
    return Estimate(value, float(low), float(high), n)


def _newcombe_phi(both: int, first_only: int, second_only: int, neither: int) -> float:
    """Correlation of two paired proportions, continuity-corrected as in Newcombe's method 10."""
    n = both + first_only + second_only + neither
    excess: float = both * neither - first_only * second_only
    if excess > 0:
        excess = max(excess - n / 2, 0)
    margins = (both + first_only) * (second_only + neither)
    margins *= (both + second_only) * (first_only + neither)
    return excess / np.sqrt(margins) if margins else 0.0


def paired_difference(
    first: ArrayLike, second: ArrayLike, groups: Groups | None = None
) -> tuple[Estimate, str]:
    """(share of `first` minus share of `second` as an Estimate, name of its interval).

    first, second: bool (n,), both of the same cases. By case: Newcombe's paired interval. With
    `groups` (n,), such as patients: whole groups resampled; where every draw is the same,
    Newcombe's for as many cases as there are groups.
    """
    first, second = (np.asarray(values, bool) for values in (first, second))
    n = len(first)
    cells = [(first & second), (first & ~second), (~first & second), (~first & ~second)]
    counts = np.array([int(cell.sum()) for cell in cells])
    if groups is None or n == 0:
        return newcombe_paired(*counts.tolist()), "Newcombe, paired, by case"
    gain = first.astype(float) - second
    low, high = cluster_bootstrap(lambda rows: gain[rows].mean(), groups)
    value = float(gain.mean())
    if low < high:
        return Estimate(value, low, high, n), "bootstrap by patient"
    few = np.round(counts * len(set(groups)) / n).astype(int).tolist()
    found = newcombe_paired(*few)
    return Estimate(value, found.low, found.high, n, found.note), "Newcombe, paired, by patient"
