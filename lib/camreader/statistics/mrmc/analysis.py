"""Several readers, several cases (MRMC): do readers do better under one treatment than another?

The analysis of variance of Obuchowski and Rockette (1995) with the degrees of freedom of Hillis
(2007), for any number of treatments.
"""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc import anova
from camreader.statistics.mrmc.covariance import ESTIMATORS, unbiased
from camreader.statistics.mrmc.figures_of_merit import METRICS, estimate, kernel
from camreader.statistics.mrmc.io import arms, read_csv, read_imrmc, tidy

__all__ = ["MRMC", "complete_arms", "obuchowski_rockette", "read_csv", "read_imrmc", "read_scores"]


@dataclass(frozen=True)
class MRMC:
    """An Obuchowski-Rockette analysis.

    auc: DataFrame, one row per treatment and one column per reader (the metric asked for).
    f, ddf, p: the test that all treatments are equal (ddf infinite: chi-square / (t - 1)).
    differences: every pair of treatments, the first one also as `difference` and `ci`. treatments,
    readers: means per treatment and each reader's value, with intervals. components: mean squares,
    Var, Cov1 to Cov3. flags: what a reader of the numbers must know, in words; a NaN always has
    its flag.
    """

    auc: pd.DataFrame
    f: float
    ddf: float
    p: float
    differences: pd.DataFrame
    treatments: pd.DataFrame
    readers: pd.DataFrame
    components: anova.Components
    metric: str
    covariance: str
    random: str
    flags: list = field(default_factory=list)

    @property
    def difference(self):
        """First treatment minus second; NaN with one treatment."""
        return float(self.differences["difference"].iloc[0]) if len(self.differences) else np.nan

    @property
    def ci(self):
        """(low, high) of the difference."""
        if not len(self.differences):
            return np.nan, np.nan
        return tuple(float(x) for x in self.differences.loc[0, ["low", "high"]])

    def summary(self):
        """The first pair of treatments as one row of a table: its own difference, F and p."""
        row = {"metric": self.metric, "covariance": self.covariance, "random": self.random}
        row |= {"difference": self.difference, "low": self.ci[0], "high": self.ci[1]}
        row |= {"f": self.f, "ddf": self.ddf, "p": self.p}
        flags = list(self.flags)
        if len(self.treatments) > 2:
            pair = self.differences.iloc[0]
            row |= {"f": pair["t"] ** 2, "ddf": pair["ddf"], "p": pair["p"]}
            flags.append(f"{len(self.treatments)} treatments, all equal: p = {self.p:.2g}")
        return pd.DataFrame([row | {"flags": "; ".join(flags)}])


def read_scores(path):
    """Tidy table from an .imrmc file or a tidy CSV, by the file's suffix."""
    return read_imrmc(path) if str(path).lower().endswith(".imrmc") else read_csv(path)


def obuchowski_rockette(
    frame,
    covariance="jackknife",
    readers="random",
    cases="random",
    metric="auc",
    threshold=None,
    level=0.95,
):
    """Compare treatments over readers and cases; returns `MRMC`.

    `frame` has the columns reader, treatment, case, truth, score. `readers` and `cases` are
    "random" (the result is about others like them) or "fixed" (about these alone). `metric` is
    "auc", or "sensitivity" or "specificity" of the scores at or above `threshold`; for a
    proportion the three covariances agree and the unbiased one is computed. Readers without two
    cases of each class under every treatment are left out, with a flag. DataError where nothing
    can be computed. Source: Hillis 2007, Stat Med 26:596; Hillis 2014, Stat Med 33:330.
    """
    _check_options(covariance, readers, cases, metric, threshold)
    scores, flags = complete_arms(frame, metric)
    if len(scores.readers) == 1 and readers == "random":
        readers = _one_reader(cases, flags)
    theta, matrix = _estimates(scores, metric, threshold, covariance)
    part = anova.components(theta, matrix)
    test = [float(x) for x in anova.f_test(part, readers, cases)]
    return MRMC(
        pd.DataFrame(theta, index=scores.treatments, columns=scores.readers),
        *test,
        differences=_differences(scores, theta, part, readers, cases, level),
        treatments=_treatments(scores, theta, matrix, readers, cases, level),
        readers=_readers(scores, theta, matrix, level),
        components=part,
        metric=metric,
        covariance=covariance,
        random=_random(readers, cases),
        flags=flags + _warnings(scores, metric, matrix, part, test[0]),
    )


def _estimates(scores, metric, threshold, covariance):
    """Accuracies (treatments, readers) and their covariances, treatment-major."""
    parts = kernel(scores.positives, scores.negatives, metric, threshold)
    estimator = ESTIMATORS[covariance] if metric == "auc" else unbiased
    return estimate(*parts), estimator(*(x.reshape(-1, *x.shape[2:]) for x in parts))


def _one_reader(cases, flags):
    """The role of a reader who is alone; said in the flags."""
    if cases == "fixed":
        raise DataError("Nothing varies: with one reader the cases must be random")
    flags.append("one reader: the result is about this reader, not about readers in general")
    return "fixed"


def _random(readers, cases):
    return " and ".join(n for n, v in (("readers", readers), ("cases", cases)) if v == "random")


def complete_arms(frame, metric="auc"):
    """`Arms` of the readers with two cases of each class that `metric` needs, and flags."""
    table = tidy(frame)
    scores, flags = arms(table), table.attrs["flags"]
    needed = {"sensitivity": ["positives"], "specificity": ["negatives"]}
    needed = needed.get(metric, ["positives", "negatives"])
    for name in needed:
        if getattr(scores, name).shape[-1] < 2:
            words = "with" if name == "positives" else "without"
            found = getattr(scores, name).shape[-1]
            raise DataError(f"Fewer than two cases {words} disease", found=found, expected=2)
    counts = [(~np.isnan(getattr(scores, name))).sum(-1).min(0) for name in needed]
    enough = np.min(counts, axis=0) >= 2
    left_out = [str(name) for name, kept in zip(scores.readers, enough, strict=True) if not kept]
    if not enough.any():
        raise DataError("No reader has two cases of each class under every treatment")
    if left_out:
        flags.append(f"left out, too few cases under a treatment: reader {', '.join(left_out)}")
    return scores.keep_readers(enough), flags


def _check_options(covariance, readers, cases, metric, threshold):
    if covariance not in ESTIMATORS:
        raise ValueError(f"covariance is one of {tuple(ESTIMATORS)}, not {covariance!r}")
    for name, value in (("readers", readers), ("cases", cases)):
        if value not in ("random", "fixed"):
            raise ValueError(f"{name} is random or fixed, not {value!r}")
    if readers == cases == "fixed":
        raise ValueError("readers and cases are both fixed: nothing varies")
    if metric not in METRICS or (metric != "auc" and threshold is None):
        raise ValueError(f"metric is one of {METRICS}; a proportion needs a threshold")


def _differences(scores, theta, part, readers, cases, level):
    """Every pair of treatments: difference, interval, t and p (Hillis 2014, table 3)."""
    below, ddf = (float(x) for x in anova.denominator(part, readers, cases))
    error = np.sqrt(max(2 * below / part.readers, 0))
    reach = stats.t.ppf((1 + level) / 2, ddf) if error > 0 else np.nan
    rows = []
    for a, b in combinations(range(len(scores.treatments)), 2):
        d = theta[a].mean() - theta[b].mean()
        t = d / error if error > 0 else np.nan
        interval = (d - reach * error, d + reach * error)
        names = (scores.treatments[a], scores.treatments[b])
        rows.append((*names, d, *interval, error, t, ddf, 2 * stats.t.sf(abs(t), ddf)))
    columns = ["first", "second", "difference", "low", "high", "error", "t", "ddf", "p"]
    return pd.DataFrame(rows, columns=columns)


def _treatments(scores, theta, matrix, readers, cases, level):
    """Mean over readers per treatment, with its interval (Hillis 2014, section 3.4)."""
    rows, r = [], len(scores.readers)
    for i, name in enumerate(scores.treatments):
        block = matrix[i * r : (i + 1) * r, i * r : (i + 1) * r]
        cov2 = (block.sum() - np.trace(block)) / (r * (r - 1)) if r > 1 else 0.0
        ms = theta[i].var(ddof=1) if r > 1 else 0.0
        if readers == "fixed":
            variance, df = block.mean(), np.inf
        else:
            shared = r * max(cov2, 0) if cases == "random" else 0.0
            variance = (ms + shared) / r
            df = (r - 1) * (1 + shared / ms) ** 2 if ms > 0 else np.inf
        mean, error = theta[i].mean(), np.sqrt(max(variance, 0))
        reach = stats.t.ppf((1 + level) / 2, df) * error
        rows.append((name, r, mean, max(mean - reach, 0), min(mean + reach, 1), error, df))
    columns = ["treatment", "readers", "value", "low", "high", "error", "df"]
    return pd.DataFrame(rows, columns=columns)


def _readers(scores, theta, matrix, level):
    """Each reader's own value per treatment; the interval is over cases (normal, cut to 0..1)."""
    reach = stats.norm.ppf((1 + level) / 2)
    error = np.sqrt(np.maximum(np.diag(matrix), 0)).reshape(theta.shape)
    counts = [(~np.isnan(x)).sum(-1) for x in (scores.positives, scores.negatives)]
    rows = [
        {
            "reader": reader,
            "treatment": treatment,
            "value": theta[i, j],
            "low": max(theta[i, j] - reach * error[i, j], 0),
            "high": min(theta[i, j] + reach * error[i, j], 1),
            "diseased": counts[0][i, j],
            "without_disease": counts[1][i, j],
        }
        for j, reader in enumerate(scores.readers)
        for i, treatment in enumerate(scores.treatments)
    ]
    return pd.DataFrame(rows)


def _warnings(scores, metric, matrix, part, f):
    """What the numbers alone do not tell; f: of the test, NaN where nothing varies."""
    flags = []
    if len(scores.treatments) == 1:
        flags.append("one treatment: nothing to compare, F and p are empty")
    elif not part.ms_t > 0:
        flags.append("the treatments' means are equal")
    if len(scores.treatments) > 1 and np.isnan(f):
        flags.append("the difference has no variance above 0: F, p and its interval are empty")
    if not scores.crossed:
        flags.append("not every reader read every case: covariances are over shared cases")
    all_scores = np.concatenate([scores.positives, scores.negatives], -1)
    lowest, highest = np.nanmin(all_scores, -1), np.nanmax(all_scores, -1)
    same = [str(scores.readers[j]) for j in np.flatnonzero((lowest == highest).any(0))]
    if same:
        flags.append(f"all answers equal under a treatment: reader {', '.join(same)}")
    if metric == "auc" and len(np.unique(scores.negatives[~np.isnan(scores.negatives)])) == 1:
        flags.append(
            "every case without disease has the same score: the AUC counts who is above it"
        )
    if np.all(np.abs(matrix) < 1e-15):
        flags.append("no variance at all: intervals and p are empty or have no width")
    elif (np.diag(matrix) < 1e-15).any():
        flags.append("an accuracy without variance (0, 0.5 or 1): its interval has no width")
    if part.cov2 < part.cov3:
        flags.append("Cov2 below Cov3: their difference was set to 0")
    return flags
