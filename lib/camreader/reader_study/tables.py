"""The reader study's tables: who did how well, what the heat-map changed, how long it took.

Every function takes a `ReaderStudy` and returns a DataFrame; what the data cannot
give comes back as one row with the reason in the column `refused`.
"""

# mypy: disable-error-code="arg-type, index, misc, var-annotated"
# (the stubs of pandas are narrower than what these calls accept)

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.reader_study.study import HELPFULNESS, ReaderStudy
from camreader.statistics.agreement import mcnemar
from camreader.statistics.intervals import (
    INDEPENDENT,
    clustered,
    clustered_difference,
    clustered_mean,
    disagreement,
)
from camreader.statistics.mrmc.analysis import MRMC, obuchowski_rockette
from camreader.statistics.mrmc.anova import holm
from camreader.statistics.mrmc.ustatistics import u_statistics

COMPARISON = ["compared", "metric", "covariance", "random", "first", "second", "difference"]
COMPARISON += ["low", "high", "f", "ddf", "p", "p_holm", "unit", "units", "primary", "flags"]
FEW = 10  # patients: below it no interval's coverage was shown (docs/statistics.md)
THESE_READERS = "interval over patients, for these readers"
BELOW_CHANCE = "below chance: does a higher score of this reader mean more suspicious?"
HASTY_SECONDS = 2  # under which nobody has looked at a slice: such answers are counted and named
NO_LOG = "the file has scores only: no diagnoses, times or CNN answers were recorded"


def refused(words: str) -> pd.DataFrame:
    """A table that says why there is none."""
    return pd.DataFrame([{"refused": words}])


def needs_log(table: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """A table of readings, which a study that has scores only refuses."""

    @wraps(table)
    def checked(study: ReaderStudy, *options: Any, **more: Any) -> pd.DataFrame:
        return refused(NO_LOG) if study.readings is None else table(study, *options, **more)

    return checked


def source_table(study: ReaderStudy) -> pd.DataFrame:
    """Where the readings come from, one row: source, simulated, readers, cases, diseased."""
    readers, cases, diseased = study.size
    about = {"source": study.source, "simulated": study.simulated}
    return pd.DataFrame([{**about, "readers": readers, "cases": cases, "diseased": diseased}])


def readers_table(study: ReaderStudy) -> pd.DataFrame:
    """One row per reader and modality, each value with its n: AUC (DeLong interval over cases),
    sensitivity and specificity (Wilson); patients are the unit where cases of one repeat. `note`
    says why an AUC or its interval is empty."""
    keys, scores = ["reader", "modality"], study.scores
    groups = scores.groupby(keys, sort=False)["truth"]
    table = pd.DataFrame({"diseased": groups.sum(), "without_disease": groups.count()})
    table["without_disease"] -= table["diseased"]
    found, why = _own_auc(study)
    table = found.reindex(table.index).join(table)
    no_width = (table["auc_high"] - table["auc_low"]).abs() < 1e-12
    table["note"] = np.where(no_width, "no variance: the interval has no width", "")
    table.loc[table["auc"].isna(), "note"] = why
    table.loc[table["auc_high"] < 0.5, "note"] = BELOW_CHANCE
    if study.readings is not None:
        marks = study.marks()
        for name, truth in (("sensitivity", 1), ("specificity", 0)):
            table = table.join(_shares(marks[marks["truth"] == truth], name, truth, keys))
    rank = {name: k for k, name in enumerate(dict.fromkeys(scores["reader"]))}
    table = table.reset_index().sort_values("reader", key=lambda x: x.map(rank), kind="stable")
    return table[[c for c in table if c != "note"] + ["note"]].reset_index(drop=True)


def _own_auc(study: ReaderStudy) -> tuple[pd.DataFrame, str]:
    """Each reader's AUC by reader and modality, and words for those without one."""
    names = {"value": "auc", "low": "auc_low", "high": "auc_high"}
    found, why = [], "fewer than two cases of a class under a modality: no AUC"
    for _, part in study.scores.groupby("modality", sort=False):
        try:
            found.append(obuchowski_rockette(part, "delong").readers)
        except DataError as error:
            why = str(error)
    empty = pd.DataFrame(columns=["reader", "modality", *names], dtype=float)
    table = pd.concat(found) if found else empty
    table = table.rename(columns=names).set_index(["reader", "modality"])
    return table[["auc", "auc_low", "auc_high"]], why


def _shares(marks: pd.DataFrame, name: str, truth: int, keys: list[str]) -> pd.DataFrame:
    """Share of marks that say the truth, per reader and modality, with its interval."""
    found = {
        key: vars(_by_unit((part["score"] == truth).to_numpy(), unit_names(part)))
        for key, part in marks.groupby(keys)
    }
    index = pd.MultiIndex.from_tuples(found, names=keys)
    table = pd.DataFrame(list(found.values()), index).reindex(columns=["value", "low", "high"])
    return table.set_axis([name, f"{name}_low", f"{name}_high"], axis=1)


def unit_names(table: pd.DataFrame) -> np.ndarray:
    """Names (n,) of the units of a table of readings: patients where known, else cases."""
    for column in ("cluster", "patient", "patient_after"):
        if column in table and table[column].notna().all() and table[column].ne("").all():
            return table[column].to_numpy()
    return table["case"].to_numpy()


def _by_unit(hits: np.ndarray, names: np.ndarray) -> Any:
    """Proportion of readings (n,) bool; several readings of one case, or cases of one patient,
    are alike, so then these are the units."""
    repeated = len(set(names)) < len(names)
    return clustered(hits, names if repeated else INDEPENDENT)[0]


def comparison_table(study: ReaderStudy) -> pd.DataFrame:
    """Pairs of modalities, the first minus the second: AUC by each covariance, restricted
    analyses, U-statistics, and sensitivity and specificity of the diagnoses.

    The contrast that the design declared comes first, is marked primary, and its p is its own;
    of every other pair there is the AUC (jackknife), sensitivity and specificity, and p_holm
    allows for their number. Without a declared one all pairs are of one family. unit: patients
    where cases of one repeat.
    """
    primary = study.declared
    pair = study.contrast if primary else None
    rows = [_compare(study.scores, pair, covariance=c) for c in ("jackknife", "delong", "unbiased")]
    rows.append(_compare(study.scores, pair, readers="fixed"))
    rows.append(_compare(study.scores, pair, cases="fixed"))
    rows.append(_u_statistics(_of_pair(study.scores, pair)))
    marks = study.marks() if study.readings is not None else None
    metrics = [("auc", study.scores, {})]
    if marks is not None:
        metrics += [(m, marks, {"threshold": 1}) for m in ("sensitivity", "specificity")]
        rows += [_compare(marks, pair, metric=m, **o) for m, _, o in metrics[1:]]
    table = pd.concat(rows, ignore_index=True)
    first = " minus ".join(map(str, pair or study.modalities[:2]))
    table["compared"] = table["compared"].fillna(first) if "compared" in table else first
    table["primary"] = primary
    others = [_others(study, scores, metric, options) for metric, scores, options in metrics]
    return pd.concat([table, *others], ignore_index=True).reindex(columns=COMPARISON)


def _others(
    study: ReaderStudy, scores: pd.DataFrame, metric: str, options: dict[str, Any]
) -> pd.DataFrame:
    """Every pair that is not the declared contrast, each on its own readings, with Holm's p."""
    if not study.declared or len(study.modalities) < 3:
        return pd.DataFrame()
    names = study.stages[::-1]  # later minus earlier
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
    done = {study.contrast, study.contrast[::-1]}
    rows = [_compare(scores, p, metric=metric, **options) for p in pairs if p not in done]
    for row, (one, other) in zip(rows, (p for p in pairs if p not in done), strict=True):
        row["compared"] = f"{one} minus {other}"
    table = pd.concat(rows, ignore_index=True).assign(primary=False)
    if "p" in table:
        table["p_holm"] = holm(table["p"])
    return table


def _of_pair(scores: pd.DataFrame, pair: tuple[str, str] | None) -> pd.DataFrame:
    """The scores of a pair of modalities, the first of them first; all of them without one."""
    if pair is None:
        return scores
    parts = [scores[scores["modality"] == name] for name in pair]
    table = pd.concat(parts)
    table.attrs = scores.attrs
    return table


def compare(scores: pd.DataFrame, pair: tuple[str, str] | None = None, **options: Any) -> MRMC:
    """The Obuchowski-Rockette analysis of one pair of modalities on the readings of these two.

    Other stages tell nothing of how this pair's accuracies go together, so they are left out of
    its mean squares and covariances. Readers who read one of the two only are nested (Hillis
    2014, the textbook variance); where every reader read both, but different cases under each,
    covariances are over the cases that two arms share and 0 without any (docs/statistics.md).
    """
    if pair is None:
        return obuchowski_rockette(scores, **options)
    return obuchowski_rockette(_of_pair(scores, pair), convention="hillis", **options)


def _compare(
    scores: pd.DataFrame, pair: tuple[str, str] | None = None, **options: Any
) -> pd.DataFrame:
    try:
        result = compare(scores, pair, **options)
    except DataError as error:
        words = {"metric": "auc", "covariance": "jackknife", "flags": f"refused: {error}"} | options
        words["random"] = " and ".join(n for n in ("readers", "cases") if words.get(n) != "fixed")
        return pd.DataFrame([words])
    table = result.summary().rename(columns={"pair": "compared"})
    means = result.modalities.set_index("modality")["value"]
    if not len(result.differences):  # one modality: no second
        return table.assign(first=means.iloc[0], second=np.nan)
    sides = (result.differences[name].map(means) for name in ("first", "second"))
    return table.assign(**dict(zip(("first", "second"), sides, strict=True)))


def _u_statistics(scores: pd.DataFrame) -> pd.DataFrame:
    words = {"metric": "auc", "covariance": "U-statistics", "random": "readers and cases"}
    if "cluster" in scores and scores.drop_duplicates("case")["cluster"].duplicated().any():
        why = "refused: U-statistics take cases of one patient for independent"
        return pd.DataFrame([{**words, "flags": why}])
    try:
        result = u_statistics(scores)
    except DataError as error:
        return pd.DataFrame([{**words, "flags": f"refused: {error}"}])
    means, flags = result.modalities.set_index("modality")["value"], "; ".join(result.flags)
    if not len(result.differences):
        return pd.DataFrame([{**words, "first": means.iloc[0], "flags": "one modality"}])
    table = result.differences
    found = pd.DataFrame(
        {
            "compared": [f"{a} minus {b}" for a, b in table[["first", "second"]].to_numpy()],
            "first": table["first"].map(means),
            "second": table["second"].map(means),
            "difference": table["value"],
            "f": table["t"] ** 2,
            "ddf": table["df"],
            "unit": "cases",
            "units": scores["case"].nunique(),
        }
    )
    return found.join(table[["low", "high", "p", "p_holm"]]).assign(**words, flags=flags)


def paired(study: ReaderStudy, step: tuple[str, str] | None = None) -> pd.DataFrame:
    """One row per reader and case read at both stages of a step (before, after; None: the first
    step): the answers with the suffixes _before and _after, truth, cnn, and who was right."""
    keys = ["reader", "case"]
    step = step or next(iter(study.steps), ("unaided", "aided"))
    frame = study.log
    sides = [frame[frame["modality"] == m] for m in step]
    both = sides[0].merge(sides[1], on=keys, suffixes=("_before", "_after"))
    truth = both["truth_after"]
    table = both.assign(truth=truth, cnn=both["cnn_prediction_after"])
    for side in ("before", "after"):
        table[f"right_{side}"] = is_right(both[f"diagnosis_{side}"], truth)
    table["cnn_right"] = table["cnn"] == truth
    return table


def is_right(diagnosis: pd.Series, truth: pd.Series) -> pd.Series:
    """Whether a diagnosis is right: "other" is right where there is no tumor."""
    return (diagnosis == "tumor") == (truth == 1)


@needs_log
def benefit_harm_table(study: ReaderStudy) -> pd.DataFrame:
    """Wrong turned right (benefit) and right turned wrong (harm) at each step, where the CNN was
    right, where it was wrong and in all. net = benefit minus harm per reading. Intervals are over
    patients (or cases, where patients are not known), for these readers. p: exact McNemar, for
    one reader and independent cases only, because it takes readings for independent ones."""
    if not study.steps:
        return refused("no case was read both without and with the heat-map")
    rows = []
    for step in study.steps:
        table = paired(study, step)
        wrong = table["cnn"].notna() & ~table["cnn_right"]
        groups = {"right": table["cnn_right"], "wrong": wrong, "all": table["cnn"].index >= 0}
        for name, chosen in groups.items():
            rows.append({"step": in_words(step)} | {"cnn": name} | change_row(step, table[chosen]))
            if not rows[-1]["readings"]:
                rows[-1]["note"] = f"no reading where the CNN was {name}"
    return pd.DataFrame(rows)


def in_words(step: tuple[str, str]) -> str:
    """ "answer → map": how tables and figures name a step."""
    return " → ".join(step)


def change_row(step: tuple[str, str], table: pd.DataFrame) -> dict[str, Any]:
    """Benefit, harm and net of the readings in a table of `paired`; empty where there are none."""
    before, after = table["right_before"].to_numpy(bool), table["right_after"].to_numpy(bool)
    benefit, harm, names = ~before & after, before & ~after, unit_names(table)
    row: dict[str, Any] = {"readings": len(table), "cases": table["case"].nunique()}
    row |= {"patients": len(set(names)), f"{step[0]}_right": before.sum()}
    row |= {f"{step[1]}_right": after.sum()}
    if step != ("unaided", "aided"):  # columns that are the same at every step
        row = {name: value for name, value in row.items() if not name.endswith("_right")}
        row |= {"right_before": before.sum(), "right_after": after.sum()}
    for word, events, chances in (("benefit", benefit, ~before), ("harm", harm, before)):
        share = _by_unit(events[chances], names[chances])
        row |= {word: share.k, f"{word}_of": share.n, f"{word}_share": share.value}
        row |= {f"{word}_low": share.low, f"{word}_high": share.high}
    if not len(table):
        return row | {"note": "no such reading"}
    net = benefit.astype(float) - harm
    low, high = clustered_mean(net, names, (-1.0, 1.0))
    row |= {"net": net.mean(), "net_low": low, "net_high": high, "p": np.nan}
    notes = [THESE_READERS, *_few_units(names)]
    notes += [f"no {step[0]} answer was wrong"] * bool(before.all())
    notes += [f"no {step[0]} answer was right"] * bool(not before.any())
    if len(set(names)) < len(names):
        notes.append("several readers per case, or cases per patient: no McNemar test")
        return row | {"note": "; ".join(notes)}
    test = mcnemar(
        [[(before & after).sum(), harm.sum()], [benefit.sum(), (~before & ~after).sum()]]
    )
    notes += [test["note"], disagreement(low, high, test["p"])]
    return row | {"p": test["p"], "note": "; ".join(filter(None, notes))}


def _few_units(names: np.ndarray) -> list[str]:
    """Words where an interval rests on few patients or cases."""
    number = len(set(names))
    if number < 2:
        return ["one patient: no interval"]
    return [f"only {number} patients: the interval is rough"] if number < FEW else []


@needs_log
def flow_table(study: ReaderStudy) -> pd.DataFrame:
    """Counts of readings by truth and by the diagnoses before and after the first step; the
    columns are named after its stages."""
    step = next(iter(study.steps), ("unaided", "aided"))
    table = paired(study, step)
    keys = ["truth", "diagnosis_before", "diagnosis_after"]
    counts = table.groupby(keys).size().rename("readings").reset_index()
    return counts.rename(columns=dict(zip(keys[1:], step, strict=True)))


@needs_log
def helpfulness_table(study: ReaderStudy) -> pd.DataFrame:
    """How often readers called the help shown helpful, by whether the CNN agreed with their first
    answer and by whether it was right, for each stage that asks. Intervals are over patients, for
    these readers."""
    said = study.log.loc[study.log["helpfulness"] != "", "modality"].unique()
    start, names = study.first_stage, (study.contrast or ())[:1]
    order = [*names, *(name for name in study.stages if name not in names)]
    tables = [_helpful(study, (start, name)) for name in order if name in said and name != start]
    tables = [table for table in tables if len(table)]
    if not tables:
        return refused("no reading says whether the heat-map helped, and what the CNN had said")
    return pd.concat(tables, ignore_index=True)


def _helpful(study: ReaderStudy, step: tuple[str, str]) -> pd.DataFrame:
    """Rows of `helpfulness_table` for one stage, after the first answer."""
    table = paired(study, step)
    table = table[(table["helpfulness_after"] != "") & table["cnn"].notna()]
    if table.empty:
        return pd.DataFrame()
    said = table["helpfulness_after"]
    agrees = (table["diagnosis_before"] == "tumor") == (table["cnn"] == 1)
    groups = {
        f"CNN agreed with the {step[0]} answer": agrees,
        "CNN disagreed": ~agrees,
        "CNN right": table["cnn_right"],
        "CNN wrong": ~table["cnn_right"],
        "all": agrees | ~agrees,
    }
    rows = []
    for name, chosen in groups.items():
        for answer in HELPFULNESS:
            names = unit_names(table[chosen])
            share = _by_unit((said[chosen] == answer).to_numpy(), names)
            value = {"share": share.value, "low": share.low, "high": share.high}
            row = {"stage": step[1], "readings": name, "helpful": answer}
            row |= {"k": share.k, "n": share.n}
            notes = [THESE_READERS, *_few_units(names)] if share.n else ["no such reading"]
            row |= {"patients": len(set(names)), **value, "note": "; ".join(notes)}
            rows.append(row)
    return pd.DataFrame(rows)


@needs_log
def time_table(study: ReaderStudy) -> pd.DataFrame:
    """Per modality: seconds per case, change per ten cases (learning: negative), and the share of
    right diagnoses in the first and last third of the session (fatigue: falling)."""
    rows = []
    for modality in study.stages:
        part = study.readings[study.readings["modality"] == modality]
        part = part.dropna(subset=["seconds", "order"])
        if part.empty:
            continue
        quartiles = part["seconds"].quantile([0.25, 0.5, 0.75]).tolist()
        row = dict(zip(("seconds_q1", "seconds_median", "seconds_q3"), quartiles, strict=True))
        hasty = part["seconds"] < HASTY_SECONDS
        row |= {"zero_seconds": int((part["seconds"] == 0).sum()), "hasty": int(hasty.sum())}
        row |= _trend(part)
        row["note"] = "; ".join(filter(None, [row["note"], _hasty_words(part[hasty])]))
        rows.append({"modality": modality, "readings": len(part), **row, **_thirds(part)})
    return pd.DataFrame(rows) if rows else refused("no reading has a time and an order")


def _hasty_words(hasty: pd.DataFrame) -> str:
    """Which readers answered faster than a picture can be looked at; nothing where none did."""
    counts = hasty["reader"].value_counts(sort=False)
    told = ", ".join(f"{reader} {count}" for reader, count in counts.items())
    return f"answered in under {HASTY_SECONDS} s: {told}" if told else ""


def _trend(part: pd.DataFrame) -> dict[str, Any]:
    """Change of time per ten cases, as a share: mean of the readers' own slopes, t interval."""
    slopes = []
    for _, own in part[part["seconds"] > 0].groupby("reader"):
        if own["order"].nunique() > 2:
            slopes.append(10 * stats.linregress(own["order"], np.log(own["seconds"])).slope)
    ends, note = np.full(3, np.nan), "no trend: fewer than two readers with times"
    if len(slopes) > 1:
        reach = stats.t.ppf(0.975, len(slopes) - 1) * stats.sem(slopes)
        ends, note = np.expm1(np.mean(slopes) + np.array([0, -reach, reach])), ""
    names = ("change_per_10_cases", "change_low", "change_high")
    return dict(zip(names, ends, strict=True)) | {"note": note}


def _thirds(part: pd.DataFrame) -> dict[str, Any]:
    """Share of right diagnoses in the first and last third of each reader's session, and the
    last minus the first, with intervals over patients (or cases)."""
    last = part.groupby("reader")["order"].transform("max")
    right, names = is_right(part["diagnosis"], part["truth"]).to_numpy(), unit_names(part)
    thirds = {"first": part["order"] <= last / 3, "last": part["order"] > last / 1.5}
    thirds = {name: chosen.to_numpy() for name, chosen in thirds.items()}
    row = {"right_change": np.nan, "right_change_low": np.nan, "right_change_high": np.nan}
    for name, chosen in thirds.items():
        share = _by_unit(right[chosen], names[chosen])
        row |= {f"right_{name}_third": share.value, f"{name}_n": share.n}
        row |= {f"right_{name}_low": share.low, f"right_{name}_high": share.high}
    either = thirds["first"] | thirds["last"]
    if thirds["first"].any() and thirds["last"].any():
        is_last = thirds["last"][either]
        low, high = clustered_difference(right[either], is_last, names[either])
        row["right_change"] = row["right_last_third"] - row["right_first_third"]
        row |= {"right_change_low": low, "right_change_high": high}
    return row
