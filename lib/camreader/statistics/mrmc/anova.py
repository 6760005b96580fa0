"""The Obuchowski-Rockette analysis of variance on arrays, for one study or many at once.

Source: Obuchowski & Rockette 1995, Commun Stat Simul 24:285; Hillis 2007, Stat Med 26:596
(degrees of freedom); Hillis 2014, Stat Med 33:330 (marginal-mean form, also for readers who read
different cases: covariances are averaged over all pairs of readers).

Tested in tests/statistics/mrmc/test_reference.py, against what published programs print.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Values: TypeAlias = float | np.ndarray  # of one study, or (S,) of many
ROUNDING = 1e-24  # a mean square of accuracies below this is 0 but for rounding


@dataclass(frozen=True)
class Components:
    """Mean squares and error covariances of a study; floats, or arrays over many studies.

    cov1: same reader, two modalities; cov2: two readers, same modality; cov3: neither shared.
    """

    modalities: int
    readers: int
    ms_t: Values
    ms_r: Values
    ms_tr: Values
    var: Values
    cov1: Values
    cov2: Values
    cov3: Values

    @property
    def spread(self) -> Values:
        """Covariance that two readers share within a modality, never below 0 (Hillis 2007)."""
        return np.maximum(self.cov2 - self.cov3, 0)

    @property
    def var_tr(self) -> Values:
        """Modality-by-reader variance (may be negative, as an estimate can be)."""
        return self.ms_tr - self.var + self.cov1 + self.spread


def components(theta: np.ndarray, covariance: np.ndarray) -> Components:
    """`Components` of accuracies (..., T, R) with covariances (..., T*R, T*R), modality-major."""
    t, r = theta.shape[-2:]
    grid = covariance.reshape(*covariance.shape[:-2], t, r, t, r)
    same_t, same_r = np.eye(t, dtype=bool), np.eye(r, dtype=bool)
    ms_t, ms_r, ms_tr = _mean_squares(theta)

    def average(modalities: np.ndarray, readers: np.ndarray) -> np.ndarray:
        where = modalities[:, None, :, None] & readers[None, :, None, :]
        return grid[..., where].mean(-1) if where.any() else np.zeros(grid.shape[:-4])

    return Components(
        t,
        r,
        ms_t,
        ms_r,
        ms_tr,
        average(same_t, same_r),
        average(~same_t, same_r),
        average(same_t, ~same_r),
        average(~same_t, ~same_r),
    )


def _mean_squares(theta: np.ndarray) -> tuple[np.ndarray, ...]:
    t, r = theta.shape[-2:]
    grand = theta.mean((-1, -2), keepdims=True)
    by_modality, by_reader = theta.mean(-1, keepdims=True), theta.mean(-2, keepdims=True)
    rest = theta - by_modality - by_reader + grand
    ms_t = r * ((by_modality - grand) ** 2).sum((-1, -2)) / max(t - 1, 1)
    ms_r = t * ((by_reader - grand) ** 2).sum((-1, -2)) / max(r - 1, 1)
    ms_tr = (rest**2).sum((-1, -2)) / max((t - 1) * (r - 1), 1)
    return tuple(ms * (ms >= ROUNDING) for ms in (ms_t, ms_r, ms_tr))


def denominator(
    parts: Components, readers: str = "random", cases: str = "random"
) -> tuple[Values, np.ndarray]:
    """What MS(T) is compared with, and its degrees of freedom (infinite for fixed readers)."""
    free = (parts.modalities - 1) * (parts.readers - 1)
    if readers == "random" and cases == "random":
        below = parts.ms_tr + parts.readers * parts.spread
        ratio = np.divide(
            below, parts.ms_tr, out=np.full_like(below, np.inf), where=parts.ms_tr > 0
        )
        return below, max(free, 1) * ratio**2
    if cases == "random":
        below = parts.var - parts.cov1 + (parts.readers - 1) * parts.spread
        return below, np.full_like(below, np.inf)
    return parts.ms_tr, np.full_like(parts.ms_tr, float(free))


def f_test(
    parts: Components, readers: str = "random", cases: str = "random"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F, ddf and p of the test that all modalities are equal; NaN where nothing varies."""
    below, ddf = denominator(parts, readers, cases)
    free = parts.modalities - 1
    tested = (below > 0) & (free > 0)
    f = np.divide(parts.ms_t, below, out=np.full_like(below, np.nan), where=tested)
    free = max(free, 1)
    p = np.where(np.isinf(ddf), stats.chi2.sf(free * f, free), stats.f.sf(f, free, ddf))
    return f, ddf, p


def of_readers(values: np.ndarray, block: np.ndarray, cases: str = "random") -> tuple[float, float]:
    """(variance, df) of the mean of two readers' values or more, under one modality.

    values (R,), block (R, R) their covariances; readers random (Hillis 2014, section 3.4).
    """
    r, ms = len(values), values.var(ddof=1)
    cov2 = (block.sum() - np.trace(block)) / (r * (r - 1))
    shared = r * max(cov2, 0.0) if cases == "random" else 0.0
    return (ms + shared) / r, (r - 1) * (1 + shared / ms) ** 2 if ms > 0 else np.inf


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjusted p values of (k,) p values (Holm 1979, Scand J Stat 6:65); NaN stays NaN."""
    p = np.asarray(p, float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted
