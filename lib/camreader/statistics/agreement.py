"""Do two raters, or several, agree? Statistics with intervals, and words where they fail.

Raters are columns of answers to the same cases. Every result is an `Estimate` (value, interval,
n, note): where a statistic is undefined or its interval degenerate the note says why. Input that
cannot mean anything (unequal lengths, a missing answer, one reading twice) raises DataError.
statsmodels, scipy and scikit-learn are used where they have the statistic.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats import contingency_tables, inter_rater

from camreader.common.errors import DataError
from camreader.statistics.intervals import (
    INDEPENDENT,
    Estimate,
    Groups,
    cluster_bootstrap,
    disagreement,
    newcombe,
    newcombe_paired,
    unit_codes,
    wilson,
)

NAN = float("nan")
Answers: TypeAlias = Sequence | np.ndarray | pd.Series  # of one rater, one per case


def cross_table(
    first: Answers, second: Answers, categories: Sequence | None = None
) -> pd.DataFrame:
    """Counts (q, q) of cases: rows the answers of `first`, columns those of `second`.

    `categories` lists the allowed answers; by default those that occur, sorted. DataError for
    unequal lengths, no case, a missing answer or one outside `categories`.
    """
    first, second = _answers(first, "first"), _answers(second, "second")
    if len(first) != len(second):
        raise DataError("Raters judged different cases", found=(len(first), len(second)))
    if not len(first):
        raise DataError("No case to compare")
    if categories is None:
        categories = sorted({*first, *second})
    for name, answers in (("first", first), ("second", second)):
        unknown = ~answers.isin(list(categories))
        if unknown.any():
            row = unknown.idxmax()
            raise DataError(
                "Unknown answer", row=row, column=name, found=answers[row], expected=categories
            )
    table = pd.crosstab(first, second)
    return table.reindex(index=categories, columns=categories, fill_value=0)


def _answers(column: Answers, name: str) -> pd.Series:
    column = pd.Series(column).reset_index(drop=True)
    if column.isna().any():
        raise DataError("An answer is missing", row=column.isna().idxmax(), column=name)
    return column


def raw_agreement(table: pd.DataFrame | np.ndarray) -> Estimate:
    """Share of cases on the diagonal, Wilson interval."""
    return _estimate(np.trace(table), np.sum(table), "")


def cohen_kappa(table: ArrayLike) -> Estimate:
    """Cohen's kappa with its asymptotic interval (Fleiss, Cohen & Everitt 1969), statsmodels.

    table: counts (q, q), see `cross_table`. Flagged: a rater who gives one answer only makes kappa
    0 (or 0/0) whatever the agreement.
    """
    counts = np.asarray(table)
    n = int(counts.sum())
    used = [int((counts.sum(axis=axis) > 0).sum()) for axis in (1, 0)]
    if used == [1, 1] and np.trace(counts):
        return Estimate(NAN, NAN, NAN, n, "both raters gave one and the same answer: 0/0")
    if 1 in used:
        note = "degenerate: a rater gave one answer only, so kappa is 0 whatever the agreement"
        return Estimate(0.0, NAN, NAN, n, note)
    result = inter_rater.cohens_kappa(counts, return_results=True)
    half = stats.norm.ppf(0.975) * result.std_kappa
    return _around(result.kappa, half, n, "degenerate: the asymptotic interval has no width")


def _around(value: float, half: float, n: int, words: str) -> Estimate:
    """A value in -1..1 with its interval of half width `half`; `words` where that is 0."""
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return Estimate(float(value), float(low), float(high), n, "" if half > 0 else words)


def gwet_ac1(table: ArrayLike) -> Estimate:
    """Gwet's AC1 with its interval (t, n - 1 degrees of freedom).

    Gwet 2008, Br J Math Stat Psychol 61:29, equations for two raters. The categories are those
    of `table`, counts (q, q), used or not.
    """
    shares = np.asarray(table, float)
    n, q = int(shares.sum()), len(shares)
    if q < 2:
        return Estimate(NAN, NAN, NAN, n, "one category only: agreement by chance is undefined")
    shares /= n
    mean = (shares.sum(axis=0) + shares.sum(axis=1)) / 2
    observed = np.trace(shares)
    chance = np.sum(mean * (1 - mean)) / (q - 1)
    value = (observed - chance) / (1 - chance)
    if n < 2:
        return Estimate(float(value), NAN, NAN, n, "one case: no interval")
    error = np.sqrt(_ac1_variance(shares, mean, observed, chance, value) / n)
    half = stats.t.ppf(0.975, n - 1) * error
    return _around(value, half, n, "degenerate: the interval has no width")


def _ac1_variance(
    shares: np.ndarray, mean: np.ndarray, observed: float, chance: float, value: float
) -> float:
    """n times the variance of AC1 for two raters (Gwet 2008), never below 0."""
    q = len(shares)
    pair = 1 - (mean[:, None] + mean[None, :]) / 2
    first = np.sum(np.diag(shares) * (1 - mean)) / (q - 1) - observed * chance
    second = np.sum(shares * pair**2) / (q - 1) ** 2 - chance**2
    total = observed * (1 - observed) - 4 * (1 - value) * first + 4 * (1 - value) ** 2 * second
    return max(total, 0.0) / (1 - chance) ** 2


def indices(table: ArrayLike) -> dict[str, float]:
    """Prevalence index, bias index and PABAK of a 2x2 table, as a dict of floats.

    Byrt, Bishop & Carlin 1993, J Clin Epidemiol 46:423. The first category counts as positive;
    the bias is positive when `first` says it more often.
    """
    counts = np.asarray(table)
    if counts.shape != (2, 2):
        raise DataError("Two answers are needed", found=counts.shape, expected=(2, 2))
    (both, first_only), (second_only, neither) = counts / counts.sum()
    return {
        "prevalence": float(both - neither),
        "bias": float(first_only - second_only),
        "pabak": float(2 * (both + neither) - 1),
    }


def mcnemar(table: ArrayLike) -> dict[str, Any]:
    """Exact McNemar test of a 2x2 table, with Newcombe's interval for the difference in shares.

    Returns a dict: first_only, second_only (discordant cases), p (two-sided, binomial),
    difference (Estimate, share of the first category by `first` minus by `second`), note.
    """
    (both, first_only), (second_only, neither) = np.asarray(table).tolist()
    p = min(float(contingency_tables.mcnemar(np.asarray(table), exact=True).pvalue), 1.0)
    gap = newcombe_paired(both, first_only, second_only, neither)
    note = disagreement(gap.low, gap.high, p)
    return {
        "first_only": first_only,
        "second_only": second_only,
        "p": p,
        "difference": gap,
        "note": note if first_only + second_only else "no discordant case: nothing to test",
    }


def compare_correct(first: Answers, second: Answers, truth: Answers) -> dict[str, Any]:
    """Is one rater right more often? McNemar on who is right about `truth`, as in `mcnemar`."""
    first, second, truth = (_answers(x, "answer") for x in (first, second, truth))
    return mcnemar(cross_table(first == truth, second == truth, (True, False)))


def sensitivity_specificity(calls: Answers, truth: Answers, positive: Any) -> tuple[Estimate, ...]:
    """(sensitivity, specificity) as Estimates with Wilson intervals; flagged where n = 0.

    DataError for a missing answer: it is neither a yes nor a no.
    """
    calls, truth = _answers(calls, "calls"), _answers(truth, "truth")
    table = cross_table(calls.eq(positive), truth.eq(positive), (True, False))
    (hits, false_alarms), (misses, rejections) = table.to_numpy()
    found = _estimate(hits, hits + misses, "no positive case")
    return found, _estimate(rejections, rejections + false_alarms, "no negative case")


def _estimate(k: int, n: int, note: str) -> Estimate:
    share = wilson(k, n)
    return Estimate(share.value, share.low, share.high, share.n, "" if n else note)


def two_groups(outcome: Answers, group: Answers) -> dict[str, Any]:
    """Is `outcome` (bool) more frequent where `group` (bool) is true? Fisher's exact test.

    Returns a dict: k1 of n1 inside the group, k2 of n2 outside, p (two-sided, scipy),
    difference (Newcombe, unpaired), note.
    """
    (k1, rest1), (k2, rest2) = cross_table(group, outcome, (True, False)).to_numpy().tolist()
    empty = "" if k1 + rest1 and k2 + rest2 else "one group is empty: nothing to compare"
    p = float(stats.fisher_exact([[k1, rest1], [k2, rest2]]).pvalue)
    gap = newcombe(k1, k1 + rest1, k2, k2 + rest2)
    return {
        "k1": k1,
        "n1": k1 + rest1,
        "k2": k2,
        "n2": k2 + rest2,
        "p": p,
        "difference": gap,
        "note": empty or disagreement(gap.low, gap.high, p),
    }


def two_raters(first: Answers, second: Answers, categories: Sequence | None = None) -> pd.DataFrame:
    """Frame of every two-rater statistic: statistic, value, low, high, n, note."""
    table = cross_table(first, second, categories)
    rows = {
        "raw agreement": raw_agreement(table),
        "Cohen's kappa": cohen_kappa(table),
        "Gwet's AC1": gwet_ac1(table),
    }
    if table.shape == (2, 2):
        n, plain = int(table.to_numpy().sum()), "no interval is defined for an index"
        for name, value in indices(table).items():
            label = {"pabak": "PABAK"}.get(name, f"{name} index")
            rows[label] = Estimate(value, NAN, NAN, n, plain)
    return pd.DataFrame([{"statistic": name, **vars(row)} for name, row in rows.items()])


def fleiss_kappa(ratings: pd.DataFrame) -> Estimate:
    """Fleiss's kappa of cases x readers (Fleiss 1971, Psychol Bull 76:378), by statsmodels.

    Every reader must have read every case (DataError otherwise: use krippendorff_alpha). NaN
    with a note where one answer only occurs. Interval: `case_bootstrap`.
    """
    if ratings.isna().to_numpy().any():
        raise DataError("Fleiss's kappa needs every reading", expected="krippendorff_alpha")
    counts, categories = inter_rater.aggregate_raters(ratings.to_numpy())
    if len(categories) < 2:
        return Estimate(NAN, NAN, NAN, len(ratings), "all answers equal: 0/0")
    value = inter_rater.fleiss_kappa(counts)
    return Estimate(float(value), NAN, NAN, len(ratings), "no interval: see case_bootstrap")


def krippendorff_alpha(ratings: pd.DataFrame, metric: str = "nominal") -> Estimate:
    """Krippendorff's alpha of cases x readers; missing readings (NaN) are allowed.

    Krippendorff 2019, Content Analysis, 4th ed., section 12.3. `metric` is nominal, ordinal,
    interval or ratio. NaN with a note where no case has two readings or all answers are equal.
    """
    values, counts = _answer_counts(ratings, metric)
    n = len(counts)
    if n == 0:
        return Estimate(NAN, NAN, NAN, 0, "no case has two readings")
    value = _alpha(values, counts, metric)
    if np.isnan(value):
        return Estimate(NAN, NAN, NAN, n, "all answers equal: 0/0")
    return Estimate(value, NAN, NAN, n, "no interval: see case_bootstrap")


def _answer_counts(ratings: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """(answers (v,), how often each was given (cases, v)) of the cases with two readings."""
    ratings = _ratings_for(ratings, metric)
    values = np.array(sorted(ratings.stack().dropna().unique()))
    counts = np.stack([(ratings == value).sum(axis=1).to_numpy() for value in values], axis=1)
    return values, counts[counts.sum(axis=1) > 1]  # a single reading pairs with nothing


def _alpha(values: np.ndarray, counts: np.ndarray, metric: str) -> float:
    """Krippendorff's alpha of counts (cases, v); NaN where all answers are equal."""
    weight = 1 / (counts.sum(axis=1) - 1)
    coincidences = (counts * weight[:, None]).T @ counts - np.diag(counts.T @ weight)
    totals = coincidences.sum(axis=1)
    distance = _distances(values, totals, metric)
    expected = np.sum(np.outer(totals, totals) * distance) / (totals.sum() - 1)
    return float(1 - np.sum(coincidences * distance) / expected) if expected else NAN


def alpha_with_interval(
    ratings: pd.DataFrame,
    metric: str = "nominal",
    groups: Groups = INDEPENDENT,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """`krippendorff_alpha` with a percentile interval from resampled cases, or whole `groups`
    (patients, one per case). Draws with one answer only are left out and counted in the note."""
    found = krippendorff_alpha(ratings, metric)
    if np.isnan(found.value):
        return found
    values, counts = _answer_counts(ratings, metric)
    kept = (ratings.notna().sum(axis=1) > 1).to_numpy()
    owner = unit_codes(groups, len(ratings))[kept]
    return _resampled(found, lambda rows: _alpha(values, counts[rows], metric), owner, draws, seed)


def _resampled(
    found: Estimate, value: Callable[[np.ndarray], float], owner: np.ndarray, draws: int, seed: int
) -> Estimate:
    """`found` with the percentile interval of `value(rows)`; undefined draws are counted."""
    drawn: list[float] = []

    def draw(rows: np.ndarray) -> float:
        drawn.append(value(rows))
        return drawn[-1]

    low, high = cluster_bootstrap(draw, owner, draws, seed)
    undefined = int(np.isnan(drawn).sum())
    note = f"undefined in {undefined} of {draws} draws" if undefined else ""
    note = note if not np.isnan(low) else "too few cases to resample"
    return Estimate(found.value, low, high, found.n, note)


def _ratings_for(ratings: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The ratings, as numbers where the metric needs an order: as text "10" sorts before "2"."""
    if metric not in ("nominal", "ordinal", "interval", "ratio"):
        raise DataError(
            "Unknown metric", found=metric, expected="nominal, ordinal, interval, ratio"
        )
    if metric == "nominal":
        return ratings
    numbers = ratings.apply(pd.to_numeric, errors="coerce")
    text = (numbers.isna() & ratings.notna()).stack()
    if text.any():
        row, column = text.idxmax()
        found = ratings.loc[row, column]
        raise DataError("Not a number", row=row, column=column, found=found, expected=metric)
    return numbers


def _distances(values: np.ndarray, totals: np.ndarray, metric: str) -> np.ndarray:
    """Squared differences (v, v) between answers (Krippendorff 2019, section 12.3.3)."""
    if metric == "nominal":
        return 1.0 - np.eye(len(values))
    if metric == "ordinal":
        upto = np.cumsum(totals) - totals / 2  # mid-ranks: half of one's own, all below
        return np.subtract.outer(upto, upto) ** 2
    difference = np.subtract.outer(values.astype(float), values.astype(float))
    if metric == "interval":
        return difference**2
    total = np.add.outer(values.astype(float), values.astype(float))
    return np.divide(difference, total, out=np.zeros_like(difference), where=total != 0) ** 2


def case_bootstrap(
    ratings: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], Estimate] = krippendorff_alpha,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """`statistic(ratings)` with a percentile interval from resampled cases (all their readings).

    Draws in which the statistic is undefined are left out and counted in the note.
    """
    whole = statistic(ratings)
    if np.isnan(whole.value):
        return whole

    def draw(rows: np.ndarray) -> float:
        return statistic(ratings.iloc[rows].reset_index(drop=True)).value

    return _resampled(whole, draw, np.arange(len(ratings)), draws, seed)
