"""The binormal ROC curve of one arm, by maximum likelihood on ordinal categories.

Scores of cases without disease are N(0, 1), of diseased cases N(mu, 1 / b) on an unseen scale cut
into categories (Dorfman & Alf 1969, J Math Psychol 6:487; Metz, Herman & Shen 1998, Stat Med
17:1033 for continuous scores, whose distinct runs of one class are one category). AUC =
Phi(a / sqrt(1 + b^2)) with a = b mu.

Tested in tests/statistics/mrmc/test_merits.py, beside the other merits of a curve.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from camreader.common.errors import DataError

MOST_CATEGORIES = 20  # runs beyond this are merged: the fit of more changes nothing that shows
FAR = 6.0  # bounds of the cut-points, in SDs of the cases without disease
STEEPEST = 1e4  # bounds of b and 1 / b: where the likelihood has no maximum, its limit is at hand
CORNER = 100.0  # b or 1 / b beyond it: the curve is a corner


@dataclass(frozen=True)
class Binormal:
    """a (separation) and b (slope) of the curve, its AUC, and why it is degenerate, if it is."""

    a: float
    b: float
    auc: float
    note: str = ""

    def curve(self, false: np.ndarray) -> np.ndarray:
        """True positive rate at the false positive rates `false`."""
        return stats.norm.cdf(self.a + self.b * stats.norm.ppf(false))


def fit(positives: ArrayLike, negatives: ArrayLike) -> Binormal:
    """`Binormal` of scores (n1,) and (n0,), higher meaning more suspicious.

    DataError for a class without scores. Scores that separate the classes have no fit: AUC 1 (or
    0) with a note. One category only gives AUC 1/2 with a note.
    """
    positives, negatives = (np.asarray(x, float) for x in (positives, negatives))
    if not len(positives) or not len(negatives):
        raise DataError("A curve needs cases of both classes")
    counts = _categories(positives, negatives)
    if counts.shape[1] == 1:
        return Binormal(0.0, 1.0, 0.5, "all scores equal: no curve can be fitted")
    if positives.min() > negatives.max():
        return Binormal(np.inf, 1.0, 1.0, "the scores separate the classes: AUC 1 by definition")
    if negatives.min() > positives.max():
        return Binormal(-np.inf, 1.0, 0.0, "the scores separate the classes: AUC 0")
    a, b = _maximum(counts)
    auc = float(stats.norm.cdf(a / np.hypot(1, b)))
    corner = not 1 / CORNER < b < CORNER
    return Binormal(a, b, auc, "degenerate: the curve has a corner" if corner else "")


def _categories(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Counts (2, categories) by class; neighbouring scores of one class only are one category."""
    values = np.unique(np.concatenate([positives, negatives]))
    counts = np.stack(
        [
            np.bincount(np.searchsorted(values, x), minlength=len(values))
            for x in (negatives, positives)
        ]
    )
    merged = [counts[:, 0]]
    for column in counts[:, 1:].T:
        pure = (merged[-1] > 0).tolist() == (column > 0).tolist() and (column > 0).sum() == 1
        if pure:
            merged[-1] = merged[-1] + column
        else:
            merged.append(column)
    counts = np.stack(merged, 1)
    if counts.shape[1] > MOST_CATEGORIES:
        ends = np.linspace(0, counts.shape[1], MOST_CATEGORIES + 1).astype(int)[:-1]
        counts = np.add.reduceat(counts, ends, axis=1)
    return counts


def _maximum(counts: np.ndarray) -> tuple[float, float]:
    """(a, b) of the largest likelihood of (2, k) counts, from the empirical curve as a start."""
    steep = np.log(STEEPEST)
    start = _start(counts)
    bounds = [(-2 * FAR, 2 * FAR), (-steep, steep), (-FAR, FAR)]
    bounds += [(-8, np.log(2 * FAR) + steep)] * (len(start) - 3)
    options: dict[str, Any] = {"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10}
    found = optimize.minimize(
        _loss, start, (counts,), method="L-BFGS-B", jac=True, bounds=bounds, options=options
    ).x
    if abs(found[1]) > np.log(CORNER):  # no maximum: its limit lies far along a flat valley
        options = {"maxiter": 5000, "gtol": 1e-9}
        with np.errstate(all="ignore"):
            found = optimize.minimize(
                _loss, start, (counts,), method="BFGS", jac=True, options=options
            ).x
    return float(found[0]), float(np.exp(found[1]))


def _loss(x: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
    """(minus the log likelihood, its gradient) at x: a, log b, first cut, log gaps of the cuts."""
    a, b, gaps = x[0], np.exp(x[1]), np.exp(x[3:])
    cuts = np.cumsum(np.concatenate([[x[2]], gaps]))
    points = np.stack([cuts, b * cuts - a])
    below = np.concatenate([np.zeros((2, 1)), stats.norm.cdf(points), np.ones((2, 1))], 1)
    chance = np.maximum(np.diff(below, axis=1), 1e-300)
    weight = counts / chance
    pull = (weight[:, :-1] - weight[:, 1:]) * stats.norm.pdf(points)  # by each cut, per class
    by_cut = pull[0] + b * pull[1]
    slope = [-pull[1].sum(), b * (pull[1] * cuts).sum(), by_cut.sum()]
    later = np.cumsum(by_cut[::-1])[::-1]  # a gap moves every cut above it
    gradient = -np.concatenate([slope, gaps * later[1:]])
    return -(counts * np.log(chance)).sum(), gradient


def _start(counts: np.ndarray) -> np.ndarray:
    """Parameters from a line through the empirical curve in normal deviates."""
    below = (np.cumsum(counts, 1)[:, :-1] + 0.5) / (counts.sum(1, keepdims=True) + 1)
    z0, z1 = stats.norm.ppf(below)
    slope = np.polyfit(z0, z1, 1)[0] if len(z0) > 1 and np.ptp(z0) > 0 else 1.0
    b = float(np.clip(slope, 0.3, 3))
    a = float(np.mean(b * z0 - z1))
    gaps = np.log(np.maximum(np.diff(z0), 0.05))
    return np.concatenate([[a, np.log(b), np.clip(z0[0], -FAR, FAR)], gaps])
