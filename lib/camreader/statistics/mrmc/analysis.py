"""Several readers, several cases (MRMC): do readers do better under one modality than another?

The analysis of variance of Obuchowski and Rockette (1995) with the degrees of freedom of Hillis
(2007): any number of modalities, any figure of merit, cases of one patient kept together.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc import anova, nested, options
from camreader.statistics.mrmc.anova import holm
from camreader.statistics.mrmc.checks import as_designed, by_column, from_marks, from_scores
from camreader.statistics.mrmc.covariance import ESTIMATORS
from camreader.statistics.mrmc.figures_of_merit import METRICS, check_metric
from camreader.statistics.mrmc.io import Arms, is_imrmc, read_csv, read_imrmc
from camreader.statistics.mrmc.marks import MARK_METRICS, Marks
from camreader.statistics.mrmc.merits import SCORE_METRICS, StudyArms, check_point

DESIGNS = ("as read", "nested in readers", "nested in modalities")
WIDE = 1.0  # a difference's interval wider than this tells nothing


@dataclass(frozen=True)
class MRMC:
    """An Obuchowski-Rockette analysis.

    auc (or estimate): DataFrame, one row per modality and one column per reader, of the metric
    asked for. f, ddf, p: the test that all modalities are equal (ddf infinite: chi-square /
    (t - 1)). differences: every pair of modalities with its own t, p and p_holm (Holm's, over the
    pairs), the first one also as `difference` and `ci`. modalities, readers: means per modality
    and each reader's value, with intervals. components: mean squares, Var, Cov1 to Cov3. unit:
    what was left out at a time, cases or patients, and how many there are. flags: what a reader
    of the numbers must know, in words; a NaN always has its flag.
    """

    auc: pd.DataFrame
    f: float
    ddf: float
    p: float
    differences: pd.DataFrame
    modalities: pd.DataFrame
    readers: pd.DataFrame
    components: anova.Components
    metric: str
    covariance: str
    random: str
    unit: str = "cases"
    units: int = 0
    flags: list = field(default_factory=list)

    @property
    def estimate(self) -> pd.DataFrame:
        """The figure of merit by modality and reader: `auc` under its general name."""
        return self.auc

    @property
    def difference(self) -> float:
        """First modality minus second; NaN with one modality."""
        return float(self.differences["difference"].iloc[0]) if len(self.differences) else np.nan

    @property
    def ci(self) -> tuple[float, float]:
        """(low, high) of the difference."""
        if not len(self.differences):
            return np.nan, np.nan
        low, high = self.differences.loc[0, ["low", "high"]]
        return float(low), float(high)

    def summary(self) -> pd.DataFrame:
        """One row per pair of modalities: its difference, interval, F, p and Holm's p.

        One row without a difference where there is one modality only.
        """
        row: dict[str, Any] = {
            "metric": self.metric,
            "covariance": self.covariance,
            "random": self.random,
        }
        row |= {"unit": self.unit, "units": self.units}
        if not len(self.differences):
            none = dict.fromkeys(("difference", "low", "high", "f", "ddf", "p", "p_holm"), np.nan)
            return pd.DataFrame([row | none | {"flags": "; ".join(self.flags)}])
        flags = list(self.flags)
        if len(self.modalities) > 2:
            flags.append(f"{len(self.modalities)} modalities, all equal: p = {self.p:.2g}")
        table = self.differences[["difference", "low", "high", "ddf", "p", "p_holm"]].copy()
        table.insert(3, "f", self.differences["t"] ** 2)
        if len(table) == 1:
            table[["f", "ddf", "p"]] = self.f, self.ddf, self.p
        names = self.differences[["first", "second"]].to_numpy().tolist()
        pairs = [f"{first} minus {second}" for first, second in names]
        about = pd.DataFrame([row] * len(table))
        return about.join(table).assign(flags="; ".join(flags), pair=pairs)


def read_scores(path: Path | str) -> pd.DataFrame:
    """Tidy table from an .imrmc file, by its ending or its line BEGIN DATA, or from a tidy CSV.

    Columns reader, modality, case, truth (0 or 1), score, and cluster (patient) where known.
    `.attrs["simulated"]` is true where the file says that no person made the readings.
    """
    return read_imrmc(path) if is_imrmc(path) else read_csv(path)


def obuchowski_rockette(
    frame: pd.DataFrame | Arms | Marks,
    covariance: str = "jackknife",
    readers: str = "random",
    cases: str = "random",
    metric: str = "auc",
    threshold: float | None = None,
    level: float = 0.95,
    cluster: str | bool | None = None,
    at: float | None = None,
    design: str = "as read",
    convention: str = "rjafroc",
) -> MRMC:
    """Compare modalities over readers and cases; returns `MRMC`.

    `frame` has the columns reader, modality, case, truth, score and, where cases share patients,
    cluster; or it is `Marks`, or `Arms`. `readers` and `cases` are "random" (the result is about
    others like them) or "fixed" (about these alone). `metric` of scores: "auc"; "sensitivity" or
    "specificity" of scores at or above `threshold`; "partial_auc", "sensitivity_at_specificity",
    "specificity_at_sensitivity" with the operating point `at`; "binormal_auc". Of marks: "wafroc",
    "wafroc1", "afroc", "afroc1", "hr_auc", "lroc", and "lesion_sensitivity" at `at` non-lesion
    marks per case.

    `cluster`: None keeps cases of one patient together wherever the column cluster repeats; the
    name of another column does so by that one; False takes them for independent, with a flag.
    `design` "nested in readers" (or "in modalities") analyses crossed readings as if each reader
    (modality) had cases of its own. Readers who each read one modality only are analysed as
    nested in modalities; `convention` is "rjafroc" (as that program prints it, conservative) or
    "hillis" (Hillis 2014, section 7).

    Readers without two cases (patients) of each class under every modality are left out, with a
    flag. DataError where nothing can be computed. Sources: Hillis 2007, Stat Med 26:596; Hillis
    2014, Stat Med 33:330; clusters: Obuchowski 1997, Biometrics 53:567; marks: Chakraborty 2017.
    """
    asked = _Asked(covariance, readers, cases, metric, threshold, level, at, design, convention)
    asked.check()
    if isinstance(frame, Marks):
        study = from_marks(frame, metric, covariance, at, cluster is not False)
    else:
        frame = as_designed(by_column(frame, cluster), design)
        study = from_scores(frame, metric, threshold, covariance, at, cluster)
    if study.nested and len(study.modalities) > 1:
        return _nested(study, asked)
    if len(study.readers) == 1 and readers == "random":
        asked = _one_reader(study, asked)
    part = anova.components(study.theta, study.matrix)
    test = [float(x) for x in anova.f_test(part, asked.readers, cases)]
    differences = _differences(study, asked, part)
    flags = study.flags + _warnings(study, asked, part, differences, np.isnan(test[0]))
    return _result(study, asked, test, (differences, _modalities(study, asked)), part, flags)


@dataclass(frozen=True)
class _Asked:
    """The options of an analysis, as `obuchowski_rockette` tells them."""

    covariance: str
    readers: str
    cases: str
    metric: str
    threshold: float | None
    level: float
    at: float | None
    design: str
    convention: str

    def check(self) -> None:
        """DataError for an option that there is not, or that does not go with another."""
        options.one_of("covariance", self.covariance, tuple(ESTIMATORS))
        options.one_of("readers", self.readers, ("random", "fixed"))
        options.one_of("cases", self.cases, ("random", "fixed"))
        if self.readers == self.cases == "fixed":
            raise DataError("readers and cases are both fixed: nothing varies")
        options.one_of("metric", self.metric, (*SCORE_METRICS, *MARK_METRICS))
        options.one_of("design", self.design, DESIGNS)
        options.one_of("convention", self.convention, nested.CONVENTIONS)
        options.level_of(self.level)
        if self.metric in METRICS:
            check_metric(self.metric, self.threshold)
        if self.metric in SCORE_METRICS:
            check_point(self.metric, self.at)

    @property
    def random(self) -> str:
        """What is taken for a sample, in words."""
        roles = (("readers", self.readers), ("cases", self.cases))
        return " and ".join(name for name, role in roles if role == "random")


def _one_reader(study: StudyArms, asked: _Asked) -> _Asked:
    """The options for a reader who is alone; said in the flags."""
    if asked.cases == "fixed":
        raise DataError("Nothing varies: with one reader the cases must be random")
    words = "one reader: the result is about this reader, not about readers in general"
    study.flags.append(words)
    return replace(asked, readers="fixed")


def _result(
    study: StudyArms, asked: _Asked, test: Sequence[float], tables: Sequence, part: Any, flags: list
) -> MRMC:
    """`MRMC` of an analysis; test: F, ddf and p; tables: of differences and of modalities."""
    (f, ddf, p), (differences, modalities) = test, tables
    values = pd.DataFrame(study.theta, index=study.modalities, columns=study.readers)
    readers = _readers(study, asked.level)
    said: dict[str, Any] = {"metric": asked.metric, "covariance": asked.covariance}
    said |= {"random": asked.random, "unit": study.unit, "units": study.units, "flags": flags}
    return MRMC(values, f, ddf, p, differences, modalities, readers, part, **said)


def _differences(study: StudyArms, asked: _Asked, part: anova.Components) -> pd.DataFrame:
    """Every pair of modalities: difference, interval, t, p (Hillis 2014, table 3) and Holm's p.

    One reader: each pair by its own variance (DeLong's test), not by the mean over all pairs.
    """
    below, ddf = (float(x) for x in anova.denominator(part, asked.readers, asked.cases))
    pooled = np.sqrt(max(2 * below / part.readers, 0))
    rows, matrix = [], study.matrix
    for a, b in combinations(range(len(study.modalities)), 2):
        d, error = study.theta[a].mean() - study.theta[b].mean(), pooled
        if part.readers == 1:
            error = np.sqrt(max(matrix[a, a] + matrix[b, b] - 2 * matrix[a, b], 0))
        names = study.modalities[a], study.modalities[b]
        rows.append((*names, *_pair(d, error, ddf, asked.level)))
    return _pairs(rows)


def _pair(d: float, error: float, ddf: float, level: float) -> tuple[float, ...]:
    """Difference, interval (cut to -1..1), error, t, ddf and p; NaN without an error above 0."""
    reach = stats.t.ppf((1 + level) / 2, ddf) * error if error > 0 else np.nan
    t = d / error if error > 0 else np.nan
    low, high = (np.clip(x, -1, 1) for x in (d - reach, d + reach))
    return d, low, high, error, t, ddf, 2 * stats.t.sf(abs(t), ddf)


def _pairs(rows: list[tuple]) -> pd.DataFrame:
    columns = ["first", "second", "difference", "low", "high", "error", "t", "ddf", "p"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_holm=holm(table["p"]))


def _modalities(study: StudyArms, asked: _Asked) -> pd.DataFrame:
    """Mean over readers per modality, with its interval (Hillis 2014, section 3.4)."""
    rows, r = [], len(study.readers)
    for i, name in enumerate(study.modalities):
        block = study.matrix[i * r : (i + 1) * r, i * r : (i + 1) * r]
        spread = block.mean(), np.inf
        if asked.readers == "random":
            spread = anova.of_readers(study.theta[i], block, asked.cases)
        rows.append(_mean_row(name, r, study.theta[i].mean(), *spread, asked.level))
    return pd.DataFrame(rows)


def _mean_row(
    name: Hashable, readers: int, mean: float, variance: float, df: float, level: float
) -> dict[str, Any]:
    error = np.sqrt(max(variance, 0))
    reach = stats.t.ppf((1 + level) / 2, df) * error
    row = {"modality": name, "readers": readers, "value": mean}
    row |= {"low": max(mean - reach, 0), "high": min(mean + reach, 1)}
    return row | {"error": error, "df": df}


def _readers(study: StudyArms, level: float) -> pd.DataFrame:
    """Each reader's own value per modality; the interval is over cases (normal, cut to 0..1)."""
    reach = stats.norm.ppf((1 + level) / 2)
    theta, (diseased, free) = study.theta, study.counts
    error = np.sqrt(np.maximum(np.diag(study.matrix), 0)).reshape(theta.shape)
    rows = [
        {
            "reader": reader,
            "modality": modality,
            "value": theta[i, j],
            "low": max(theta[i, j] - reach * error[i, j], 0),
            "high": min(theta[i, j] + reach * error[i, j], 1),
            "diseased": diseased[i, j],
            "without_disease": free[i, j],
        }
        for j, reader in enumerate(study.readers)
        for i, modality in enumerate(study.modalities)
        if not np.isnan(theta[i, j])
    ]
    return pd.DataFrame(rows)


def _nested(study: StudyArms, asked: _Asked) -> MRMC:
    """`MRMC` of readers who read one modality each."""
    if (asked.readers, asked.cases) != ("random", "random"):
        raise DataError("Readers nested in modalities: both readers and cases must be random")
    found, names = nested.analyse(study.theta, study.matrix, asked.convention), study.modalities
    pairs = [
        (names[a], names[b], *_pair(d, error, ddf, asked.level))
        for a, b, d, error, ddf in found.pairs
    ]
    means = [
        _mean_row(name, readers, mean, variance, df, asked.level)
        for name, (readers, mean, variance, df) in zip(names, found.modalities, strict=True)
    ]
    differences = _pairs(pairs)
    flags = [*study.flags, "each reader read one modality only", *found.flags]
    test, tables = (found.f, found.ddf, found.p), (differences, pd.DataFrame(means))
    return _result(study, asked, test, tables, found.components, flags + _wide(differences))


def _warnings(
    study: StudyArms, asked: _Asked, part: anova.Components, differences: pd.DataFrame, empty: bool
) -> list[str]:
    """What the numbers alone do not tell; empty: nothing varies, so that there is no F."""
    flags = []
    if asked.metric in ("auc", "binormal_auc") and np.nanmax(study.theta) < 0.5:
        flags.append("every accuracy is below 0.5: does a higher score mean more suspicious?")
    if len(study.modalities) == 1:
        flags.append("one modality: nothing to compare, F and p are empty")
    elif not part.ms_t > 0:
        flags.append("the modalities' means are equal")
    if len(study.modalities) > 1 and empty:
        flags.append("the difference has no variance above 0: F, p and its interval are empty")
    if not study.crossed and asked.design == "as read":
        flags.append("not every reader read every case: covariances are over shared cases")
    matrix = study.matrix
    if np.isnan(matrix).any():
        flags.append("an accuracy rests on one patient of a class: its variance is empty")
    if np.all(np.abs(matrix) < 1e-15):
        flags.append("no variance at all: intervals and p are empty or have no width")
    elif (np.diag(matrix) < 1e-15).any():
        flags.append("an accuracy without variance (0, 0.5 or 1): its interval has no width")
    if part.cov2 < part.cov3:
        flags.append("Cov2 below Cov3: their difference was set to 0")
    return flags + _wide(differences)


def _wide(differences: pd.DataFrame) -> list[str]:
    """A flag where an interval is so wide that it tells nothing."""
    if ((differences["high"] - differences["low"]) > WIDE).any():
        words = "a difference's interval is wider than 1: too few readers or cases to tell anything"
        return [words]
    return []
