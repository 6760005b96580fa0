"""The tables of notebook 04: what the maps are, where they point, whether they are faithful."""

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd
from torch import nn
from tqdm.auto import tqdm

from camreader.common.storage import write_table
from camreader.common.study import Study
from camreader.common.tables import Heatmaps
from camreader.heatmaps import faithfulness, gradcam, localisation
from camreader.heatmaps import methods as registry
from camreader.heatmaps.cases import Explained, load
from camreader.statistics.intervals import wilson
from camreader.training import networks, own_networks, runs
from camreader.training.predictions import size_bands

WHOSE = ["slice_id", "patient_id"]
Maps = dict[str, tuple[np.ndarray, np.ndarray]]  # of `maps.tumor_maps`
AREAS = ("deletion", "insertion", "insertion_minus_deletion")


def maps_table(explained: Explained, records: pd.DataFrame) -> pd.DataFrame:
    """Maps by outcome: n, blank ones, those the ReLU alone would erase, and peers' default.

    `peer_blank` counts the maps that would be blank had the positive logit been explained for
    "no tumor" too, which is the default of the common packages.
    """
    cases = explained.cases
    if explained.model is None:
        return _maps_given(explained, records)
    positive = gradcam.explain(explained.model, explained.images, 1)
    frame = records.assign(outcome=cases["outcome"], peer_blank=positive.blank)
    rows, cells = [], " x ".join(map(str, positive.raw.shape[1:]))
    for outcome, part in frame.groupby("outcome", sort=True):
        peer = wilson(part["peer_blank"].sum(), len(part))
        row = {"protocol": explained.protocol, "outcome": outcome, "n": len(part)}
        row |= {"explained": "tumor" if part["explained_class"].iloc[0] else "no tumor"}
        row |= {"blank": int(part["blank"].sum()), "relative": int(part["relative"].sum())}
        row |= {"peer_blank": peer.k, "peer_blank_low": peer.low, "peer_blank_high": peer.high}
        rows.append(row | {"layer": part["layer"].iloc[0], "cells": cells})
    return pd.DataFrame(rows)


def _maps_given(explained: Explained, records: pd.DataFrame) -> pd.DataFrame:
    """The same of maps that came with results: what would need the network is missing."""
    rows = []
    for outcome, part in records.groupby(explained.cases["outcome"].to_numpy(), sort=True):
        row = {"protocol": explained.protocol, "outcome": outcome, "n": len(part)}
        row |= {"explained": "as given", "blank": int(part["blank"].sum()), "relative": 0}
        row |= {"layer": "as given", "note": f"peer_blank {registry.NO_NETWORK}"}
        rows.append(row)
    columns = ["protocol", "outcome", "n", "explained", "blank", "relative", "peer_blank"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "layer", "note"])


def score(explained: Explained, maps: Maps, truth: np.ndarray) -> pd.DataFrame:
    """Localisation scores, one row per method and slice, with patient, size and region."""
    tables = []
    for method, (rows, found) in maps.items():
        about = explained.cases.iloc[rows].reset_index(drop=True)
        about = about[["slice_id", "patient_id", "region", "diameter_mm", "outcome"]]
        scores = localisation.score(found, truth[rows])
        tables.append(pd.concat([about.assign(method=method), scores], axis=1))
    frame = pd.concat(tables, ignore_index=True)
    sizes = size_bands(frame["diameter_mm"]).cat.add_categories("size unknown")
    return frame.assign(size=sizes.fillna("size unknown"))


def heatmaps_table(
    study: Study, explained: Explained, records: pd.DataFrame, maps: np.ndarray, truth: np.ndarray
) -> pd.DataFrame:
    """Write runs/<cohort>/heatmaps/heatmaps.parquet: every stored map with its scores."""
    cases = explained.cases
    frame = pd.DataFrame({"slice_id": cases["slice_id"], "method": explained.main})
    frame["explained_score"] = records["score"].astype(float)
    for name in ("layer", "explained_class", "blank", "relative"):
        frame[name] = records[name]
    lesion = truth & cases["lesion"].to_numpy()[:, None, None]
    scores = localisation.score(maps, lesion).drop(columns="blank")
    frame = pd.concat([frame, scores], axis=1)
    write_table(frame, study.runs / "heatmaps" / "heatmaps.parquet", Heatmaps)
    return frame


def localisation_table(scored: dict[str, pd.DataFrame], methods: Iterable[str]) -> pd.DataFrame:
    """Every method, then Grad-CAM and the baselines by lesion size and region, per truth.

    `scored` is {truth: frame of `score`}. `hit_minus_gradcam` compares on the same slices. A
    method without any slice to score keeps its row, whose `note` says why.
    """
    tables = []
    for truth, frame in scored.items():
        whole = localisation.summarise(frame, methods=methods)
        whole = whole.assign(group="all", kind="all")
        main = main_method(frame)
        for name in set(whole["method"]) - set(frame["method"]) if len(frame) else ():
            note = f"does not apply to this network; only to {registry.METHODS[name].only}"
            if main == "given":
                note = registry.NO_NETWORK
            whole.loc[whole["method"] == name, "note"] = note
        whole = against(whole, frame, "hit")
        tables.append(whole.assign(truth=truth))
        few = frame[frame["method"].isin([main, *registry.baselines()])]
        for kind in ("size", "region"):
            for group, part in few.groupby(kind, sort=True, observed=True):
                table = localisation.summarise(part).assign(group=group, kind=kind)
                tables.append(table.assign(truth=truth))
    table = pd.concat(tables, ignore_index=True)
    first = ["truth", "kind", "group", "method"]
    others = [name for name in table if name not in (*first, "note")]
    return table[[*first, *others, "note"]]


def main_method(frame: pd.DataFrame) -> str:
    """The method others are compared with: Grad-CAM, or the maps that came with results."""
    return "given" if (frame["method"] == "given").any() else "gradcam"


def against(table: pd.DataFrame, frame: pd.DataFrame, score: str) -> pd.DataFrame:
    """`table` and <score>_minus_gradcam, _low and _high: paired differences of `frame`.

    Where results were given, _minus_given: maps of a network that is not at hand.
    """
    main = main_method(frame)
    found = localisation.compare(frame, main, score).set_index("method")
    for column, ending in (("difference", ""), ("low", "_low"), ("high", "_high")):
        table[f"{score}_minus_{main}{ending}"] = table["method"].map(found[column])
    return table


def faithfulness_curves(
    explained: Explained, maps: Maps, count: int = 60, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Deletion and insertion of every method on a seeded sample of the slices all of them have.

    Returns (curves: one row per method and share of pixels, with intervals by patient; areas: one
    row per method and slice); both are empty where no slice has a lesion, or there is no network
    to ask.
    """
    common = sorted(set.intersection(*(set(rows.tolist()) for rows, _ in maps.values())))
    if not common or explained.model is None:
        return pd.DataFrame(), pd.DataFrame(columns=["method", *WHOSE, *AREAS])
    chosen = np.sort(np.random.default_rng(seed).permutation(common)[:count])
    images = explained.images[chosen]
    whose = explained.cases[WHOSE].iloc[chosen].reset_index(drop=True)
    curves, areas = [], []
    for method, (rows, found) in tqdm(maps.items(), desc="deletion, insertion", leave=False):
        own = found[np.searchsorted(rows, chosen)]
        share, gone, come = faithfulness.deletion_insertion(explained.model, images, own, 1)
        means = _curve("deletion", gone, whose) | _curve("insertion", come, whose)
        curves.append(pd.DataFrame({"method": method, "share": share, "n": len(chosen)} | means))
        table = faithfulness.curve_table(share, gone, come).assign(method=method)
        areas.append(pd.concat([whose, table], axis=1))
    return pd.concat(curves, ignore_index=True), pd.concat(areas, ignore_index=True)


def _curve(name: str, values: np.ndarray, whose: pd.DataFrame) -> dict[str, np.ndarray]:
    """A curve's mean over slices (n, steps) and its ends, patients resampled, by column."""
    groups = whose["patient_id"].fillna("unknown").to_numpy()
    ends = [localisation.patient_interval(column, groups) for column in values.T]
    low, high = np.array(ends).T
    return {name: values.mean(0), f"{name}_low": low, f"{name}_high": high}


def sanity(
    explained: Explained, count: int = 16, seed: int = 0, draws: int = faithfulness.DRAWS
) -> pd.DataFrame:
    """Likeness of the maps while the weights are randomised, on a seeded sample of slices.

    Of every method that looks at this network and does not need hundreds of passes a slice.
    """
    rows = np.flatnonzero(explained.cases["lesion"])
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:count])
    names = [
        name
        for name, method in registry.METHODS.items()
        if not (method.baseline or method.slow)
        and method.applies(explained.model, explained.images) is None
    ]
    images, untrained = explained.images[chosen], partial(_untrained, explained)
    return faithfulness.randomisation(explained.model, untrained, images, 1, names, draws, seed)


def _untrained(explained: Explained) -> nn.Module:
    """The network that a run trained or used, with random weights."""
    if isinstance(explained.model, own_networks.OwnNetwork):
        return own_networks.untrained(explained.model)
    return networks.build(explained.record["architecture"], explained.record["image_size"])


def seeds_table(study: Study, explained: Explained, seeds: Iterable[int]) -> pd.DataFrame:
    """Likeness of Grad-CAM maps of networks that differ by their training seed only.

    One row per other seed: mean rank correlation over the lesion slices that are in both test
    sets, 0 for a blank map; empty where only one seed was trained.
    """
    mine, rows = int(explained.cases["seed"].iloc[0]), []
    used = explained.model is None or runs.own_of(explained.record).used  # has no seed
    for seed in [] if used else [s for s in seeds if s != mine]:
        other = load(study, explained.protocol, seed)
        assert explained.model is not None and other.model is not None, "both were trained"
        here = explained.cases["lesion"] & explained.cases["slice_id"].isin(other.cases["slice_id"])
        place = other.cases.reset_index().set_index("slice_id")["index"]
        there = place.loc[explained.cases["slice_id"][here]].to_numpy(copy=True)
        one = gradcam.grad_cam(explained.model, explained.images[np.flatnonzero(here)], 1)
        two = gradcam.grad_cam(other.model, other.images[there], 1)
        alike = np.nan_to_num(faithfulness.likeness(one, two))
        row = {"seed": seed, "n": len(one), "likeness": alike.mean() if len(one) else np.nan}
        rows.append(row)
    return pd.DataFrame(rows, columns=["seed", "n", "likeness"])


def faithfulness_table(
    areas: pd.DataFrame, randomised: pd.DataFrame, seeds: pd.DataFrame, methods: Iterable[str]
) -> pd.DataFrame:
    """One row per method: areas under its curves with intervals, and what randomising leaves.

    `insertion_minus_deletion_minus_gradcam` compares with Grad-CAM on the same slices.
    """
    table = localisation.summarise(areas, scores=AREAS, methods=methods)
    table = against(table, areas, AREAS[-1])
    last = randomised[randomised["step"] == randomised["step"].max()].set_index("method")
    for name in ("likeness", "lowest", "highest", "maps", "blank"):
        table[f"randomised_{name}"] = table["method"].map(last[name])
    only = table["method"] == "gradcam"
    table["likeness_other_seeds"] = seeds["likeness"].mean() if len(seeds) else np.nan
    table["likeness_other_seeds"] = table["likeness_other_seeds"].where(only)
    table["seeds_compared"] = np.where(only, len(seeds), 0)
    if "given" in set(table["method"]):
        table["note"] = registry.NO_NETWORK
    return table[[name for name in table if name != "note"] + ["note"]]
