"""Would it pay where the network is wrong as often as it really is? The break-even curve.

A reader study is enriched: with tumors, and with chosen errors of the network. What a stage
changes is therefore estimated apart for cases with and without a tumor where the network was right
and where it was wrong, and put together again for any prevalence and error rate.
"""

# mypy: disable-error-code="arg-type,index"
# (the stubs of pandas are narrower than what these calls accept)

from collections.abc import Sequence

import numpy as np
import pandas as pd

from camreader.reader_study.study import ReaderStudy
from camreader.reader_study.tables import needs_log, refused, unit_names

ERROR_RATES = tuple(np.round(np.arange(0, 0.51, 0.05), 2))
PREVALENCES = (0.01, 0.1, 0.5)
THRESHOLD = 0.1  # probability of a tumor at which somebody would act: 9 false alarms a tumor
DRAWS = 1000
BEYOND = 9.0  # an error rate that there is not
STRATA = ((1, True), (1, False), (0, True), (0, False))  # truth, network right


@needs_log
def break_even_table(
    study: ReaderStudy,
    prevalences: Sequence[float] = PREVALENCES,
    threshold: float = THRESHOLD,
    rates: Sequence[float] = ERROR_RATES,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Expected change in net benefit per 1,000 cases, by the network's error rate and prevalence.

    For the primary contrast, and for its first stage against the first reading of all. Net benefit
    (Vickers & Elkin 2006, Med Decis Making 26:565) at `threshold`; the error rate is the share
    of either class in which the network is wrong. Interval: percentiles of `draws` studies in
    which readers and cases are drawn with replacement, both at once (Owen 2007, Ann Appl Stat
    1:386), which errs on the wide side. break_even: error rate at which the gain is gone, with
    its interval; empty where it lies outside 0 to 1, and the note says on which side. compared,
    prevalence, error_rate, gain, low, high, break_even, break_even_low, break_even_high, readers,
    cases, note.
    """
    if study.contrast is None:
        return refused("one stage: nothing changes")
    frame = study.log.dropna(subset=["cnn_prediction"])
    for truth, right in STRATA:
        own = frame[(frame["truth"] == truth) & ((frame["cnn_prediction"] == truth) == right)]
        if own["case"].nunique() < 2:
            word = "right" if right else "wrong"
            what = "with a tumor" if truth else "without a tumor"
            return refused(f"fewer than two cases {what} where the network was {word}")
    pairs = [study.contrast]
    if study.contrast[1] != study.first_stage and study.contrast[0] != study.first_stage:
        pairs.append((study.contrast[0], study.first_stage))
    rng = np.random.default_rng(seed)
    tables = [_curve(frame, pair, prevalences, threshold, rates, draws, rng) for pair in pairs]
    return pd.concat(tables, ignore_index=True)


def _curve(
    frame: pd.DataFrame,
    pair: tuple[str, str],
    prevalences: Sequence[float],
    threshold: float,
    rates: Sequence[float],
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    changes = _drawn_changes(frame, pair, draws, rng)  # (1 + draws, 4), the study itself first
    readers, cases = frame.loc[frame["modality"].isin(pair), ["reader", "case"]].nunique()
    rows = []
    for prevalence in prevalences:
        gains = [_gain(changes, prevalence, threshold, rate) for rate in (0.0, 1.0)]
        crossing = _crossings(*gains)
        ends = np.nanpercentile(crossing[1:], [2.5, 97.5])
        inside = [np.nan if not 0 <= x <= 1 else float(x) for x in (crossing[0], *ends)]
        note = _side(gains[0][0], gains[1][0]) if np.isnan(inside[0]) else ""
        outside = "an end of the break-even's interval lies outside 0 to 1"
        note = note or outside * bool(np.isnan(inside).any())
        for rate in rates:
            gain = 1000 * _gain(changes, prevalence, threshold, rate)
            low, high = np.nanpercentile(gain[1:], [2.5, 97.5])
            row = {"compared": " minus ".join(pair), "prevalence": prevalence, "error_rate": rate}
            row |= {"gain": gain[0], "low": low, "high": high, "threshold": threshold}
            row |= dict(zip(("break_even", "break_even_low", "break_even_high"), inside))  # noqa: B905
            rows.append(row | {"readers": readers, "cases": cases, "note": note})
    return pd.DataFrame(rows)


def _drawn_changes(
    frame: pd.DataFrame, pair: tuple[str, str], draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Change in the share called a tumor by stratum, of the study (row 0) and of each draw."""
    readers = pd.unique(frame["reader"])
    cases = frame.drop_duplicates("case").set_index("case", drop=False)
    arm = frame[frame["modality"].isin(pair)].groupby("reader")["modality"].agg(frozenset)
    weights = np.zeros((draws, len(readers)))
    for members in arm.reindex(readers).groupby(arm.reindex(readers)).groups.values():
        own = np.isin(readers, list(members))  # readers of one arm are drawn among themselves
        weights[:, own] = rng.multinomial(own.sum(), np.full(own.sum(), 1 / own.sum()), draws)
    units = pd.factorize(unit_names(cases))[0]  # patients; cases, where these are not known
    count = 1 + units.max()
    of_units = rng.multinomial(count, np.full(count, 1 / count), draws)
    by_case = np.vstack([np.ones(len(cases)), of_units[:, units]])
    drawn = np.vstack([np.ones(len(readers)), weights]), by_case
    parts = (frame[frame["modality"] == name] for name in pair)
    first, second = (_share(part, readers, cases, drawn) for part in parts)
    return first - second


def _share(
    part: pd.DataFrame, readers: np.ndarray, cases: pd.DataFrame, drawn: tuple[np.ndarray, ...]
) -> np.ndarray:
    """(draws, strata) weighted share of readings called a tumor; drawn: weights of readers (draws,
    R) and of cases (draws, C)."""
    called = np.zeros((len(readers), len(cases)))
    read = np.zeros_like(called)
    place = pd.Index(readers).get_indexer(part["reader"]), cases.index.get_indexer(part["case"])
    called[place], read[place] = part["diagnosis"] == "tumor", 1
    truth, right = cases["truth"].to_numpy(), (cases["cnn_prediction"] == cases["truth"]).to_numpy()
    sums = [(drawn[0] @ grid) * drawn[1] for grid in (called, read)]
    columns = []
    for wanted, agrees in STRATA:
        own = (truth == wanted) & (right == agrees)
        above, below = (each[:, own].sum(1) for each in sums)
        columns.append(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0))
    return np.stack(columns, 1)


def _gain(changes: np.ndarray, prevalence: float, threshold: float, rate: float) -> np.ndarray:
    """Change in net benefit per case."""
    sick = (1 - rate) * changes[:, 0] + rate * changes[:, 1]
    free = (1 - rate) * changes[:, 2] + rate * changes[:, 3]
    cost = threshold / (1 - threshold)
    return prevalence * sick - cost * (1 - prevalence) * free


def _crossings(none: np.ndarray, all_: np.ndarray) -> np.ndarray:
    """Error rate at which a gain that falls from `none` to `all_` is 0; where it does not fall,
    BEYOND of the sign that the gain has. NaN where a draw left a stratum without a reading."""
    falls = none > all_
    rate = np.divide(none, none - all_, out=np.full(len(none), np.nan), where=falls)
    rate = np.where(falls, np.clip(rate, -BEYOND, BEYOND), np.where(none > 0, BEYOND, -BEYOND))
    return np.where(np.isnan(none + all_), np.nan, rate)


def _side(at_none: float, at_all: float) -> str:
    if min(at_none, at_all) >= 0:
        return "as estimated, a gain at every error rate"
    if max(at_none, at_all) <= 0:
        return "as estimated, no gain at any error rate"
    return "the gain rises with the network's errors: no break-even"
