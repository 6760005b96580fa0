"""The tables of notebook 04: what the maps are, where they point, whether they are faithful."""

import numpy as np
import pandas as pd

from camreader.common.storage import write_table
from camreader.common.tables import Heatmaps
from camreader.heatmaps import faithfulness, gradcam, localisation
from camreader.heatmaps import methods as rivals
from camreader.heatmaps.cases import load
from camreader.statistics.intervals import wilson
from camreader.training import networks

SANITY = ("gradcam", "hirescam", "saliency", "guided_gradcam")
WHOSE = ["slice_id", "patient_id"]
AREAS = ("deletion", "insertion", "insertion_minus_deletion")


def maps_table(explained, records):
    """Maps by outcome: n, blank ones, those the ReLU alone would erase, and peers' default.

    `peer_blank` counts the maps that would be blank had the positive logit been explained for
    "no tumor" too, which is the default of the common packages.
    """
    cases = explained.cases
    positive = gradcam.explain(explained.model, explained.images, 1)
    frame = records.assign(outcome=cases["outcome"], peer_blank=positive.blank)
    rows = []
    for outcome, part in frame.groupby("outcome", sort=True):
        peer = wilson(part["peer_blank"].sum(), len(part))
        row = {"protocol": explained.protocol, "outcome": outcome, "n": len(part)}
        row |= {"explained": "tumor" if part["explained_class"].iloc[0] else "no tumor"}
        row |= {"blank": int(part["blank"].sum()), "relative": int(part["relative"].sum())}
        row |= {"peer_blank": peer.k, "peer_blank_low": peer.low, "peer_blank_high": peer.high}
        rows.append(row | {"layer": part["layer"].iloc[0], "cells": _cells(positive.raw)})
    return pd.DataFrame(rows)


def score(explained, maps, truth):
    """Localisation scores, one row per method and slice, with patient, size and region."""
    tables = []
    for method, (rows, found) in maps.items():
        about = explained.cases.iloc[rows].reset_index(drop=True)
        about = about[["slice_id", "patient_id", "region", "diameter_mm", "outcome"]]
        scores = localisation.score(found, truth[rows])
        tables.append(pd.concat([about.assign(method=method), scores], axis=1))
    frame = pd.concat(tables, ignore_index=True)
    return frame.assign(size=localisation.size_groups(frame["diameter_mm"]))


def heatmaps_table(study, explained, records, maps, truth):
    """Write runs/<cohort>/heatmaps/heatmaps.parquet: every stored map with its scores."""
    cases = explained.cases
    frame = pd.DataFrame({"slice_id": cases["slice_id"], "method": "gradcam"})
    frame["explained_score"] = records["score"].astype(float)
    for name in ("layer", "explained_class", "blank", "relative"):
        frame[name] = records[name]
    lesion = truth & cases["lesion"].to_numpy()[:, None, None]
    scores = localisation.score(maps, lesion).drop(columns="blank")
    frame = pd.concat([frame, scores], axis=1)
    write_table(frame, study.runs / "heatmaps" / "heatmaps.parquet", Heatmaps)
    return frame


def localisation_table(scored, methods, draws=500):
    """Every method, then Grad-CAM and the baselines by lesion size and region, per truth.

    `scored` is {truth: frame of `score`}. `hit_minus_gradcam` compares on the same slices. A
    method without any slice to score keeps its row, whose `note` says why.
    """
    tables = []
    for truth, frame in scored.items():
        whole = localisation.summarise(frame, draws, methods=methods)
        whole = whole.assign(group="all", kind="all")
        absent = ~whole["method"].isin(frame["method"]) & bool(len(frame))
        whole.loc[absent, "note"] = "does not apply to this network"
        whole = against_gradcam(whole, frame, "hit", draws)
        tables.append(whole.assign(truth=truth))
        few = frame[frame["method"].isin(["gradcam", *rivals.BASELINES])]
        for kind in ("size", "region"):
            for group, part in few.groupby(kind, sort=True):
                table = localisation.summarise(part, draws).assign(group=group, kind=kind)
                tables.append(table.assign(truth=truth))
    table = pd.concat(tables, ignore_index=True)
    first = ["truth", "kind", "group", "method"]
    others = [name for name in table if name not in (*first, "note")]
    return table[[*first, *others, "note"]]


def against_gradcam(table, frame, score, draws=500):
    """`table` and <score>_minus_gradcam, _low and _high: paired differences of `frame`."""
    against = localisation.compare(frame, score=score, draws=draws).set_index("method")
    for column, ending in (("difference", ""), ("low", "_low"), ("high", "_high")):
        table[f"{score}_minus_gradcam{ending}"] = table["method"].map(against[column])
    return table


def faithfulness_curves(explained, maps, count=60, seed=0):
    """Deletion and insertion of every method on a seeded sample of the slices all of them have.

    Returns (curves: one row per method and share of pixels, areas: one row per method and slice);
    both are empty where no slice has a lesion.
    """
    common = sorted(set.intersection(*(set(rows.tolist()) for rows, _ in maps.values())))
    if not common:
        return pd.DataFrame(), pd.DataFrame(columns=["method", *WHOSE, *AREAS])
    chosen = np.sort(np.random.default_rng(seed).permutation(common)[:count])
    images = explained.images[chosen]
    whose = explained.cases[WHOSE].iloc[chosen].reset_index(drop=True)
    curves, areas = [], []
    for method, (rows, found) in maps.items():
        own = found[np.searchsorted(rows, chosen)]
        share, gone, come = faithfulness.deletion_insertion(explained.model, images, own, 1)
        means = {"deletion": gone.mean(0), "insertion": come.mean(0)}
        curves.append(pd.DataFrame({"method": method, "share": share, "n": len(chosen)} | means))
        table = faithfulness.curve_table(share, gone, come).assign(method=method)
        areas.append(pd.concat([whose, table], axis=1))
    return pd.concat(curves, ignore_index=True), pd.concat(areas, ignore_index=True)


def sanity(explained, count=16, seed=0):
    """Likeness of the maps while the weights are randomised, on a seeded sample of slices."""
    rows = np.flatnonzero(explained.cases["lesion"])
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:count])
    architecture = explained.record["architecture"], explained.record["image_size"]
    return faithfulness.randomisation(
        explained.model,
        lambda: networks.build(*architecture),
        explained.images[chosen],
        1,
        SANITY,
        seed=seed,
    )


def seeds_table(study, explained, seeds):
    """Likeness of Grad-CAM maps of networks that differ by their training seed only.

    One row per other seed: mean rank correlation over the lesion slices that are in both test
    sets, 0 for a blank map; empty where only one seed was trained.
    """
    mine, rows = int(explained.cases["seed"].iloc[0]), []
    for seed in [s for s in seeds if s != mine]:
        other = load(study, explained.protocol, seed)
        here = explained.cases["lesion"] & explained.cases["slice_id"].isin(other.cases["slice_id"])
        place = other.cases.reset_index().set_index("slice_id")["index"]
        there = place.loc[explained.cases["slice_id"][here]].to_numpy(copy=True)
        one = gradcam.grad_cam(explained.model, explained.images[np.flatnonzero(here)], 1)
        two = gradcam.grad_cam(other.model, other.images[there], 1)
        alike = np.nan_to_num(faithfulness.likeness(one, two))
        row = {"seed": seed, "n": len(one), "likeness": alike.mean() if len(one) else np.nan}
        rows.append(row)
    return pd.DataFrame(rows, columns=["seed", "n", "likeness"])


def faithfulness_table(areas, randomised, seeds, methods, draws=500):
    """One row per method: areas under its curves with intervals, and what randomising leaves.

    `insertion_minus_deletion_minus_gradcam` compares with Grad-CAM on the same slices.
    """
    table = localisation.summarise(areas, draws, scores=AREAS, methods=methods)
    table = against_gradcam(table, areas, AREAS[-1], draws)
    last = randomised[randomised["step"] == randomised["step"].max()].set_index("method")
    for name in ("likeness", "lowest", "highest", "maps", "blank"):
        table[f"randomised_{name}"] = table["method"].map(last[name])
    only = table["method"] == "gradcam"
    table["likeness_other_seeds"] = seeds["likeness"].mean() if len(seeds) else np.nan
    table["likeness_other_seeds"] = table["likeness_other_seeds"].where(only)
    table["seeds_compared"] = np.where(only, len(seeds), 0)
    return table[[name for name in table if name != "note"] + ["note"]]


def _cells(raw):
    return f"{raw.shape[1]} x {raw.shape[2]}"
