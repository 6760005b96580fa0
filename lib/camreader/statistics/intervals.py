"""Proportions and their 95 % intervals, in one place so that every table says the same thing."""

from dataclasses import dataclass, replace

import numpy as np
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint


@dataclass(frozen=True)
class Proportion:
    """k of n with a 95 % interval; value and interval are NaN where n = 0."""

    k: int
    n: int
    value: float
    low: float
    high: float

    def __str__(self):
        if self.n == 0:
            return "no cases (n = 0)"
        percents = (100 * x for x in (self.value, self.low, self.high))
        return "{:.1f} % ({:.1f}–{:.1f}, n = {})".format(*percents, self.n)


def wilson(k, n, level=0.95):
    """Proportion k/n with Wilson's score interval (Wilson 1927, JASA 22:209), by statsmodels."""
    k, n = int(k), int(n)
    if n == 0:
        return Proportion(0, 0, float("nan"), float("nan"), float("nan"))
    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    low, high = (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))  # not 6e-17
    return Proportion(k, n, k / n, low, high)


def cluster_bootstrap(statistic, groups, draws=1000, seed=0, level=0.95):
    """Percentile interval of `statistic(rows)` when whole groups (patients) are resampled.

    `groups` is an array (n,) of group names, one per row; `statistic` takes an integer array of
    row positions and returns a float (NaN draws are left out). Returns (low, high), NaN where
    fewer than two groups exist. Source: Davison & Hinkley 1997, Bootstrap Methods, section 3.8.
    """
    groups = np.asarray(groups)
    members = [np.flatnonzero(groups == name) for name in dict.fromkeys(groups.tolist())]
    if len(members) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(members), size=(draws, len(members)))
    values = [statistic(np.concatenate([members[i] for i in pick])) for pick in picks]
    values = np.asarray(values, float)
    if np.isnan(values).all():
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def clustered(hits, groups=None, draws=1000, seed=0):
    """(Proportion, method) of `hits` (n,) bool whose rows are alike within `groups` (n,).

    The interval resamples whole groups ("bootstrap"). Where every draw is the same, as where all
    rows are hits, it is Wilson's for as many cases as there are groups; without groups for n.
    """
    hits = np.asarray(hits, bool)
    share = wilson(hits.sum(), len(hits))
    if groups is None or not share.n:
        return share, "Wilson"
    low, high = cluster_bootstrap(lambda rows: hits[rows].mean(), groups, draws, seed)
    if low < high:
        return replace(share, low=low, high=high), "bootstrap"
    n = len(set(groups))
    ends = wilson(round(share.value * n), n)
    return replace(share, low=ends.low, high=ends.high), "Wilson"


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

    def __str__(self):
        limits = "" if np.isnan(self.low) else f"{self.low:.3f} to {self.high:.3f}, "
        value = f"{self.value:.3f} ({limits}n = {self.n})"
        return f"{value}: {self.note}" if self.note else value


def newcombe(k1, n1, k2, n2, level=0.95):
    """k1/n1 - k2/n2 for two separate groups, as an Estimate.

    Newcombe 1998, Stat Med 17:873, method 10 (two Wilson intervals), by statsmodels.
    """
    n = int(n1) + int(n2)
    if not n1 or not n2:
        return Estimate(float("nan"), float("nan"), float("nan"), n, "a group has no cases")
    limits = confint_proportions_2indep(k1, n1, k2, n2, "newcomb", "diff", 1 - level)
    return Estimate(k1 / n1 - k2 / n2, *(float(x) for x in limits), n)


def difference(first, second):
    """(low, high) of first minus second, two independent estimates, each (value, low, high).

    Their own intervals, whatever kind they are of, squared and added: MOVER (Zou & Donner 2008,
    Stat Med 27:1693), which for two Wilson intervals is `newcombe`.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    low, high = np.hypot(a - a_low, b_high - b), np.hypot(a_high - a, b - b_low)
    return float(a - b - low), float(a - b + high)


def newcombe_paired(both, first_only, second_only, neither, level=0.95):
    """Share of `first` minus share of `second` when both were judged on the same cases.

    Four counts of cases; the note is set where no case exists. Newcombe 1998, Stat Med 17:2635,
    method 10: Wilson intervals joined with a continuity-corrected correlation phi.
    """
    n = both + first_only + second_only + neither
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, "no cases")
    first, second = (wilson(both + only, n, level) for only in (first_only, second_only))
    phi = _newcombe_phi(both, first_only, second_only, neither)

    def reach(one, other):
        # rounding can leave a tiny negative where both arms are equal and phi is 1
        return np.sqrt(max(one**2 - 2 * phi * one * other + other**2, 0.0))

    value = (first_only - second_only) / n
    low = value - reach(first.value - first.low, second.high - second.value)
    high = value + reach(second.value - second.low, first.high - first.value)
    return Estimate(value, float(low), float(high), n)


def _newcombe_phi(both, first_only, second_only, neither):
    """Correlation of two paired proportions, continuity-corrected as in Newcombe's method 10."""
    n = both + first_only + second_only + neither
    excess = both * neither - first_only * second_only
    if excess > 0:
        excess = max(excess - n / 2, 0)
    margins = (both + first_only) * (second_only + neither)
    margins *= (both + second_only) * (first_only + neither)
    return excess / np.sqrt(margins) if margins else 0.0
