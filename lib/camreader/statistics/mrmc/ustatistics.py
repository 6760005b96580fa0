"""Variance of the reader-averaged accuracy when readers read different cases (U-statistics).

One-shot estimate of Gallas 2006, Acad Radiol 13:353, for arbitrary designs: Gallas & Brown 2008,
Neural Netw 21:387; Gallas, Bandos, Samuelson & Wagner 2009, Commun Stat Theory 38:2586. Unbiased
when readers and cases are both random, whoever read what.
"""

from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc.covariance import moments
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel
from camreader.statistics.mrmc.io import arms, tidy

SHARED = [  # what two kernels share, in Gallas's order M1 to M8: reader, diseased, other case
    "".join(letter for letter, yes in zip("RDN", pattern, strict=True) if yes) or "nothing"
    for pattern in (
        (1, 1, 1),
        (1, 1, 0),
        (1, 0, 1),
        (1, 0, 0),
        (0, 1, 1),
        (0, 1, 0),
        (0, 0, 1),
        (0, 0, 0),
    )
]


@dataclass(frozen=True)
class UStatistics:
    """treatments: mean accuracy, standard error and interval per treatment. differences: the same
    per pair of treatments, with t, df and p. components: for each treatment (and each pair's
    covariance) the moments M, their coefficients c (BDG) and the variance components (BCK), one
    row per set of what is shared. flags: in words; a NaN always has its flag."""

    treatments: pd.DataFrame
    differences: pd.DataFrame
    components: pd.DataFrame
    metric: str
    flags: list = field(default_factory=list)


def u_statistics(frame, metric="auc", threshold=None, weights="pairs", level=0.95):
    """Reader-averaged accuracy per treatment, their differences and U-statistic variances.

    `frame` has the columns reader, treatment, case, truth, score; any design. `weights` "pairs"
    gives each pair of cases the same weight (as the iMRMC software does), "readers" each reader.
    Returns `UStatistics`. DataError for fewer than two cases of a class, or two readers of any
    treatment.
    """
    table = tidy(frame)
    scores, flags = arms(table), table.attrs["flags"]
    parts = kernel(scores.positives, scores.negatives, metric, threshold)
    if min(x.shape[-1] for x in parts[1:]) < 2:
        raise DataError("Fewer than two cases of a class that the accuracy needs")
    shares = _shares(parts, weights)
    _check_readers(scores, shares)
    variances, tables = _all_variances(scores, parts, shares)
    theta = estimate(*parts)
    means = np.nansum(shares * np.nan_to_num(theta), -1)
    treatments = _treatments(scores, theta, means, np.diag(variances), shares, level)
    differences = _differences(scores, theta, means, variances, shares, level)
    if (np.diag(variances) <= 0).any() or (differences["variance"] <= 0).any():
        flags.append("a variance estimate is not above 0: its interval and p are empty")
    if not scores.crossed:
        flags.append("not every reader read every case")
    return UStatistics(treatments, differences, pd.concat(tables), metric, flags)


def _shares(parts, weights):
    """Weight of each reader in a treatment's mean, (T, R); rows sum to 1."""
    pairs = (parts[1].sum(-1) * parts[2].sum(-1)).astype(float)
    raw = pairs if weights == "pairs" else (pairs > 0).astype(float)
    if not (raw.sum(-1) > 0).all():
        raise DataError("A treatment under which no reader read cases of both classes")
    return raw / raw.sum(-1, keepdims=True)


def _check_readers(scores, shares):
    """DataError for a treatment read by one reader: it tells nothing of the variance of readers."""
    for name, readers in zip(scores.treatments, (shares > 0).sum(-1), strict=True):
        if readers < 2:
            words = "One reader: the variance between readers cannot be estimated"
            raise DataError(words, column="treatment", found=name, expected="two readers or more")


def _all_variances(scores, parts, shares):
    """(T, T) variances and covariances of the treatments' means, and the component tables."""
    t, r = shares.shape
    sums, counts = moments(*(x.reshape(-1, *x.shape[2:]) for x in parts))
    sums, counts = (x.reshape(4, t, r, t, r) for x in (sums, counts))
    matrix, tables = np.zeros((t, t)), []
    for a, b in product(range(t), repeat=2):
        if a > b:
            continue
        table = _components(sums[:, a, :, b], counts[:, a, :, b], shares[a], shares[b])
        matrix[a, b] = matrix[b, a] = (table["c"] * (table["M"] - table["M"].iloc[-1])).sum()
        table.insert(0, "first", scores.treatments[a])
        table.insert(1, "second", scores.treatments[b])
        tables.append(table)
    return matrix, tables


def _components(sums, counts, first, second):
    """M, c and BCK per set of what is shared, from (4, R, R) sums and counts of products."""
    same = np.eye(sums.shape[-1], dtype=bool)
    per_pair = counts.sum(0)  # of products between two readers
    weight = np.divide(np.outer(first, second), per_pair, where=per_pair > 0, out=0.0 * per_pair)
    m, c = [], []
    for readers, k in product((same, ~same), range(4)):
        number = counts[k][readers].sum()
        m.append(sums[k][readers].sum() / number if number else 0.0)
        c.append((weight * counts[k])[readers].sum())
    return pd.DataFrame({"shared": SHARED, "c": c, "M": m, "BCK": _bck(m)})


def _bck(m):
    """Variance components by inclusion and exclusion (Gallas et al. 2009, eq. 19)."""
    by_set = dict(zip(map(frozenset, [s.replace("nothing", "") for s in SHARED]), m, strict=True))
    values = [
        sum((-1) ** len(whole - part) * value for part, value in by_set.items() if part <= whole)
        for whole in by_set
    ]
    return [*values[:-1], np.nan]


def _spread(values, shares):
    """Variance of the weighted mean of readers' values, from their scatter alone."""
    known = shares > 0
    if known.sum() < 2:
        return 0.0, 0
    values, shares = values[known], shares[known] / shares[known].sum()
    centre = (shares * values).sum()
    n = known.sum()
    return float((shares**2 * (values - centre) ** 2).sum() * n / (n - 1)), int(n - 1)


def _degrees(variance, values, shares):
    """Hillis's degrees of freedom: those of the reader scatter, stretched by the case variance.

    For crossed designs this is Hillis 2007 with the unbiased covariances, save where Cov2 is below
    Cov3: he sets their difference to 0, here it stays.
    """
    scatter, free = _spread(values, shares)
    return free * (variance / scatter) ** 2 if scatter > 0 else np.inf


def _row(value, variance, df, level):
    if variance <= 0:
        return {"value": value, "low": np.nan, "high": np.nan, "variance": variance, "df": df}
    reach = stats.t.ppf((1 + level) / 2, df) * np.sqrt(variance)
    bounds = {"low": value - reach, "high": value + reach}
    return {"value": value, **bounds, "variance": variance, "df": df}


def _treatments(scores, theta, means, variances, shares, level):
    rows = []
    for i, name in enumerate(scores.treatments):
        df = _degrees(variances[i], theta[i], shares[i])
        rows.append({"treatment": name, **_row(means[i], variances[i], df, level)})
    return pd.DataFrame(rows)


def _differences(scores, theta, means, variances, shares, level):
    rows = []
    for a, b in combinations(range(len(means)), 2):
        variance = variances[a, a] + variances[b, b] - 2 * variances[a, b]
        paired = np.where(np.isnan(theta[a] - theta[b]), 0, (shares[a] + shares[b]) / 2)
        df = _degrees(variance, theta[a] - theta[b], paired)
        if (paired > 0).sum() < 2:  # each reader under one treatment only: the smaller of the two
            df = min(_degrees(variances[i, i], theta[i], shares[i]) for i in (a, b))
        row = _row(means[a] - means[b], variance, df, level)
        t = row["value"] / np.sqrt(variance) if variance > 0 else np.nan
        names = {"first": scores.treatments[a], "second": scores.treatments[b]}
        rows.append({**names, **row, "t": t, "p": 2 * stats.t.sf(abs(t), df)})
    columns = ["first", "second", "value", "low", "high", "variance", "df", "t", "p"]
    return pd.DataFrame(rows, columns=columns)
