"""Readers nested in modalities: each reader read under one modality only (Hillis 2014, design a).

Two conventions. "rjafroc" is what RJafroc (Chakraborty) prints for its split-plot design A: the
case terms of the modalities are summed where Hillis 2014 averages them, and the interval's variance
is twice the sum of the means' variances; both are conservative. "hillis": the variance of the
difference is the sum over modalities of (MS(R)_i + J_i max(Cov2_i - Cov3, 0)) / J_i, with
Satterthwaite's degrees of freedom.

Tested in tests/statistics/mrmc/test_reference.py, against RJafroc on its split-plot data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc.anova import Components, of_readers

CONVENTIONS = ("rjafroc", "hillis")


@dataclass(frozen=True)
class NestedAnalysis:
    """f, ddf, p of the test of equal modalities; pairs: (a, b, difference, error, ddf) by place;
    modalities: (readers, mean, variance, df) each; components; flags in words."""

    f: float
    ddf: float
    p: float
    pairs: list
    modalities: list
    components: Components
    flags: list = field(default_factory=list)


@dataclass(frozen=True)
class _Group:
    """The readers of one modality: number, mean, mean square, and the case terms."""

    readers: int
    mean: float
    ms: float
    var: float
    cov2: float
    spread: float  # readers * max(Cov2 - Cov3, 0)
    variance: float  # of the mean, and its degrees of freedom
    df: float

    @property
    def below(self) -> float:
        """Readers times the variance of the mean, less what the modalities share."""
        return self.ms + self.spread


def analyse(theta: np.ndarray, matrix: np.ndarray, convention: str = "rjafroc") -> NestedAnalysis:
    """`NestedAnalysis` of accuracies (T, R), NaN where a reader did not read, and covariances.

    DataError for a modality with one reader.
    """
    groups, cov3 = _groups(theta, matrix)
    t = len(groups)
    grand = float(np.mean([g.mean for g in groups]))
    ms_t = sum(g.readers * (g.mean - grand) ** 2 for g in groups) / (t - 1)
    ms = float(np.mean([g.ms for g in groups]))
    if convention == "rjafroc":
        below = ms + sum(g.spread for g in groups)
        ddf = sum((g.readers - 1) * (g.below / g.ms) ** 2 for g in groups if g.ms > 0)
    else:
        below = float(np.mean([g.below for g in groups]))
        ddf = _satterthwaite(groups)
    f = ms_t / below if below > 0 else np.nan
    p = float(stats.f.sf(f, t - 1, ddf)) if ddf > 0 else np.nan
    pairs = [_pair(groups, a, b, convention) for a, b in combinations(range(t), 2)]
    modalities = [(g.readers, g.mean, g.variance, g.df) for g in groups]
    var, cov2 = (float(np.mean([getattr(g, name) for g in groups])) for name in ("var", "cov2"))
    part = Components(t, theta.shape[1], ms_t, ms, ms, var, 0.0, cov2, cov3)
    flags = []
    if convention == "rjafroc":
        _, _, d, error, df = _pair(groups, 0, 1, "hillis")
        reach = stats.t.ppf(0.975, df) * error
        flags.append(
            "RJafroc's convention, conservative; Hillis 2014 gives an interval of "
            f"{d - reach:.3f} to {d + reach:.3f}"
        )
    return NestedAnalysis(float(f), float(ddf), p, pairs, modalities, part, flags)


def _groups(theta: np.ndarray, matrix: np.ndarray) -> tuple[list[_Group], float]:
    """One `_Group` per modality, and the mean covariance between modalities."""
    known = ~np.isnan(theta)
    t, r = theta.shape
    grid = matrix.reshape(t, r, t, r)
    between = [grid[a][known[a]][:, b][:, known[b]].mean() for a, b in combinations(range(t), 2)]
    cov3, groups = float(np.mean(between)), []
    for i in range(t):
        own = theta[i, known[i]]
        j = len(own)
        if j < 2:
            words = "A modality with one reader: the variance between readers cannot be estimated"
            raise DataError(words, found=j, expected="two readers or more")
        block = grid[i][known[i]][:, i][:, known[i]]
        cov2 = (block.sum() - np.trace(block)) / (j * (j - 1))
        spread = j * max(cov2 - cov3, 0.0)
        var = float(np.trace(block) / j)
        ms, of_mean = own.var(ddof=1), of_readers(own, block)
        groups.append(_Group(j, own.mean(), ms, var, float(cov2), spread, *of_mean))
    return groups, cov3


def _satterthwaite(groups: Sequence[_Group]) -> float:
    """Degrees of freedom of a sum of means' variances whose mean squares alone are estimated."""
    below = sum((g.ms / g.readers) ** 2 / (g.readers - 1) for g in groups)
    return sum(g.below / g.readers for g in groups) ** 2 / below if below > 0 else np.inf


def _pair(
    groups: Sequence[_Group], a: int, b: int, convention: str
) -> tuple[int, int, float, float, float]:
    one, other = groups[a], groups[b]
    if convention == "rjafroc":
        variance = 2 * one.below / one.readers + 2 * other.below / other.readers
        ddf = sum((g.readers - 1) * (g.below / g.ms) ** 2 for g in (one, other) if g.ms > 0)
    else:
        variance = one.below / one.readers + other.below / other.readers
        ddf = _satterthwaite((one, other))
    return a, b, one.mean - other.mean, float(np.sqrt(max(variance, 0))), float(ddf)
