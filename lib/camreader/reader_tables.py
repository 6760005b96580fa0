"""The reader study's tables: who did how well, what the heat-map changed, how long it took.

Every function takes a `study_readings.ReaderStudy` and returns a DataFrame; what the data cannot
give comes back as one row with the reason in the column `refused`.
"""

import numpy as np
import pandas as pd
from scipy import stats

from camreader import roemetz, sizing
from camreader.agreement import mcnemar
from camreader.intervals import cluster_bootstrap, wilson
from camreader.mrmc import obuchowski_rockette
from camreader.schemas import DataError
from camreader.study_readings import HELPFULNESS, MODALITIES
from camreader.ustatistics import u_statistics

NO_LOG = "the file has scores only: no diagnoses, times or CNN answers were recorded"
POINTS = (0.05, 0.10, 0.15)
STRUCTURES = {
    "HL": "scores much alike, readers much alike",
    "HH": "scores much alike, readers differ",
    "LL": "scores differ, readers much alike",
    "LH": "scores differ, readers differ",
}
MOSTLY_CROSSED = (
    0.9  # share of readings made; below it a study cannot be the pilot of a crossed one
)


def refused(words):
    """A table that says why there is none."""
    return pd.DataFrame([{"refused": words}])


def readers_table(study):
    """Per reader and treatment: AUC (DeLong interval over cases), sensitivity and specificity
    (Wilson), each with its n. One row per reader and treatment."""
    try:
        table = obuchowski_rockette(study.scores, "delong", *_roles(study)).readers
    except DataError as error:
        return refused(str(error))
    names = {"value": "auc", "low": "auc_low", "high": "auc_high"}
    table = table.rename(columns={**names, "treatment": "modality"})
    if study.readings is None:
        return table
    marks = study.marks().rename(columns={"treatment": "modality"})
    for name, truth in (("sensitivity", 1), ("specificity", 0)):
        part = marks[marks["truth"] == truth]
        right = (part["score"] == truth).groupby([part["reader"], part["modality"]])
        shares = [wilson(k, n) for k, n in zip(right.sum(), right.count(), strict=True)]
        columns = {f"{name}{end}": [getattr(s, x) for s in shares] for end, x in _ENDS.items()}
        more = pd.DataFrame(columns, index=right.sum().index)
        table = table.join(more, on=["reader", "modality"])
    return table


_ENDS = {"": "value", "_low": "low", "_high": "high"}


def comparison_table(study):
    """First treatment minus second (aided minus unaided): AUC by each covariance, restricted
    analyses, U-statistics, and sensitivity and specificity of the diagnoses."""
    rows = [_compare(study.scores, covariance=c) for c in ("jackknife", "delong", "unbiased")]
    rows.append(_compare(study.scores, readers="fixed"))
    rows.append(_compare(study.scores, cases="fixed"))
    rows.append(_u_statistics(study.scores))
    if study.readings is not None:
        marks = study.marks()
        rows += [_compare(marks, metric=m, threshold=1) for m in ("sensitivity", "specificity")]
    table = pd.concat(rows, ignore_index=True)
    compared = " minus ".join(map(str, study.treatments[:2]))
    table.insert(0, "compared", compared)
    return table


def _compare(scores, **options):
    try:
        result = obuchowski_rockette(scores, **options)
    except DataError as error:
        words = {"metric": options.get("metric", "auc"), "covariance": options.get("covariance")}
        return pd.DataFrame([{**words, "flags": f"refused: {error}"}])
    row = result.summary()
    means = result.treatments["value"].tolist()
    row.insert(3, "first", means[0])
    row.insert(4, "second", means[1] if len(means) > 1 else np.nan)
    return row


def _u_statistics(scores):
    words = {"metric": "auc", "covariance": "U-statistics", "random": "readers and cases"}
    try:
        result = u_statistics(scores)
    except DataError as error:
        return pd.DataFrame([{**words, "flags": f"refused: {error}"}])
    means, flags = result.treatments["value"].tolist(), "; ".join(result.flags)
    if not len(result.differences):
        return pd.DataFrame([{**words, "first": means[0], "flags": "one treatment"}])
    row = result.differences.iloc[0]
    found = {"first": means[0], "second": means[1], "difference": row["value"]}
    found |= {"low": row["low"], "high": row["high"], "f": row["t"] ** 2, "ddf": row["df"]}
    return pd.DataFrame([{**words, **found, "p": row["p"], "flags": flags}])


def paired(study):
    """One row per reader and case read both ways: answers side by side, and who was right."""
    keys = ["reader", "case"]
    sides = [study.readings[study.readings["modality"] == m].set_index(keys) for m in MODALITIES]
    both = sides[0].join(sides[1], lsuffix="_unaided", rsuffix="_aided", how="inner").reset_index()
    truth = both["truth_aided"]
    table = both.assign(truth=truth, cnn=both["cnn_prediction_aided"])
    for modality in MODALITIES:
        table[f"right_{modality}"] = (both[f"diagnosis_{modality}"] == "tumor") == (truth == 1)
    table["cnn_right"] = table["cnn"] == truth
    return table


def benefit_harm_table(study):
    """Wrong turned right (benefit) and right turned wrong (harm), where the CNN was right, where
    it was wrong and in all. net = benefit minus harm per reading; its interval resamples cases,
    because several readers read the same case. p: exact McNemar over readings (readings of one
    case are not independent, so read it with the interval)."""
    if study.readings is None:
        return refused(NO_LOG)
    table = paired(study)
    if table.empty:
        return refused("no case was read both without and with the heat-map")
    wrong = table["cnn"].notna() & ~table["cnn_right"]
    groups = {"right": table["cnn_right"], "wrong": wrong, "all": table["cnn"].index >= 0}
    return pd.DataFrame([_benefit_row(name, table[rows]) for name, rows in groups.items()])


def _benefit_row(name, table):
    before, after = table["right_unaided"].to_numpy(), table["right_aided"].to_numpy()
    benefit, harm = ~before & after, before & ~after
    counts = [[(before & after).sum(), harm.sum()], [benefit.sum(), (~before & ~after).sum()]]
    row = {"cnn": name, "readings": len(table), "cases": table["case"].nunique()}
    row |= {"unaided_right": before.sum(), "aided_right": after.sum()}
    for word, events, chances in (("benefit", benefit, ~before), ("harm", harm, before)):
        share = wilson(events.sum(), chances.sum())
        row |= {word: events.sum(), f"{word}_of": share.n, f"{word}_share": share.value}
        row |= {f"{word}_low": share.low, f"{word}_high": share.high}
    if not len(table):
        return row | {"note": f"no reading where the CNN was {name}"}
    net = benefit.astype(float) - harm
    low, high = cluster_bootstrap(lambda rows: net[rows].mean(), table["case"].to_numpy())
    test = mcnemar(counts)
    note = "" if table["case"].nunique() > 1 else "one case: no interval"
    row |= {"net": net.mean(), "net_low": low, "net_high": high, "p": test["p"]}
    return row | {"note": test["note"] or note}


def flow_table(study):
    """Counts of readings by truth, unaided and aided diagnosis."""
    if study.readings is None:
        return refused(NO_LOG)
    table = paired(study)
    keys = ["truth", "diagnosis_unaided", "diagnosis_aided"]
    counts = table.groupby(keys).size().rename("readings").reset_index()
    return counts.rename(columns={"diagnosis_unaided": "unaided", "diagnosis_aided": "aided"})


def helpfulness_table(study):
    """How often readers called the heat-map helpful, by whether the CNN agreed with their unaided
    answer and by whether it was right."""
    if study.readings is None:
        return refused(NO_LOG)
    table = paired(study)
    said = table["helpfulness_aided"]
    table, said = table[said != ""], said[said != ""]
    if table.empty:
        return refused("no reading says whether the heat-map helped")
    agrees = (table["diagnosis_unaided"] == "tumor") == (table["cnn"] == 1)
    groups = {
        "CNN agreed with the unaided answer": agrees,
        "CNN disagreed": ~agrees,
        "CNN right": table["cnn_right"],
        "CNN wrong": ~table["cnn_right"],
        "all": agrees | ~agrees,
    }
    rows = []
    for name, chosen in groups.items():
        for answer in HELPFULNESS:
            share = wilson((said[chosen] == answer).sum(), chosen.sum())
            value = {"share": share.value, "low": share.low, "high": share.high}
            rows.append({"readings": name, "helpful": answer, "k": share.k, "n": share.n, **value})
    return pd.DataFrame(rows)


def time_table(study):
    """Per modality: seconds per case, change per ten cases (learning: negative), and the share of
    right diagnoses in the first and last third of the session (fatigue: falling)."""
    if study.readings is None:
        return refused(NO_LOG)
    rows = []
    for modality in MODALITIES:
        part = study.readings[study.readings["modality"] == modality]
        part = part.dropna(subset=["seconds", "order"])
        if part.empty:
            continue
        quartiles = part["seconds"].quantile([0.25, 0.5, 0.75]).tolist()
        row = dict(zip(("seconds_q1", "seconds_median", "seconds_q3"), quartiles, strict=True))
        row |= {"zero_seconds": int((part["seconds"] == 0).sum())} | _trend(part)
        rows.append({"modality": modality, "readings": len(part), **row, **_thirds(part)})
    return pd.DataFrame(rows) if rows else refused("no reading has a time and an order")


def _trend(part):
    """Change of time per ten cases, as a share: mean of the readers' own slopes, t interval."""
    slopes = []
    for _, own in part[part["seconds"] > 0].groupby("reader"):
        if own["order"].nunique() > 2:
            slopes.append(10 * stats.linregress(own["order"], np.log(own["seconds"])).slope)
    names = ("change_per_10_cases", "change_low", "change_high")
    if len(slopes) < 2:
        return dict(zip(names, (np.nan,) * 3, strict=True)) | {"note": "fewer than two readers"}
    reach = stats.t.ppf(0.975, len(slopes) - 1) * stats.sem(slopes)
    ends = np.mean(slopes) + np.array([0, -reach, reach])
    return dict(zip(names, np.expm1(ends), strict=True)) | {"note": ""}


def _thirds(part):
    """Share of right diagnoses in the first and last third of each reader's session."""
    last = part.groupby("reader")["order"].transform("max")
    right = (part["diagnosis"] == "tumor") == (part["truth"] == 1)
    row = {}
    for name, chosen in (
        ("first", part["order"] <= last / 3),
        ("last", part["order"] > last / 1.5),
    ):
        share = wilson(right[chosen].sum(), chosen.sum())
        row |= {f"right_{name}_third": share.value, f"{name}_n": share.n}
        row |= {f"right_{name}_low": share.low, f"right_{name}_high": share.high}
    return row


def planning_table(study, differences=POINTS, readers=range(3, 21), wanted=0.8):
    """Cases needed per number of readers until each difference in AUC shows, for several pilots.

    First a real study of three readers or more that read (nearly) everything, if this is one;
    else the published Van Dyke study. Then the four Roe-Metz structures at an AUC of 0.855, for
    the range that readers and cases of other kinds would need.
    """
    tables = []
    for words, parts, cases, lower in [_pilot(study), *_structures()]:
        table = sizing.plan(parts, cases, differences, readers, wanted)
        notes = [_plan_note(row, lower) for row in table.itertuples()]
        tables.append(table.assign(pilot=words, pilot_auc=lower, note=notes))
    return pd.concat(tables, ignore_index=True)


def _plan_note(row, lower):
    if lower + row.difference > 1:
        return f"no room for this difference above the pilot's AUC of {lower:.2f}"
    if pd.isna(row.cases):
        return f"not within {sizing.MOST_CASES} cases"
    least = row.cases <= sizing.FEWEST_CASES
    return "the least that these large-sample formulas can plan" if least else ""


def _pilot(study):
    """(words, components, cases, mean AUC of the lower treatment)."""
    readers, cases, _ = study.size
    words = "Van Dyke et al. 1993 (published: 5 readers, 114 cases)"
    published = (words, sizing.VAN_DYKE, sizing.VAN_DYKE_CASES, sizing.VAN_DYKE_AUC)
    complete = len(study.scores) >= MOSTLY_CROSSED * len(study.treatments) * readers * cases
    if study.simulated or readers < 3 or len(study.treatments) != 2 or not complete:
        return published
    try:
        result = obuchowski_rockette(study.scores)
    except DataError:
        return published
    part = result.components
    if part.var - part.cov1 <= 0:
        return published
    words = f"this study ({readers} readers, {cases} cases)"
    return words, part, cases, result.treatments["value"].min()


def _structures():
    """The Roe-Metz structures as pilots: components averaged over 300 simulated studies."""
    for name, words in STRUCTURES.items():
        variances = roemetz.structure(name)
        blocks = roemetz.simulate(300, 5, 50, 50, variances=variances, seed=0)
        auc = roemetz.expected_auc(1.5, variances)
        yield f"Roe-Metz {name}: {words}", roemetz.average_components(*blocks), 100, auc


def _roles(study):
    return ("fixed", "random") if study.size[0] == 1 else ("random", "random")
