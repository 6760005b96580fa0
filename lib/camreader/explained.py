"""The test slices of one trained run with their heat-maps: what notebook 04 stores and compares."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from camreader import faithfulness, heatmaps, localisation, pixels, rivals, runs
from camreader.files import read_table, write_table
from camreader.intervals import wilson
from camreader.schemas import Cohort, DataError, Heatmaps, Predictions, parse_boxes

OUTCOMES = {(1, 1): "true positive", (0, 1): "false positive"} | {
    (1, 0): "false negative",
    (0, 0): "true negative",
}
SLOW = ("integrated_gradients", "occlusion")  # hundreds of passes a slice: on a sample of slices
SANITY = ("gradcam", "hirescam", "saliency", "guided_gradcam")
COLUMNS = ["label", "region", "boxes", "width", "height", "diameter_mm", "patient_id", "image_path"]


PROTOCOLS = ("sound", "paper")


@dataclass(frozen=True)
class Explained:
    """A network, its run's test slices, and the pixels it sees of them."""

    protocol: str
    model: torch.nn.Module
    record: dict  # the run's model.json
    cases: pd.DataFrame  # one row per test slice: prediction, label, outcome, boxes, ...
    images: torch.Tensor  # (n, 1, S, S) float32 in 0..1, row order of `cases`


def load(study, protocol="sound", seed=0):
    """The final run of `protocol`, or of the other protocol where that one was refused."""
    predictions = read_table(study.runs / "predictions.parquet", Predictions)
    final = predictions[(predictions["run"] == "final") & predictions["protocol"].isin(PROTOCOLS)]
    trained = [p for p in (protocol, *PROTOCOLS) if p in set(final["protocol"])]
    if not trained:
        raise DataError("No final run; run 02_train first", file=study.runs, expected=protocol)
    rows = final[(final["protocol"] == trained[0]) & (final["seed"] == seed)]
    if rows.empty:
        raise DataError("No run with this seed", found=seed, expected=sorted(set(final["seed"])))
    model, record = runs.load_model(runs.folder(study, f"{trained[0]}-final", seed))
    cases = _cases(study, rows[rows["split"] == "test"])
    hu = pixels.load(study.pixels)[cases["row"].to_numpy()]
    centre, width = pixels.WINDOWS[record["window"]]
    images = torch.from_numpy(pixels.model_input(hu, centre, width))
    return Explained(trained[0], model, record, cases, images)


def _cases(study, rows):
    """Predictions joined to the cohort: adds `row` (in pixels.npy), `outcome` and `lesion`."""
    cohort = read_table(study.cohort_table, Cohort).reset_index(names="row").set_index("slice_id")
    cases = rows.reset_index(drop=True).join(cohort[["row", *COLUMNS]], on="slice_id")
    if cases["row"].isna().any():
        missing = cases.loc[cases["row"].isna(), "slice_id"].iloc[0]
        raise DataError("A predicted slice is not in the cohort", found=missing)
    pairs = zip(cases["label"].astype(int), cases["predicted"], strict=True)
    cases["outcome"] = [OUTCOMES[pair] for pair in pairs]
    cases["lesion"] = [bool(parse_boxes(text)) for text in cases["boxes"]]
    cases["lesion"] &= cases["label"] == 1
    return cases.astype({"row": int, "label": int})


def store(study, explained, progress=True):
    """Grad-CAM of every test slice's decision in runs/<cohort>/heatmaps/gradcam.npy; see `store`.

    Returns (memory map (n, S, S), DataFrame of explained_class, score, blank, relative, layer).
    """
    mark = "".join(explained.cases["slice_id"]) + str(explained.images.double().sum().item())
    maps, records = heatmaps.store(
        study.runs / "heatmaps" / "gradcam.npy",
        explained.model,
        lambda start, stop: explained.images[start:stop],
        len(explained.images),
        mark=mark,
        progress=progress,
    )
    frame = pd.DataFrame({name: records[name] for name in heatmaps.RECORD.names[1:]})
    layer = heatmaps.layer_name(explained.model, heatmaps.find_layer(explained.model))
    return maps, frame.assign(layer=layer)


def truths(study, cases, size):
    """{"exact mask" (phantom only), "box"}: boolean (n, size, size) lesion pixels of the cases."""
    exact = localisation.exact_masks(cases, study.card["source"], size)
    found = {} if exact is None else {"exact mask": exact}
    return found | {"box": localisation.box_masks(cases, size)}


def tumor_maps(explained, methods, slow_slices=60, seed=0):
    """Maps of "tumor" on the slices with a lesion: {method: (rows of `cases`, maps (k, S, S))}.

    Methods in SLOW see a seeded sample of `slow_slices` of them; a method that does not apply to
    the network is left out.
    """
    rows = np.flatnonzero(explained.cases["lesion"])
    few = np.random.default_rng(seed).permutation(rows)[:slow_slices]
    few.sort()
    found = {}
    for method in methods:
        chosen = few if method in SLOW else rows
        try:
            found[method] = (
                chosen,
                rivals.compute(method, explained.model, explained.images[chosen], 1),
            )
        except DataError as error:
            if "does not apply" not in str(error):
                raise
    return found


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


def maps_table(explained, records):
    """Maps by outcome: n, blank ones, those the ReLU alone would erase, and peers' default.

    `peer_blank` counts the maps that would be blank had the positive logit been explained for
    "no tumor" too, which is the default of the common packages.
    """
    cases = explained.cases
    positive = heatmaps.explain(explained.model, explained.images, 1)
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


def localisation_table(scored, draws=500):
    """Every method, then Grad-CAM and the baselines by lesion size and region, per truth.

    `scored` is {truth: frame of `score`}. `hit_minus_gradcam` compares on the same slices.
    """
    tables = []
    for truth, frame in scored.items():
        whole = localisation.summarise(frame, draws).assign(group="all", kind="all")
        against = localisation.compare(frame, draws=draws).set_index("method")
        for column in ("difference", "low", "high"):
            name = "hit_minus_gradcam" + ("" if column == "difference" else f"_{column}")
            whole[name] = whole["method"].map(against[column])
        tables.append(whole.assign(truth=truth))
        few = frame[frame["method"].isin(["gradcam", *rivals.BASELINES])]
        for kind in ("size", "region"):
            for group, part in few.groupby(kind, sort=True):
                table = localisation.summarise(part, draws).assign(group=group, kind=kind)
                tables.append(table.assign(truth=truth))
    table = pd.concat(tables, ignore_index=True)
    first = ["truth", "kind", "group", "method"]
    return table[first + [name for name in table if name not in first]]


def faithfulness_curves(explained, maps, count=60, seed=0):
    """Deletion and insertion of every method on a seeded sample of the slices all of them have.

    Returns (curves: one row per method and share of pixels, areas: one row per method and slice).
    """
    common = sorted(set.intersection(*(set(rows.tolist()) for rows, _ in maps.values())))
    chosen = np.sort(np.random.default_rng(seed).permutation(common)[:count])
    images, patients = explained.images[chosen], explained.cases["patient_id"].iloc[chosen]
    curves, areas = [], []
    for method, (rows, found) in maps.items():
        own = found[np.searchsorted(rows, chosen)]
        share, gone, come = faithfulness.deletion_insertion(explained.model, images, own, 1)
        means = {"deletion": gone.mean(0), "insertion": come.mean(0)}
        curves.append(pd.DataFrame({"method": method, "share": share, "n": len(chosen)} | means))
        areas.append(faithfulness.curve_table(share, gone, come, patients).assign(method=method))
    return pd.concat(curves, ignore_index=True), pd.concat(areas, ignore_index=True)


def sanity(explained, count=32, seed=0):
    """Likeness of the maps while the weights are randomised, on a seeded sample of slices."""
    rows = np.flatnonzero(explained.cases["lesion"])
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:count])
    return faithfulness.randomisation(explained.model, explained.images[chosen], 1, SANITY, seed)


def seeds_table(study, explained, seeds):
    """Likeness of Grad-CAM maps of networks that differ by their training seed only.

    One row per other seed: mean rank correlation and overlap of the hottest tenth over the
    lesion slices that are in both test sets; empty where only one seed was trained.
    """
    mine, rows = int(explained.cases["seed"].iloc[0]), []
    for seed in [s for s in seeds if s != mine]:
        other = load(study, explained.protocol, seed)
        here = explained.cases["lesion"] & explained.cases["slice_id"].isin(other.cases["slice_id"])
        place = other.cases.reset_index().set_index("slice_id")["index"]
        there = place.loc[explained.cases["slice_id"][here]].to_numpy()
        one = heatmaps.grad_cam(explained.model, explained.images[here.to_numpy()], 1)
        two = heatmaps.grad_cam(other.model, other.images[there], 1)
        alike, hot = faithfulness.likeness(one, two), faithfulness.hot_overlap(one, two)
        row = {"seed": seed, "n": len(one), "likeness": alike.mean() if len(one) else np.nan}
        rows.append(row | {"hot_overlap": hot.mean() if len(one) else np.nan})
    return pd.DataFrame(rows, columns=["seed", "n", "likeness", "hot_overlap"])


def faithfulness_table(areas, randomised, seeds, draws=500):
    """One row per method: areas under its curves with intervals, and what randomising leaves."""
    scores = ["deletion", "insertion", "insertion_minus_deletion"]
    table = localisation.summarise(areas, draws, scores=scores)
    last = randomised[randomised["step"] == randomised["step"].max()].set_index("method")
    table["likeness_randomised"] = table["method"].map(last["likeness"])
    table["n_randomised"] = table["method"].map(last["n"])
    only = table["method"] == "gradcam"
    table["likeness_other_seeds"] = np.where(only & len(seeds), seeds["likeness"].mean(), np.nan)
    table["seeds_compared"] = np.where(only, len(seeds), 0)
    return table


def finding(table, faithful):
    """Does Grad-CAM localise best here? In words, from the two tables."""
    truth = table["truth"].iloc[0]
    rows = table[(table["kind"] == "all") & (table["truth"] == truth)].set_index("method")
    if "gradcam" not in rows.index or not rows.loc["gradcam", "n"]:
        return "No test slice with a lesion: localisation cannot be measured here."
    own = rows.loc["gradcam"]
    words = [
        f"On {own['n']} lesion slices of {own['patients']} patients the maximum of the Grad-CAM "
        f"map lies on the lesion ({truth}) in {_percent(own, 'hit')}; centre blob "
        f"{_percent(rows.loc['centre'], 'hit')}, random map {_percent(rows.loc['random'], 'hit')}."
    ]
    better = rows[rows["hit_minus_gradcam_low"] > 0].index
    worse = rows[rows["hit_minus_gradcam_high"] < 0].index
    names = {name: rivals.TITLES[name] for name in rows.index}
    words.append(
        f"Better than Grad-CAM (interval of the difference above 0): {_list(better, names)}. "
        f"Worse: {_list(worse, names)}. Not told apart: "
        f"{_list([n for n in rows.index if n not in {*better, *worse, 'gradcam'}], names)}."
    )
    if np.isnan(own["hit_low"]):
        words.append("With one patient there is no interval, so nothing is concluded.")
    elif len(better):
        words.append("So Grad-CAM does not localise best here.")
    else:
        words.append("No method beats Grad-CAM here; that does not make it the best.")
    order = faithful.sort_values("insertion_minus_deletion", ascending=False)["method"]
    words.append(f"Most faithful by insertion minus deletion: {rivals.TITLES[order.iloc[0]]}.")
    return " ".join(words)


def _percent(row, score):
    interval = f" ({100 * row[f'{score}_low']:.0f}–{100 * row[f'{score}_high']:.0f})"
    return f"{100 * row[score]:.0f} %" + ("" if np.isnan(row[f"{score}_low"]) else interval)


def _list(methods, names):
    return ", ".join(names[m] for m in methods) or "none"


def _cells(raw):
    return f"{raw.shape[1]} x {raw.shape[2]}"
