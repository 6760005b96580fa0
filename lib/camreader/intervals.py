"""Proportions and their 95 % intervals, in one place so that every table says the same thing."""

from dataclasses import dataclass

import numpy as np
from statsmodels.stats.proportion import proportion_confint


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
    return Proportion(k, n, k / n, float(low), float(high))


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
