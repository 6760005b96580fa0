"""The Obuchowski-Rockette analysis of variance on arrays, for one study or many at once.

Source: Obuchowski & Rockette 1995, Commun Stat Simul 24:285; Hillis 2007, Stat Med 26:596
(degrees of freedom); Hillis 2014, Stat Med 33:330 (marginal-mean form, also for readers who read
different cases: covariances are averaged over all pairs of readers).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

ROUNDING = 1e-24  # a mean square of accuracies below this is 0 but for rounding


@dataclass(frozen=True)
class Components:
    """Mean squares and error covariances of a study; floats, or arrays over many studies.

    cov1: same reader, two treatments; cov2: two readers, same treatment; cov3: neither shared.
    """

    treatments: int
    readers: int
    ms_t: float
    ms_r: float
    ms_tr: float
    var: float
    cov1: float
    cov2: float
    cov3: float

    @property
    def spread(self):
        """Covariance that two readers share within a treatment, never below 0 (Hillis 2007)."""
        return np.maximum(self.cov2 - self.cov3, 0)

    @property
    def var_tr(self):
        """Treatment-by-reader variance (may be negative, as an estimate can be)."""
        return self.ms_tr - self.var + self.cov1 + self.spread


def components(theta, covariance):
    """`Components` of accuracies (..., T, R) with covariances (..., T*R, T*R), treatment-major."""
    t, r = theta.shape[-2:]
    grid = covariance.reshape(*covariance.shape[:-2], t, r, t, r)
    same_t, same_r = np.eye(t, dtype=bool), np.eye(r, dtype=bool)
    ms_t, ms_r, ms_tr = _mean_squares(theta)

    def average(treatments, readers):
        where = treatments[:, None, :, None] & readers[None, :, None, :]
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


def _mean_squares(theta):
    t, r = theta.shape[-2:]
    grand = theta.mean((-1, -2), keepdims=True)
    by_treatment, by_reader = theta.mean(-1, keepdims=True), theta.mean(-2, keepdims=True)
    rest = theta - by_treatment - by_reader + grand
    ms_t = r * ((by_treatment - grand) ** 2).sum((-1, -2)) / max(t - 1, 1)
    ms_r = t * ((by_reader - grand) ** 2).sum((-1, -2)) / max(r - 1, 1)
    ms_tr = (rest**2).sum((-1, -2)) / max((t - 1) * (r - 1), 1)
    return tuple(ms * (ms >= ROUNDING) for ms in (ms_t, ms_r, ms_tr))


def denominator(parts, readers="random", cases="random"):
    """What MS(T) is compared with, and its degrees of freedom (infinite for fixed readers)."""
    free = (parts.treatments - 1) * (parts.readers - 1)
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


def f_test(parts, readers="random", cases="random"):
    """F, ddf and p of the test that all treatments are equal; NaN where nothing varies."""
    below, ddf = denominator(parts, readers, cases)
    f = np.divide(parts.ms_t, below, out=np.full_like(below, np.nan), where=below > 0)
    free = parts.treatments - 1
    p = np.where(np.isinf(ddf), stats.chi2.sf(free * f, free), stats.f.sf(f, free, ddf))
    return f, ddf, p
