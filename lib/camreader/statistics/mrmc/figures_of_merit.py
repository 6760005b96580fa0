"""What a reader achieved: empirical AUC, sensitivity and specificity, and the ROC's points.

Every measure is the mean of a kernel over pairs of one diseased case i and one case j without
disease (a two-sample U-statistic), so that one set of variances serves all three.
"""

import numpy as np

from camreader.common.errors import DataError
from camreader.statistics.mrmc import options

METRICS = ("auc", "sensitivity", "specificity")


def kernel(
    positives: np.ndarray,
    negatives: np.ndarray,
    metric: str = "auc",
    threshold: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Success of each pair of cases and which cases were read.

    `positives` (..., n1) and `negatives` (..., n0) are scores, NaN where not read. Returns
    (success (..., n1, n0) float, read1 (..., n1) bool, read0 (..., n0) bool); success is 0 where a
    case was not read. For "auc" it is 1 if i scores above j, 1/2 for a tie (Mann-Whitney). For
    "sensitivity" it is 1 if i scores at least `threshold`, for "specificity" if j scores below it;
    the other class then has two stand-in cases, so that its share of the variance is exactly 0.
    """
    check_metric(metric, threshold)
    if metric == "auc":
        high, low = positives[..., :, None], negatives[..., None, :]
        success = (high > low) + 0.5 * (high == low)
        return success, ~np.isnan(positives), ~np.isnan(negatives)
    scores = positives if metric == "sensitivity" else negatives
    right = (scores >= threshold) if metric == "sensitivity" else (scores < threshold)
    both = (np.repeat(right[..., None], 2, -1).astype(float), ~np.isnan(scores))
    stand_in = np.ones((*scores.shape[:-1], 2), bool)
    if metric == "sensitivity":
        return both[0], both[1], stand_in
    return np.swapaxes(both[0], -1, -2), stand_in, both[1]


def check_metric(metric: str, threshold: float | None) -> None:
    """DataError for an unknown metric, or a proportion without a finite threshold."""
    options.one_of("metric", metric, METRICS)
    if metric == "auc":
        return
    if threshold is None:
        words = "A proportion needs a threshold: scores at or above it are positive"
        raise DataError(words, column="metric", found=metric)
    options.finite("threshold", threshold)


def estimate(success: np.ndarray, read1: np.ndarray, read0: np.ndarray) -> np.ndarray:
    """Mean success over the pairs that were read, shape (...,); NaN where there are none."""
    pairs = read1.sum(-1) * read0.sum(-1)
    total = success.sum((-1, -2))
    return np.divide(total, pairs, out=np.full(total.shape, np.nan), where=pairs > 0)


def roc_points(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Empirical ROC: (false positive rate, true positive rate), each (k,), from 0 to 1.

    `positives` and `negatives` are 1-D scores; NaN are left out. One point per distinct score.
    """
    positives, negatives = (x[~np.isnan(x)] for x in (positives, negatives))
    cuts = np.unique(np.concatenate([positives, negatives]))[::-1]
    true = (positives[None] >= cuts[:, None]).mean(1)
    false = (negatives[None] >= cuts[:, None]).mean(1)
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])
