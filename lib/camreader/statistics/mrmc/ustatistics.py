"""Variance of the reader-averaged accuracy when readers read different cases (U-statistics).

One-shot estimate of Gallas 2006, Acad Radiol 13:353, for arbitrary designs: Gallas & Brown 2008,
Neural Netw 21:387; Gallas, Bandos, Samuelson & Wagner 2009, Commun Stat Theory 38:2586. Unbiased
when readers and cases are both random, whoever read what. Where the unbiased estimate is not above
0 the V-statistic (the ideal bootstrap's, biased upwards) takes its place; where that is not
either, an upper bound from how far each reader and case moves the mean. The note says so.
Degrees of freedom: Satterthwaite's over readers, diseased and other cases (Obuchowski, Gallas &
Hillis 2012, Acad Radiol 19:1508), never below those of the scarcest of the three (Gaylor & Hopper
1969, Technometrics 11:691) nor below 2, as in the iMRMC software.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc import options
from camreader.statistics.mrmc.anova import holm
from camreader.statistics.mrmc.covariance import moments
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel
from camreader.statistics.mrmc.io import Arms, arms_of, repeats

# What two kernels share, in Gallas's order M1 to M8: reader (R), diseased case (D), other case (N).
SHARED = ["RDN", "RD", "RN", "R", "DN", "D", "N", "nothing"]
SETS = [frozenset(name.replace("nothing", "")) for name in SHARED]
# row k: which exact sharings have at least what k shares
INCLUSIVE = np.array([[k <= other for other in SETS] for k in SETS], dtype=float)
METRIC_NEEDS = {"auc": ("R", "D", "N"), "sensitivity": ("R", "D"), "specificity": ("R", "N")}
TINY = 1e-15  # a variance below this is 0 but for rounding
LEAST_DF = 2  # as in iMRMC: below it a t interval has no useful width


@dataclass(frozen=True)
class UStatistics:
    """modalities: mean accuracy, standard error and interval per modality. differences: the same
    per pair of modalities, with t, df, p and p_holm (Holm's, over the pairs). components: for
    each modality (and each pair's covariance) the moments M, their coefficients c (BDG), the
    V-statistic's moments MV and the variance components (BCK), one row per set of what is shared.
    flags: in words; a NaN always has its flag, a replaced variance its note."""

    modalities: pd.DataFrame
    differences: pd.DataFrame
    components: pd.DataFrame
    metric: str
    flags: list = field(default_factory=list)


def u_statistics(
    frame: pd.DataFrame | Arms,
    metric: str = "auc",
    threshold: float | None = None,
    weights: str = "pairs",
    level: float = 0.95,
) -> UStatistics:
    """Reader-averaged accuracy per modality, their differences and U-statistic variances.

    `frame` has the columns reader, modality, case, truth, score; any design. `weights` "pairs"
    gives each pair of cases the same weight (as the iMRMC software does), "readers" each reader.
    Returns `UStatistics`. DataError for fewer than two cases of a class, two readers of any
    modality, or an option out of its range.
    """
    options.level_of(level)
    options.one_of("weights", weights, ("pairs", "readers"))
    scores, flags = arms_of(frame)
    parts = kernel(scores.positives, scores.negatives, metric, threshold)
    if min(x.shape[-1] for x in parts[1:]) < 2:
        raise DataError("Fewer than two cases of a class that the accuracy needs")
    shares = _shares(parts, weights)
    _check_readers(scores, shares)
    theta = estimate(*parts)
    found = _Moments(*_all_variances(parts, shares), METRIC_NEEDS[metric], _pulls(parts, shares))  # type: ignore[call-arg]  # 4 arrays
    means = np.nansum(shares * np.nan_to_num(theta), -1)
    modalities = pd.DataFrame(
        {"modality": name, **_row(means[i], *found.single(i), level, (0, 1))}
        for i, name in enumerate(scores.modalities)
    )
    differences = _differences(scores.modalities, means, found, level)
    flags += _flags(scores, modalities, differences)
    if repeats(scores.clusters):
        flags.append("cases of one patient are taken for independent: see obuchowski_rockette")
    tables = found.tables(scores.modalities)
    return UStatistics(modalities, differences, tables, metric, flags)


def _flags(scores: Arms, modalities: pd.DataFrame, differences: pd.DataFrame) -> list[str]:
    flags = []
    replaced = modalities["note"].ne("").any() or differences["note"].ne("").any()
    if replaced:
        flags.append("an unbiased variance was not above 0: see the note of what takes its place")
    if (modalities["variance"] <= 0).any() or (differences["variance"] <= 0).any():
        flags.append("a variance is not above 0: its interval and p are empty")
    if not scores.crossed:
        flags.append("not every reader read every case")
        flags.append("up to 8 % false alarms where 5 % are nominal and few readings are missing")
    if len(scores.modalities) == 1:
        flags.append("one modality: nothing to compare")
    return flags


def _shares(parts: tuple[np.ndarray, np.ndarray, np.ndarray], weights: str) -> np.ndarray:
    """Weight of each reader in a modality's mean, (T, R); rows sum to 1."""
    pairs = (parts[1].sum(-1) * parts[2].sum(-1)).astype(float)
    raw = pairs if weights == "pairs" else (pairs > 0).astype(float)
    if not (raw.sum(-1) > 0).all():
        raise DataError("A modality under which no reader read cases of both classes")
    return raw / raw.sum(-1, keepdims=True)


def _check_readers(scores: Arms, shares: np.ndarray) -> None:
    """DataError for a modality read by one reader: it tells nothing of the variance of readers."""
    for name, readers in zip(scores.modalities, (shares > 0).sum(-1), strict=True):
        if readers < 2:
            words = "One reader: the variance between readers cannot be estimated"
            raise DataError(words, column="modality", found=name, expected="two readers or more")


def _all_variances(
    parts: tuple[np.ndarray, np.ndarray, np.ndarray], shares: np.ndarray
) -> np.ndarray:
    """Coefficients c, U moments, V moments and inclusive coefficients, each (T, T, 8)."""
    t, r = shares.shape
    sums, counts = moments(*(x.reshape(-1, *x.shape[2:]) for x in parts))
    sums, counts = (x.reshape(4, t, r, t, r) for x in (sums, counts))
    found = np.zeros((4, t, t, 8))
    for a, b in combinations_with_replacement(range(t), 2):
        block = _components(sums[:, a, :, b], counts[:, a, :, b], shares[a], shares[b])
        found[:, a, b] = found[:, b, a] = block
    return found


def _pulls(
    parts: tuple[np.ndarray, np.ndarray, np.ndarray], shares: np.ndarray
) -> list[np.ndarray]:
    """[(T, R), (T, n1), (T, n0)]: the sum of weighted gaps from the mean by reader and by case."""
    success, read1, read0 = parts
    theta = estimate(*parts)
    pairs = read1.sum(-1) * read0.sum(-1)
    weight = np.divide(shares, pairs, out=np.zeros(shares.shape), where=pairs > 0)
    mean = np.nansum(shares * np.nan_to_num(theta), -1)[:, None, None, None]
    gaps = (success - mean) * (read1[..., :, None] & read0[..., None, :]) * weight[..., None, None]
    return [gaps.sum((-1, -2)), gaps.sum((1, -1)), gaps.sum((1, -2))]


def _components(
    sums: np.ndarray, counts: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """(4, 8): c, M, MV and BCK coefficients per set of what is shared; sums and counts (4, R, R)
    are of products of two readers' successes, by what the two cases share."""
    same = np.eye(sums.shape[-1], dtype=bool)
    per_pair = counts.sum(0)  # of products between two readers
    weight = np.divide(np.outer(first, second), per_pair, where=per_pair > 0, out=0.0 * per_pair)
    by_reader = [[x[..., r].sum(-1) for r in (same, ~same)] for x in (sums, counts)]
    exact = [np.concatenate(x) for x in by_reader]
    m = np.divide(exact[0], exact[1], out=np.zeros(8), where=exact[1] > 0)
    c = np.concatenate([(weight * counts)[:, r].sum(-1) for r in (same, ~same)])
    inclusive = [INCLUSIVE @ x for x in exact]
    mv = np.divide(inclusive[0], inclusive[1], out=np.zeros(8), where=inclusive[1] > 0)
    return np.stack([c, m, mv, inclusive[1] / max(inclusive[1][-1], 1)])


@dataclass(frozen=True)
class _Moments:
    """Moments of every pair of modalities, (T, T, 8) each, in the order of `SHARED`."""

    c: np.ndarray
    m: np.ndarray
    mv: np.ndarray
    shares: np.ndarray  # of the products that share at least this: 1 / number of readers or cases
    needed: tuple  # which of readers, diseased and other cases the metric rests on
    pulls: list  # per factor (T, levels): how far each reader or case moves the mean

    def variance(self, a: int, b: int, biased: bool = False) -> float:
        """Covariance of the means of modalities a and b."""
        m = self.mv if biased else self.m
        return float((self.c[a, b] * m[a, b]).sum() - self.c[a, b].sum() * m[a, b, -1])

    def single(self, i: int) -> tuple[float, float, str]:
        """(variance, df, note) of one modality's mean."""
        variance, note = self._above_zero(
            lambda biased: self.variance(i, i, biased), [x[i] for x in self.pulls]
        )
        spread, df = self._spread(i, i), self._df(i)
        return variance, _satterthwaite(variance, [spread], [df]), note

    def difference(self, a: int, b: int) -> tuple[float, float, str]:
        """(variance, df, note) of the difference of two modalities' means."""

        def estimated(biased: bool) -> float:
            own = self.variance(a, a, biased) + self.variance(b, b, biased)
            return own - 2 * self.variance(a, b, biased)

        pulls = [x[a] - x[b] for x in self.pulls]
        variance, note = self._above_zero(estimated, pulls)
        one, other, both = (self._spread(*x) for x in ((a, a), (b, b), (a, b)))
        dfs = [self._df(a), self._df(b)]
        smaller = np.minimum(*dfs)
        paired = self.shares[a, b][self._places()] > 0
        joint = np.where(paired, one + other - 2 * both, 0)
        spreads = [joint, np.where(paired, 0, one), np.where(paired, 0, other)]
        return variance, _satterthwaite(variance, spreads, [smaller, *dfs]), note

    def _above_zero(
        self, variance: Callable[[bool], float], pulls: list[np.ndarray]
    ) -> tuple[float, str]:
        """(variance, note): unbiased, else the V-statistic, else the sum of the readers' and
        cases' squared pulls, which counts their interactions more than once."""
        unbiased = variance(False)
        if unbiased > TINY:
            return unbiased, ""
        was = f"the unbiased variance was {unbiased:.3g}"
        biased = variance(True)
        if biased > TINY:
            return biased, f"V-statistic: {was}"
        upper = float(sum((x**2).sum() for x in pulls))
        if upper > TINY:
            return upper, f"upper bound from readers and cases: {was}, the V-statistic {biased:.3g}"
        return 0.0, ""

    def _places(self) -> list[int]:
        return [SHARED.index(name) for name in self.needed]

    def _spread(self, a: int, b: int) -> np.ndarray:
        """V-statistic's variance component of each needed factor."""
        return self.mv[a, b][self._places()] - self.mv[a, b, -1]

    def _df(self, i: int) -> np.ndarray:
        """Number of each needed factor, less one; fractional shares are rounded as iMRMC does."""
        return np.maximum(np.round(1 / self.shares[i, i][self._places()] - 1), 1)

    def tables(self, names: Sequence) -> pd.DataFrame:
        """One table per pair of modalities, joined."""
        found = []
        for a, b in combinations_with_replacement(range(len(names)), 2):
            m = self.m[a, b]
            table = {"first": names[a], "second": names[b], "shared": SHARED, "c": self.c[a, b]}
            table |= {"M": m, "MV": self.mv[a, b], "BCK": _bck(m)}
            found.append(pd.DataFrame(table))
        return pd.concat(found)


def _satterthwaite(variance: float, spreads: list[np.ndarray], dfs: list[np.ndarray]) -> float:
    """Degrees of freedom of a variance from its components, bounded below (see the module)."""
    below = sum(((s / d) ** 2 / d).sum() for s, d in zip(spreads, dfs, strict=True))
    df = variance**2 / below if below > 0 else np.inf
    return float(max(df, min(d.min() for d in dfs), LEAST_DF))


def _bck(m: np.ndarray) -> list[float]:
    """Variance components by inclusion and exclusion (Gallas et al. 2009, eq. 19)."""
    by_set = dict(zip(SETS, m, strict=True))
    values = [
        sum((-1) ** len(whole - part) * value for part, value in by_set.items() if part <= whole)
        for whole in by_set
    ]
    return [*values[:-1], np.nan]


def _row(
    value: float, variance: float, df: float, note: str, level: float, limits: tuple[float, float]
) -> dict[str, Any]:
    """A value with its t interval, cut to `limits`; empty without a variance above 0."""
    row = {"value": value, "low": np.nan, "high": np.nan, "variance": variance, "df": df}
    if variance > 0:
        reach = stats.t.ppf((1 + level) / 2, df) * np.sqrt(variance)
        row["low"], row["high"] = max(value - reach, limits[0]), min(value + reach, limits[1])
    return row | {"note": note}


def _differences(names: Sequence, means: np.ndarray, found: _Moments, level: float) -> pd.DataFrame:
    rows = []
    for a, b in combinations(range(len(means)), 2):
        variance, df, note = found.difference(a, b)
        row = _row(means[a] - means[b], variance, df, note, level, (-1, 1))
        t = row["value"] / np.sqrt(variance) if variance > 0 else np.nan
        tested = {"t": t, "p": 2 * stats.t.sf(abs(t), df)}
        rows.append({"first": names[a], "second": names[b]} | row | tested)
    columns = ["first", "second", "value", "low", "high", "variance", "df", "t", "p", "note"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(9, "p_holm", holm(table["p"]))
    return table
