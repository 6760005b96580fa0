"""A network of several classes: each against the rest, and all together.

The study asks one question, "is the finding there?", so its tables hold the network's finding
against everything else. What the network says of its other classes stands here, wherever the data
name them (the words of labels.csv or of class folders).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from camreader.cohorts.classes import plain
from camreader.common.errors import Refusal
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.statistics.classification import macro_auc, macro_auc_interval, metrics
from camreader.statistics.intervals import INDEPENDENT, Groups, by_unit, clustered, units_in
from camreader.training import predictions, runs

WHAT = "Several classes"
TWO = "the network answers with the finding or without it, which the tables above say"
TRAINED = "the network was trained here for the finding alone, its other classes were not"
PER_CLASS = ("sensitivity", "specificity", "AUC")
KEYS = ["slice_id", "patient_id", "protocol", "class"]
COLUMNS = ["class", "metric", "value", "low", "high", "k", "n", "patients", "interval", "note"]


def tested(study: Study, cohort: pd.DataFrame, seed: int = 0) -> pd.DataFrame | Refusal:
    """Test slices of the final run with the class the data give (`class`), the class the network
    names (`named`) and a column of probability for each class; a Refusal where there are none.

    cohort: the table `Cohort`. Slices of a class that is none of the network's are left out.
    """
    table = predictions.load(study)
    protocol = predictions.final_protocol(table, seed=seed)
    path = runs.folder(study, f"{protocol}-final", seed) / "classes.parquet"
    network = runs.record(study, f"{protocol}-final", seed).get("network") or {}
    if network.get("outputs", 1) < 3:
        return Refusal(WHAT, TWO)
    if not path.exists():
        return Refusal(WHAT, TRAINED)
    if "class_name" not in cohort or cohort["class_name"].isna().all():
        why = "the data name no class of a slice"
        return Refusal(WHAT, why, "a label that is the class, in labels.csv or as a folder's name")
    shares = read_table(path).set_index("slice_id")
    names = {plain(name): name for name in shares}
    rows = predictions.test_slices(table, cohort, protocol, "final", seed)
    rows = rows.assign(protocol=protocol, **{"class": rows["class_name"].map(plain).map(names)})
    known = rows[rows["class"].notna()].reset_index(drop=True)
    if known.empty:
        found = ", ".join(sorted(set(rows["class_name"].dropna()))[:8])
        why = f"no class of the data ({found}) is one of the network's"
        return Refusal(WHAT, why, f"OUTPUTS with the words of the data, now {', '.join(shares)}")
    chosen = shares.loc[known["slice_id"]].reset_index(drop=True)
    return pd.concat([known[KEYS], chosen], axis=1).assign(named=chosen.idxmax(axis=1))


def names_of(found: pd.DataFrame) -> list[str]:
    """The network's classes, in its order, of `tested`."""
    return list(found.columns.difference([*KEYS, "named"], sort=False))


def table(found: pd.DataFrame | Refusal) -> pd.DataFrame:
    """Each class against the rest, then all together: value, 95 % interval, n, patients.

    found: of `tested`. sensitivity and specificity are of the class named (the most probable), AUC
    of the class's probability. All together: the share named right, and the macro AUC, the plain
    mean of the classes' AUCs. Intervals are by patient under the sound protocol, else by slice.
    """
    if isinstance(found, Refusal):
        return pd.DataFrame([{"class": "", "metric": "", "n": 0, "note": found.why}])
    sound = found["protocol"].iloc[0] == "sound"
    patients: Groups = found["patient_id"] if sound else INDEPENDENT
    names, parts = names_of(found), []
    for name in names:
        label, called = ((found[c] == name).astype(int) for c in ("class", "named"))
        rows = metrics(label, found[name], called, patients=patients, draws=1)
        parts.append(rows[rows["metric"].isin(PER_CLASS)].assign(**{"class": name}))
    whole = pd.DataFrame(_together(found, names, patients))
    return pd.concat([*parts, whole], ignore_index=True).reindex(columns=COLUMNS)


def _together(found: pd.DataFrame, names: list[str], patients: Groups) -> list[dict[str, Any]]:
    """The rows of all classes together: the share named right, and the macro AUC."""
    about = {"class": "all", "patients": units_in(patients)}
    share, how = clustered(found["class"] == found["named"], patients)
    right = about | {"metric": "accuracy", **vars(share), "interval": by_unit(how, patients)}
    answers = found["class"].map(names.index).to_numpy(), found[names].to_numpy(float)
    low, high, how, note = macro_auc_interval(*answers, patients)
    macro = about | {"metric": "macro AUC", "value": macro_auc(*answers), "low": low, "high": high}
    return [right, macro | {"n": len(found), "interval": by_unit(how, patients), "note": note}]


def confusion(found: pd.DataFrame) -> pd.DataFrame:
    """Counts of slices: a row per class of the data, a column per class named."""
    names = names_of(found)
    counts = pd.crosstab(found["class"], found["named"])
    return counts.reindex(index=names, columns=names, fill_value=0)


def finding(rows: pd.DataFrame) -> Iterator[str]:
    """Sentences from `table`: accuracy and macro AUC over all classes; none where refused."""
    whole = rows[rows["class"] == "all"].set_index("metric")
    if whole.empty:
        return
    right, macro = whole.loc["accuracy"], whole.loc["macro AUC"]
    count = rows.loc[rows["class"] != "all", "class"].nunique()
    said = f"{macro['value']:.3f}" if not np.isnan(macro["value"]) else macro["note"]
    if not np.isnan(macro["low"]):
        said += f" ({macro['low']:.3f}–{macro['high']:.3f}, n = {macro['n']})"
    yield (
        f"Of its {count} classes the network names the right one in {100 * right['value']:.1f} % "
        f"({100 * right['low']:.1f}–{100 * right['high']:.1f}, n = {right['n']}); macro AUC {said}."
    )
