"""Figures of merit of a study of scores, with the covariances of all its arms.

A figure of merit is either the mean of a kernel over pairs of cases (AUC, sensitivity,
specificity: see `auc`) or any function of one arm's scores (partial AUC, sensitivity at a fixed
specificity, specificity at a fixed sensitivity, binormal AUC), whose covariances come from leaving
out one case, or one patient, at a time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from camreader.common.errors import DataError
from camreader.statistics.mrmc import binormal, options
from camreader.statistics.mrmc.covariance import (
    CLUSTERED,
    ESTIMATORS,
    unbiased,
    without_shared_cases,
)
from camreader.statistics.mrmc.figures_of_merit import METRICS, estimate, kernel, roc_points
from camreader.statistics.mrmc.io import Arms, repeats

CURVE_METRICS = (
    "partial_auc",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "binormal_auc",
)
SCORE_METRICS = (*METRICS, *CURVE_METRICS)
NEEDED = {"sensitivity": ("positives",), "specificity": ("negatives",)}  # else both classes
BOTH = ("positives", "negatives")


@dataclass(frozen=True)
class StudyArms:
    """What every analysis needs, whether it came from scores or from marks."""

    theta: np.ndarray  # (modalities, readers); NaN where a reader did not read a modality
    matrix: np.ndarray  # covariances, modality-major
    modalities: tuple
    readers: tuple
    counts: tuple  # (diseased, without disease) read, each (modalities, readers)
    unit: str
    units: int
    crossed: bool
    flags: list

    @property
    def nested(self) -> bool:
        """True where no reader read under two modalities."""
        return bool((~np.isnan(self.theta)).sum(0).max() <= 1)


def estimates(
    scores: Arms, metric: str, threshold: float | None, covariance: str, at: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(accuracies (T, R), covariances (T*R, T*R), modality-major) of `scores.Arms`.

    Whole patients are left out where `scores.clusters` repeat. DataError where the covariance is
    not defined for the metric.
    """
    groups = codes(scores.clusters) if repeats(scores.clusters) else None  # type: ignore[arg-type]  # repeats: no None
    if metric in CURVE_METRICS:
        return _by_leaving_out(scores, metric, at, covariance, groups)
    parts = kernel(scores.positives, scores.negatives, metric, threshold)
    flat = [x.reshape(-1, *x.shape[2:]) for x in parts]
    if groups is None:
        estimator = ESTIMATORS[covariance] if metric == "auc" else unbiased
        matrix = estimator(*flat)
    else:
        refuse_unbiased(covariance)
        matrix = CLUSTERED[covariance](*flat, *_with_stand_ins(groups, metric))
    blocks = (scores.positives, scores.negatives)
    read = [~np.isnan(x).reshape(matrix.shape[-1], x.shape[-1]) for x in blocks]
    return estimate(*parts), without_shared_cases(matrix, *read)


def refuse_unbiased(covariance: str) -> None:
    """DataError for a covariance that takes cases for independent."""
    if covariance not in CLUSTERED:
        words = "This covariance takes cases of one patient for independent"
        raise DataError(words, found=covariance, expected=", ".join(CLUSTERED))


def codes(clusters: Iterable[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Whole numbers from 0 for the names of patients, two arrays of names."""
    names: dict[Any, int] = {}
    return tuple(np.array([names.setdefault(x, len(names)) for x in part]) for part in clusters)


def _with_stand_ins(groups: tuple[np.ndarray, ...], metric: str) -> tuple[np.ndarray, ...]:
    """Clusters of rows and columns of the kernel: its two stand-in cases belong to nobody."""
    if metric == "auc":
        return groups
    place = 0 if metric == "sensitivity" else 1
    _, own = np.unique(groups[place], return_inverse=True)
    stand_in = own.max() + 1 + np.arange(2)
    return (own, stand_in) if metric == "sensitivity" else (stand_in, own)


# Functions of one arm's scores: positives (n1,) and negatives (n0,), none of them missing


def partial_auc(positives: np.ndarray, negatives: np.ndarray, at: float) -> float:
    """Area under the empirical ROC up to a false positive rate of `at`, as a share of `at`.

    With the trapezium's rule between points (McClish 1989, Med Decis Making 9:190). Chance is
    `at` / 2, perfection 1.
    """
    false, true = roc_points(positives, negatives)
    last = int(np.argmax(false >= at))  # the first point that is as far: a rise there adds no area
    end = np.interp(at, false[last - 1 : last + 1], true[last - 1 : last + 1])
    x, y = np.append(false[:last], at), np.append(true[:last], end)
    return float(np.trapezoid(y, x) / at)


def sensitivity_at_specificity(positives: np.ndarray, negatives: np.ndarray, at: float) -> float:
    """Highest sensitivity among thresholds whose specificity is at least `at`."""
    false, true = roc_points(positives, negatives)
    return float(true[1 - false >= at - 1e-12].max())


def specificity_at_sensitivity(positives: np.ndarray, negatives: np.ndarray, at: float) -> float:
    """Highest specificity among thresholds whose sensitivity is at least `at`."""
    false, true = roc_points(positives, negatives)
    return float((1 - false[true >= at - 1e-12]).max())


FUNCTIONS = {
    "partial_auc": partial_auc,
    "sensitivity_at_specificity": sensitivity_at_specificity,
    "specificity_at_sensitivity": specificity_at_sensitivity,
    "binormal_auc": lambda positives, negatives, at: binormal.fit(positives, negatives).auc,
}


def check_point(metric: str, at: float | None) -> None:
    """DataError unless `at` is what the metric needs: a rate inside 0 to 1, or nothing."""
    if metric not in CURVE_METRICS or metric == "binormal_auc":
        if at is not None:
            raise DataError("This metric has no operating point", column="at", found=metric)
        return
    words = {
        "partial_auc": "the highest false positive rate of the partial area",
        "sensitivity_at_specificity": "the specificity that is fixed",
        "specificity_at_sensitivity": "the sensitivity that is fixed",
    }
    options.between("at", at, 0, 1.0000001, f"{words[metric]}, above 0 and at most 1")


def _by_leaving_out(
    scores: Arms,
    metric: str,
    at: float | None,
    covariance: str,
    groups: tuple[np.ndarray, ...] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies and the jackknife covariances of a function of the scores."""
    options.one_of(f"covariance of {metric}", covariance, ("jackknife",))
    if groups is None:
        sizes = [getattr(scores, name).shape[-1] for name in BOTH]
        groups = np.arange(sizes[0]), sizes[0] + np.arange(sizes[1])
    t, r = scores.positives.shape[:2]
    values = [
        leave_out(FUNCTIONS[metric], scores.positives[i, j], scores.negatives[i, j], groups, at)
        for i in range(t)
        for j in range(r)
    ]
    theta = np.array([value for value, _ in values]).reshape(t, r)
    return theta, jackknife_products(np.stack([left for _, left in values]))


def jackknife_products(values: np.ndarray) -> np.ndarray:
    """(A, A) jackknife covariances of (A, K) values, each with one of K units left out."""
    n = values.shape[-1]
    gaps = values - values.mean(-1, keepdims=True)
    return (n - 1) / n * gaps @ gaps.T


def leave_out(
    function: Callable[[np.ndarray, np.ndarray, Any], float],
    positives: np.ndarray,
    negatives: np.ndarray,
    groups: tuple[np.ndarray, ...],
    at: float | None,
) -> tuple[float, np.ndarray]:
    """(value, values (K,) with each cluster left out) of `function` for one arm.

    What leaves the same scores behind is computed once: with ordinal ratings that is most of it.
    """
    known = ~np.isnan(positives), ~np.isnan(negatives)
    seen: dict[tuple[bytes, bytes], float] = {}

    def value(kept1: np.ndarray, kept0: np.ndarray) -> float:
        chosen = np.sort(positives[kept1]), np.sort(negatives[kept0])
        key = (chosen[0].tobytes(), chosen[1].tobytes())
        if key not in seen:
            empty = not (len(chosen[0]) and len(chosen[1]))
            seen[key] = np.nan if empty else function(*chosen, at)
        return seen[key]

    whole = value(*known)
    left = [
        value(known[0] & (groups[0] != k), known[1] & (groups[1] != k))
        for k in range(1 + max(groups[0].max(), groups[1].max()))
    ]
    return whole, np.array(left)
