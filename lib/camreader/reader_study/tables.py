"""The reader study's tables: who did how well, what the heat-map changed, how long it took.

Every function takes a `study_readings.ReaderStudy` and returns a DataFrame; what the data cannot
give comes back as one row with the reason in the column `refused`.
"""

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.reader_study.study import HELPFULNESS, MODALITIES
from camreader.statistics.agreement import mcnemar
from camreader.statistics.intervals import cluster_bootstrap, clustered, wilson
from camreader.statistics.mrmc.analysis import obuchowski_rockette
from camreader.statistics.mrmc.ustatistics import u_statistics

COMPARISON = ["compared", "metric", "covariance", "random", "first", "second", "difference"]
COMPARISON += ["low", "high", "f", "ddf", "p", "flags"]
NO_LOG = "the file has scores only: no diagnoses, times or CNN answers were recorded"


def refused(words):
    """A table that says why there is none."""
    return pd.DataFrame([{"refused": words}])


def readers_table(study):
    """One row per reader and treatment, each value with its n: AUC (DeLong interval over cases),
    sensitivity and specificity (Wilson). `note` says why an AUC or its interval is empty."""
    keys, scores = ["reader", "modality"], study.scores.rename(columns={"treatment": "modality"})
    groups = scores.groupby(keys, sort=False)["truth"]
    table = pd.DataFrame({"diseased": groups.sum(), "without_disease": groups.count()})
    table["without_disease"] -= table["diseased"]
    found, why = _own_auc(study)
    table = found.reindex(table.index).join(table)
    no_width = (table["auc_high"] - table["auc_low"]).abs() < 1e-12
    table["note"] = np.where(no_width, "no variance: the interval has no width", "")
    table.loc[table["auc"].isna(), "note"] = why
    if study.readings is not None:
        marks = study.marks().rename(columns={"treatment": "modality"})
        for name, truth in (("sensitivity", 1), ("specificity", 0)):
            table = table.join(_shares(marks[marks["truth"] == truth], name, truth, keys))
    rank = {name: k for k, name in enumerate(dict.fromkeys(scores["reader"]))}
    table = table.reset_index().sort_values("reader", key=lambda x: x.map(rank), kind="stable")
    return table[[c for c in table if c != "note"] + ["note"]].reset_index(drop=True)


def _own_auc(study):
    """Each reader's AUC by reader and modality, and words for those without one."""
    names = {"value": "auc", "low": "auc_low", "high": "auc_high", "treatment": "modality"}
    try:
        found = obuchowski_rockette(study.scores, "delong", *_roles(study)).readers
    except DataError as error:
        found, why = pd.DataFrame(columns=["reader", *names], dtype=float), str(error)
    else:
        why = "fewer than two cases of a class under a modality: no AUC"
    found = found.rename(columns=names).set_index(["reader", "modality"])
    return found[["auc", "auc_low", "auc_high"]], why


def _shares(marks, name, truth, keys):
    """Share of marks that say the truth, per reader and modality, with Wilson's interval."""
    groups = (marks["score"] == truth).groupby([marks[key] for key in keys])
    shares = [wilson(k, n) for k, n in zip(groups.sum(), groups.count(), strict=True)]
    ends = {"": "value", "_low": "low", "_high": "high"}
    columns = {f"{name}{end}": [getattr(s, x) for s in shares] for end, x in ends.items()}
    return pd.DataFrame(columns, index=groups.sum().index)


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
    compared = " minus ".join(map(str, study.treatments[:2]))
    table = pd.concat(rows, ignore_index=True).assign(compared=compared)
    return table.reindex(columns=COMPARISON)


def _compare(scores, **options):
    try:
        result = obuchowski_rockette(scores, **options)
    except DataError as error:
        words = {"metric": "auc", "covariance": "jackknife", "flags": f"refused: {error}"} | options
        words["random"] = " and ".join(n for n in ("readers", "cases") if words.get(n) != "fixed")
        return pd.DataFrame([words])
    means = [*result.treatments["value"], np.nan]  # one treatment: no second
    return result.summary().assign(first=means[0], second=means[1])


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
    sides = [study.readings[study.readings["modality"] == m] for m in MODALITIES]
    both = sides[0].merge(sides[1], on=keys, suffixes=[f"_{m}" for m in MODALITIES])
    truth = both["truth_aided"]
    table = both.assign(truth=truth, cnn=both["cnn_prediction_aided"])
    for modality in MODALITIES:
        table[f"right_{modality}"] = _right(both[f"diagnosis_{modality}"], truth)
    table["cnn_right"] = table["cnn"] == truth
    return table


def _right(diagnosis, truth):
    """Whether a diagnosis is right: "other" is right where there is no tumor."""
    return (diagnosis == "tumor") == (truth == 1)


def benefit_harm_table(study):
    """Wrong turned right (benefit) and right turned wrong (harm), where the CNN was right, where
    it was wrong and in all. net = benefit minus harm per reading. All intervals resample cases
    where several readers read the same one (one reader: Wilson for the shares). p: exact McNemar,
    for one reader only, because it takes readings of one case for independent ones."""
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
    benefit, harm, cases = ~before & after, before & ~after, table["case"].to_numpy()
    row = {"cnn": name, "readings": len(table), "cases": len(set(cases))}
    row |= {"unaided_right": before.sum(), "aided_right": after.sum()}
    for word, events, chances in (("benefit", benefit, ~before), ("harm", harm, before)):
        share = _by_case(events[chances], cases[chances])
        row |= {word: share.k, f"{word}_of": share.n, f"{word}_share": share.value}
        row |= {f"{word}_low": share.low, f"{word}_high": share.high}
    if not len(table):
        return row | {"note": f"no reading where the CNN was {name}"}
    net = benefit.astype(float) - harm
    low, high = cluster_bootstrap(lambda rows: net[rows].mean(), cases)
    row |= {"net": net.mean(), "net_low": low, "net_high": high, "p": np.nan}
    notes = ["one case: no interval"] * (len(set(cases)) < 2)
    notes += ["no unaided answer was wrong"] * bool(before.all())
    notes += ["no unaided answer was right"] * bool(not before.any())
    if len(set(cases)) < len(cases):
        return row | {"note": "; ".join([*notes, "several readers per case: no McNemar test"])}
    test = mcnemar(
        [[(before & after).sum(), harm.sum()], [benefit.sum(), (~before & ~after).sum()]]
    )
    return row | {"p": test["p"], "note": "; ".join(filter(None, [*notes, test["note"]]))}


def _by_case(hits, cases):
    """Proportion of readings (n,) bool; several readings of one case are no several cases, so
    then the interval resamples cases."""
    repeated = len(set(cases)) < len(cases)
    return clustered(hits, cases if repeated else None)[0]


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
    answer and by whether it was right. Intervals resample cases that several readers read."""
    if study.readings is None:
        return refused(NO_LOG)
    table = paired(study)
    table = table[(table["helpfulness_aided"] != "") & table["cnn"].notna()]
    if table.empty:
        return refused("no reading says whether the heat-map helped, and what the CNN had said")
    said = table["helpfulness_aided"]
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
            share = _by_case(said[chosen] == answer, table.loc[chosen, "case"])
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
        return dict(zip(names, (np.nan,) * 3, strict=True)) | {
            "note": "no trend: fewer than two readers with times"
        }
    reach = stats.t.ppf(0.975, len(slopes) - 1) * stats.sem(slopes)
    ends = np.mean(slopes) + np.array([0, -reach, reach])
    return dict(zip(names, np.expm1(ends), strict=True)) | {"note": ""}


def _thirds(part):
    """Share of right diagnoses in the first and last third of each reader's session, and the
    last minus the first, with intervals that resample cases."""
    last = part.groupby("reader")["order"].transform("max")
    right = _right(part["diagnosis"], part["truth"]).to_numpy()
    thirds = {"first": part["order"] <= last / 3, "last": part["order"] > last / 1.5}
    thirds = {name: chosen.to_numpy() for name, chosen in thirds.items()}
    row = {}
    for name, chosen in thirds.items():
        share = _by_case(right[chosen], part["case"].to_numpy()[chosen])
        row |= {f"right_{name}_third": share.value, f"{name}_n": share.n}
        row |= {f"right_{name}_low": share.low, f"right_{name}_high": share.high}

    def change(rows):
        parts = [right[rows][thirds[name][rows]] for name in ("last", "first")]
        return np.nan if min(map(len, parts)) == 0 else parts[0].mean() - parts[1].mean()

    low, high = cluster_bootstrap(change, part["case"].to_numpy())
    row |= {"right_change": change(np.arange(len(part)))}
    return row | {"right_change_low": low, "right_change_high": high}


def _roles(study):
    return ("fixed", "random") if study.size[0] == 1 else ("random", "random")
