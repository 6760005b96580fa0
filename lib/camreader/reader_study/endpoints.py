"""Further endpoints of a reader study: marginal models, times, confidence, net benefit, agreement.

Every function takes a `study_readings.ReaderStudy` and returns a DataFrame; what the data cannot
give comes back as one row with the reason in the column `refused`. statsmodels fits the models.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats

from camreader.common.errors import DataError
from camreader.reader_study.study import ReaderStudy
from camreader.reader_study.tables import THESE_READERS, is_right, needs_log, refused, unit_names
from camreader.statistics.agreement import alpha_with_interval, fleiss_kappa
from camreader.statistics.intervals import Estimate, clustered, clustered_mean
from camreader.statistics.mrmc.standalone import against_readers

THRESHOLDS = (0.1, 0.2, 0.3)  # probability of a tumor at which somebody would act
LEAST_UNITS = 10  # patients, for a sandwich variance
LIMIT = "a score lies nearer to the readers' mean in 95 % of cases"


@needs_log
def gee_table(study: ReaderStudy) -> pd.DataFrame:
    """The contrast in sensitivity and specificity by generalised estimating equations.

    A marginal model with the identity link, readers as fixed effects, patients as clusters
    (Genders et al. 2012, Radiology 265:910): beside Obuchowski-Rockette, whose readers are a
    sample. endpoint, the two stages, difference, low, high, p, readings, patients, note.
    """
    rows, frame = [], _usable(study)
    if study.contrast and frame[frame["aided"].notna()].groupby("reader")["aided"].std().max() == 0:
        return refused("every reader read one arm only: 08_or compares readers with readers")
    frame = frame[frame["aided"].notna()]
    for endpoint, truth in (("sensitivity", 1), ("specificity", 0)):
        part = frame[frame["truth"] == truth]
        rows.append({"endpoint": endpoint, **_gee(part, _contrast(study))})
    return pd.DataFrame(rows)


def _usable(study: ReaderStudy) -> pd.DataFrame:
    """Readings with right (0/1), aided (1 and 0 at the contrast's first and second stage, NaN at
    others) and unit (patient or case)."""
    frame = study.log.reset_index(drop=True)
    right = is_right(frame["diagnosis"], frame["truth"]).astype(float)
    aided = frame["modality"].map({m: 1.0 - k for k, m in enumerate(_contrast(study))})
    return frame.assign(right=right, aided=aided, unit=unit_names(frame))


def _contrast(study: ReaderStudy) -> tuple[str, str]:
    """The contrast; of readings at one stage, the names that the columns would have."""
    return study.contrast or ("aided", "unaided")


def _gee(part: pd.DataFrame, contrast: tuple[str, str]) -> dict[str, Any]:
    empty = {"difference": np.nan, "low": np.nan, "high": np.nan, "p": np.nan}
    units = part["unit"].nunique()
    row = {"readings": len(part), "patients": units}
    means = part.groupby("aided")["right"].mean()
    row |= {contrast[1]: means.get(0.0, np.nan), contrast[0]: means.get(1.0, np.nan)}
    if means.size < 2:
        return row | empty | {"note": "not read both ways"}
    if units < LEAST_UNITS:
        return row | empty | {"note": f"fewer than {LEAST_UNITS} patients: no sandwich variance"}
    if part["right"].nunique() < 2:
        return row | empty | {"note": "every answer is the same: nothing varies"}
    formula = "right ~ aided" + (" + C(reader)" if part["reader"].nunique() > 1 else "")
    model = smf.gee(formula, "unit", part, family=sm.families.Gaussian())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a variance that is 0: said in the note below
        found = model.fit(cov_type="bias_reduced")
    d, error = float(found.params["aided"]), float(found.bse["aided"])
    if not error > 0:
        return row | empty | {"difference": d, "note": "no variance: no interval"}
    reach = stats.t.ppf(0.975, units - 1) * error
    p = float(2 * stats.t.sf(abs(d / error), units - 1))
    ends = {"low": max(d - reach, -1.0), "high": min(d + reach, 1.0)}
    return row | {"difference": d, **ends, "p": p, "note": THESE_READERS}


@needs_log
def time_model(study: ReaderStudy) -> pd.DataFrame:
    """What the heat-map costs in time: log seconds by modality and order, readers random.

    A linear mixed model (REML) of the contrast's two stages; ratio: the first's time over the
    second's at the same place in the session, and per ten cases. Within a reading a later stage's
    time is what comes on top. term, ratio, low, high, p, readings, readers, note.
    """
    frame = study.log.dropna(subset=["seconds", "order"])
    first, second = _contrast(study)
    frame = frame[(frame["seconds"] > 0) & frame["modality"].isin([first, second])]
    if frame["modality"].nunique() < 2 or len(frame) < 20:
        return refused("fewer than 20 readings with a time, or of one modality only")
    aided = (frame["modality"] == first).astype(float)
    frame = frame.assign(log=np.log(frame["seconds"]), aided=aided, tens=frame["order"] / 10)
    readers = frame["reader"].nunique()
    if frame["log"].std() == 0:
        return refused("every time is the same: nothing varies")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a reader variance at its bound of 0 is a result
        if readers > 1:
            found = smf.mixedlm("log ~ aided + tens", frame, groups="reader").fit(reml=True)
        else:
            found = smf.ols("log ~ aided + tens", frame).fit()
    note = "one reader: ordinary least squares" if readers < 2 else ""
    more = f"the {first} time is on top of the {second}" if study.sequential else ""
    rows = []
    for name, words in (("aided", f"{first} / {second}"), ("tens", "per ten cases")):
        ends = found.conf_int().loc[name]
        row = {"term": words, "ratio": np.exp(found.params[name])}
        row |= {"low": np.exp(ends[0]), "high": np.exp(ends[1]), "p": found.pvalues[name]}
        words = "; ".join(filter(None, [note, more if name == "aided" else ""]))
        rows.append(row | {"readings": len(frame), "readers": readers, "note": words})
    return pd.DataFrame(rows)


@needs_log
def confidence_table(study: ReaderStudy) -> pd.DataFrame:
    """Does confidence mean anything? Share of right answers per modality and stated confidence.

    modality, confidence, readings, patients, right, low, high, note; intervals over patients.
    """
    frame = _usable(study).dropna(subset=["confidence"])
    if frame.empty:
        return refused("no reading states a confidence")
    rows = []
    for (modality, level), part in frame.groupby(["modality", "confidence"]):
        share, _ = clustered(part["right"] == 1, part["unit"])
        row = {"modality": modality, "confidence": int(level), "readings": share.n}
        row |= {"patients": part["unit"].nunique(), "right": share.value}
        note = "one patient: no interval" if np.isnan(share.low) else THESE_READERS
        rows.append(row | {"low": share.low, "high": share.high, "note": note})
    return pd.DataFrame(rows)


@needs_log
def net_benefit_table(
    study: ReaderStudy, prevalence: float | None = None, thresholds: Sequence[float] = THRESHOLDS
) -> pd.DataFrame:
    """Net benefit of acting on the readers' answers (Vickers & Elkin 2006, Med Decis Making
    26:565), at each stage, and the contrast's difference, per case at the given prevalence.

    `prevalence` of tumor where the readers would work; a reading's own is enriched, and is said
    to be so. threshold, modality, net_benefit, low, high, all, prevalence, patients, note: `all`
    is that of calling every case a tumor, calling none has 0.
    """
    frame = _usable(study)
    sick = frame["truth"] == 1
    if not sick.any() or sick.all():
        return refused("net benefit needs cases of both classes")
    own = frame.drop_duplicates("case")["truth"].mean()
    share = own if prevalence is None else prevalence
    note = "prevalence of the study, enriched" if prevalence is None else ""
    called = (frame["diagnosis"] == "tumor").astype(float)
    rows = []
    for threshold in thresholds:
        cost = threshold / (1 - threshold)
        worth = np.where(sick, share / sick.mean(), -cost * (1 - share) / (1 - sick.mean()))
        gain = called * worth
        every = share - cost * (1 - share)
        common = {"threshold": threshold, "all": every, "prevalence": share}
        for modality in study.stages:
            here = (frame["modality"] == modality).to_numpy()
            low, high = clustered_mean(gain[here], frame["unit"][here], (-cost, 1.0))
            row = common | {"modality": modality, "net_benefit": gain[here].mean()}
            rows.append(row | {"low": low, "high": high})
        row = common | {"modality": " minus ".join(_contrast(study))}
        rows.append(row | _gain_of_aid(frame, gain, cost, _contrast(study)))
    table = pd.DataFrame(rows).assign(patients=frame["unit"].nunique(), note=note)
    return table[[c for c in table if c != "note"] + ["note"]]


def _gain_of_aid(
    frame: pd.DataFrame, gain: float, cost: float, contrast: tuple[str, str]
) -> dict[str, float]:
    """Mean change per reading read both ways, with its interval over patients."""
    keys = ["reader", "case"]
    wide = frame.assign(gain=gain).pivot(index=[*keys, "unit"], columns="modality", values="gain")
    wide = wide.reindex(columns=contrast).dropna().reset_index()
    if wide.empty:
        return {"net_benefit": np.nan, "low": np.nan, "high": np.nan}
    change = (wide[contrast[0]] - wide[contrast[1]]).to_numpy()
    low, high = clustered_mean(change, wide["unit"], (-1.0 - cost, 1.0 + cost))
    return {"net_benefit": change.mean(), "low": low, "high": high}


@needs_log
def agreement_table(study: ReaderStudy, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Do readers agree, and does the network agree with them as one reader more?

    Per modality: Krippendorff's alpha of the scores (ordinal) and of the calls (nominal), the
    readers alone and with the network, and, where everybody read everything, Fleiss's kappa (no
    interval) and the limit of agreement of the scores; alpha's intervals resample patients.
    modality, raters, statistic, value, low, high, n, note.
    """
    if study.log["reader"].nunique() < 2:
        return refused("one reader: nobody to agree with")
    tables = [_agreement(study, modality, draws, seed) for modality in study.stages]
    return pd.DataFrame([row for rows in tables for row in rows])


def _agreement(study: ReaderStudy, modality: str, draws: int, seed: int) -> list[dict[str, Any]]:
    """Rows of `agreement_table` for one modality; none where nobody read it."""
    part = study.log[study.log["modality"] == modality]
    if part.empty:
        return []
    part = part.assign(call=(part["diagnosis"] == "tumor").astype(float), unit=unit_names(part))
    first = part.drop_duplicates("case").set_index("case")
    scores, calls = (
        part.pivot(index="case", columns="reader", values=n) for n in ("score", "call")
    )
    owner = first["unit"].loc[calls.index].to_numpy()
    both = calls.assign(network=first["cnn_prediction"].astype(float))
    limit, row = limits_of_agreement(scores), {"modality": modality, "raters": "readers"}
    rows = [row | {"statistic": "limit of agreement, scores"} | vars(limit)] * (limit.note == LIMIT)
    sets = [("readers", "scores", scores, "ordinal"), ("readers", "calls", calls, "nominal")]
    sets.append(("readers and network", "calls", both, "nominal"))
    for raters, of, ratings, metric in sets:
        found = alpha_with_interval(ratings, metric, owner, draws, seed)
        row = {"modality": modality, "raters": raters}
        rows.append(row | {"statistic": f"Krippendorff's alpha, {of}"} | vars(found))
        if metric == "nominal" and not ratings.isna().to_numpy().any():
            fleiss = vars(fleiss_kappa(ratings)) | {"note": "no interval: see Krippendorff's alpha"}
            rows.append(row | {"statistic": f"Fleiss's kappa, {of}"} | fleiss)
    return rows


@needs_log
def network_table(study: ReaderStudy) -> pd.DataFrame:
    """The network alone against the readers: AUC from its answers, per modality.

    The network's score is its answer (0 or 1): a log keeps no more. modality, network, readers,
    difference (readers minus network), low, high, ddf, p, note.
    """
    known = study.log.dropna(subset=["cnn_prediction"]).drop_duplicates("case")
    answers = known[["case", "cnn_prediction"]].rename(columns={"cnn_prediction": "score"})
    rows = []
    for modality in study.modalities:
        row: dict[str, Any] = {"modality": modality}
        try:
            found = against_readers(study.scores, answers, modality)
        except DataError as error:
            rows.append(row | {"note": str(error)})
            continue
        row |= {"network": found.network, "readers": found.readers}
        own = found.differences.iloc[0]
        row |= {name: own[name] for name in ("difference", "low", "high", "ddf", "p")}
        words = ["network's answers, not its probabilities", *found.flags]
        rows.append(row | {"note": "; ".join(words)})
    names = ["modality", "network", "readers", "difference", "low", "high", "ddf", "p", "note"]
    return pd.DataFrame(rows).reindex(columns=names)


def limits_of_agreement(ratings: pd.DataFrame, level: float = 0.95) -> Estimate:
    """Limits of agreement with the mean of several readers (Jones, Dobson & O'Brian 2011, Int J
    Epidemiol 40:1308): the limit with its interval over n cases, or a note on why there is none.

    `ratings`: cases x readers of a measurement, every cell filled. A reader's value differs from
    the mean of all by less than the limit in a share `level` of the cases.
    """
    values = np.asarray(ratings, float)
    n, m = values.shape
    if np.isnan(values).any() or n < 3 or m < 2:
        words = "limits of agreement need every reading, three cases and two readers"
        return Estimate(np.nan, np.nan, np.nan, n, words)
    gaps = values - values.mean(1, keepdims=True)
    free = n * (m - 1)
    variance = (gaps**2).sum() / free  # within cases, readers' own levels included
    reach = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance * (m - 1) / m)
    tails = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], free)
    low, high = reach * np.sqrt(free / tails)
    return Estimate(reach, low, high, n, LIMIT)
