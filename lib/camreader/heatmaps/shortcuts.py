"""Does the network look at the body at all? Heat outside it, and answers when it is blanked.

A network can be right for reasons that have nothing to do with anatomy: the table, a marker, the
border of an image. Two questions find the plainest of them. How much of the heat lies outside the
body? And how many answers survive when everything outside it is made as dark as air?
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from camreader.cohorts import pixels, windows
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.heatmaps.cases import Explained
from camreader.heatmaps.methods import NO_NETWORK
from camreader.statistics.intervals import (
    INDEPENDENT,
    Groups,
    by_unit,
    clustered,
    clustered_mean,
    paired_difference,
)
from camreader.training.trainer import predict

BODY_HU = -300  # between air and fat
BODY_GREY = 0.1  # of an image's range (1st to 99th percentile): what is darker is background
COLUMNS = ["measure", "value", "low", "high", "n", "interval", "note"]


def body(values: np.ndarray, unit: str = "HU") -> np.ndarray:
    """Which pixels of slices (n, S, S) belong to the body, bool (n, S, S).

    unit "HU": above -300 HU; "grey": brighter than a tenth of the image's range. Of these the
    largest connected part, with what it encloses (lungs, bowel gas): the table is not the body.
    """
    return np.stack([_body(np.asarray(image, np.float32), unit) for image in values])


def _body(image: np.ndarray, unit: str) -> np.ndarray:
    limit = BODY_HU
    if unit != "HU":
        dark, bright = np.percentile(image, [1, 99])
        limit = dark + BODY_GREY * (bright - dark)
    parts, count = ndimage.label(image > limit)
    if not count:
        return np.zeros(image.shape, bool)
    largest = 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return ndimage.binary_fill_holes(parts == largest)


def blanked(values: np.ndarray, inside: np.ndarray, unit: str = "HU") -> np.ndarray:
    """Slices (n, S, S) whose pixels outside `inside` are air, or the image's darkest grey."""
    dark = values.min(axis=(1, 2), keepdims=True)
    return np.where(inside, values, pixels.BACKGROUND if unit == "HU" else dark)


def table(study: Study, explained: Explained, maps: np.ndarray) -> pd.DataFrame:
    """Heat and area outside the body, and accuracy with and without what lies there.

    maps: (n, S, S), of the decisions, in the order of `explained.cases`; blank maps are left out
    of the heat. Intervals are over patients under the sound protocol, else over slices.
    """
    unit, cases = windows.unit_of(study.card), explained.cases
    values = pixels.load(study.pixels, read_table(study.cohort_table, Cohort))
    values = np.asarray(values[cases["row"].to_numpy()])
    inside = body(values, unit)
    patients = cases["patient_id"].to_numpy() if explained.protocol == "sound" else None
    whose: Groups = INDEPENDENT if patients is None else patients
    total = maps.sum(axis=(1, 2))
    lit = np.flatnonzero(total > 0)
    heat = (maps * ~inside).sum(axis=(1, 2))[lit] / total[lit]
    rows = [
        _mean("heat outside the body", heat, whose if patients is None else patients[lit]),
        _mean("area outside the body", (~inside).mean(axis=(1, 2)), whose),
    ]
    if explained.model is None:
        row = {"measure": "accuracy lost by blanking", "note": NO_NETWORK}
        return pd.DataFrame([*rows, row]).reindex(columns=COLUMNS).fillna({"note": ""})
    window = windows.window_for(study.card, explained.record["window"])
    images = torch.from_numpy(windows.model_input(blanked(values, inside, unit), *window))
    truth = cases["truth"].to_numpy()
    right = cases["predicted"].to_numpy() == truth
    still = (predict(explained.model, images).numpy() > 0) == (truth > 0)
    rows += [
        _share("accuracy", right, whose),
        _share("accuracy, outside blanked", still, whose),
    ]
    lost, how = paired_difference(still, right, patients)
    rows.append({"measure": "accuracy lost by blanking", "value": -lost.value, "n": lost.n})
    rows[-1] |= {"low": -lost.high, "high": -lost.low, "interval": how, "note": lost.note}
    return pd.DataFrame(rows).reindex(columns=COLUMNS).fillna({"note": ""})


def _mean(name: str, values: np.ndarray, whose: Groups) -> dict[str, Any]:
    """Mean of values (n,) over slices with its interval."""
    row = {"measure": name, "n": len(values)}
    if not len(values):
        return row | {"note": "no map with any heat"}
    low, high = clustered_mean(values, whose)
    row |= {"value": float(values.mean()), "low": low, "high": high}
    return row | {"interval": by_unit("t", whose)}


def _share(name: str, hits: np.ndarray, whose: Groups) -> dict[str, Any]:
    share, how = clustered(hits, whose)
    return {"measure": name, **vars(share), "interval": by_unit(how, whose)}


def finding(found: pd.DataFrame) -> Iterator[str]:
    """Sentences on what the check found, from `table`."""
    rows = found.set_index("measure")
    heat, area = rows.loc["heat outside the body"], rows.loc["area outside the body"]
    if heat["n"]:
        yield (
            f"Of the heat, {_percent(heat)} lies outside the body, which is {_percent(area)} of "
            "the picture: a map that looked at nothing would spread evenly."
        )
    lost = rows.loc["accuracy lost by blanking"]
    if np.isnan(lost["value"]):
        yield f"Whether the network uses what lies there was left out: it {lost['note']}."
        return
    told = " The network uses what lies there." if lost["low"] > 0 else ""
    yield (
        f"Everything outside the body blanked, accuracy changes by {_points(-lost['value'])} "
        f"({_points(-lost['high'])} to {_points(-lost['low'])}) points ({lost['interval']}).{told}"
    )


def _percent(row: pd.Series) -> str:
    return f"{row['value']:.1%} ({row['low']:.1%} to {row['high']:.1%})"


def _points(share: float) -> str:
    return f"{100 * share + 0.0:+.1f}"  # adding 0 takes the sign off a negative zero
