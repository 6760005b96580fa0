"""Two separate proportions: Fisher's exact test, Newcombe's interval, the cases the test needs."""

import numpy as np
from scipy import stats
from scipy.special import gammaln

from camreader.statistics.intervals import newcombe
from camreader.statistics.mrmc.options import between
from camreader.statistics.mrmc.power import fewest

ALPHA = 0.05  # two-sided
MOST = 5000  # per group: beyond this no number is searched for
RARE = 1e-12  # totals less likely than this cannot move a power


def compare(k1: int, n1: int, k2: int, n2: int, wanted: float = 0.8) -> dict[str, float]:
    """k1/n1 against k2/n2: difference, Newcombe's low and high, Fisher's p, n_needed.

    n_needed: cases per group, each independent of the others, for a power of `wanted` if the
    observed difference were true; NaN where the proportions are equal, more than 5,000 would be
    needed, or a group is empty (then everything is NaN).
    """
    if not n1 or not n2:
        return dict.fromkeys(("difference", "low", "high", "p", "n_needed"), np.nan)
    found = newcombe(k1, n1, k2, n2)
    return {
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "p": float(stats.fisher_exact([[k1, n1 - k1], [k2, n2 - k2]]).pvalue),
        "n_needed": cases_needed(k1 / n1, k2 / n2, wanted),
    }


def why_no_number(k1: int, n1: int, k2: int, n2: int) -> str:
    """Words on why `compare` has no n_needed."""
    if not n1 or not n2:
        return "a group has no cases"
    if k1 * n2 == k2 * n1:
        return "equal shares: no number of cases would tell them apart"
    return f"more than {MOST:,} cases per group would be needed"


def cases_needed(p1: float, p2: float, wanted: float = 0.8) -> float:
    """Cases per group with which Fisher's test reaches the power `wanted` and with one fewer not.

    Exact power rises in a saw-tooth, so a slightly smaller number can reach it by luck of
    rounding. NaN where p1 = p2 or more than 5,000 are needed.
    """
    for name, value in (("p1", p1), ("p2", p2)):
        between(name, value, -1e-12, 1 + 1e-12, "a share of 0 to 1")
    found = None if p1 == p2 else fewest(lambda n: power(p1, p2, n), wanted, 1, MOST)
    return np.nan if found is None else float(found)


def power(p1: float, p2: float, n: int) -> float:
    """Chance that Fisher's test tells p1 from p2 (two-sided 5 %) with n cases in each group.

    Exact: the probabilities of all pairs of counts for which it rejects, summed (Fisher's test
    conditions on the total, so total by total).
    """
    first, second = (stats.binom.pmf(np.arange(n + 1), n, p) for p in (p1, p2))
    totals = np.flatnonzero(np.convolve(first, second) > RARE)
    logs = gammaln(np.arange(2 * n + 1) + 1)  # logarithms of the factorials
    return float(sum(_rejected(total, first, second, logs) for total in totals.tolist()))


def _rejected(total: int, first: np.ndarray, second: np.ndarray, logs: np.ndarray) -> float:
    """Probability of the pairs of counts with this sum for which the test rejects."""
    n = len(first) - 1
    k = np.arange(max(0, total - n), min(n, total) + 1)
    ways = -logs[k] - logs[n - k] - logs[total - k] - logs[n - total + k]
    chance = np.exp(ways - ways.max())
    chance /= chance.sum()  # hypergeometric: the counts of the first group, given the total
    order = np.argsort(chance)
    upto = np.cumsum(chance[order])
    # p: all counts at most as likely as this one; 1e-7 keeps equals together, as scipy does
    place = np.searchsorted(chance[order], chance * (1 + 1e-7), side="right")
    return (first[k] * second[total - k])[upto[place - 1] <= ALPHA].sum()
