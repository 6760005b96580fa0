"""Five test slices for the report's page, where a reader answers against the network.

Everything of a case stands in the page, its truth included: a demonstration, no reading session.
"""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from camreader.cohorts import classes
from camreader.common.storage import write_json
from camreader.common.study import Study
from camreader.common.tables import parse_boxes
from camreader.heatmaps import methods, overlay
from camreader.heatmaps.cases import Explained, display_slice
from camreader.statistics.intervals import wilson

CASES, WITH_FINDING = 5, 3


def choose(cases: pd.DataFrame, seed: int = 0) -> list[int]:
    """Row numbers of five test slices in random order: three with the finding where there are so
    many, each of another patient where patients are known; not chosen by the network's answer."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(cases))
    patients = cases["patient_id"].fillna(cases["slice_id"]).astype(str).to_numpy()
    truth, seen = cases["truth"].to_numpy(), set()
    chosen: dict[int, list[int]] = {1: [], 0: []}
    for row in order:
        if patients[row] not in seen:
            seen.add(patients[row])
            chosen[int(truth[row])].append(int(row))
    with_it = chosen[1][: max(WITH_FINDING, CASES - len(chosen[0]))]
    rows = [*with_it, *chosen[0][: CASES - len(with_it)]]
    return [rows[place] for place in rng.permutation(len(rows))]


def write(study: Study, explained: Explained, seed: int = 0) -> dict[str, int]:
    """Write reports/challenge.json; return how many slices it holds with and without the finding.

    None where the network is not worth explaining.
    """
    names = classes.names(study.card)
    rows = [] if explained.banner else choose(explained.cases, seed)
    maps = evidence(explained, rows)
    found = [
        _case(study, explained.cases.iloc[row], one) for row, one in zip(rows, maps, strict=True)
    ]
    intervals = [wilson(k, len(rows)) for k in range(len(rows) + 1)] if rows else []
    content = {
        "names": [names[0], names[1]],
        "cases": found,
        "intervals": [[one.low, one.high] for one in intervals],
    }
    write_json(content, study.challenge)
    truths = [one["truth"] for one in found]
    return {names[1]: truths.count(1), names[0]: truths.count(0)}


def evidence(explained: Explained, rows: list[int]) -> np.ndarray:
    """Maps (k, S, S) of the finding, whatever the network decided, of the cases numbered `rows`."""
    if explained.given is not None:
        return np.asarray(explained.given[rows], np.float32)
    return methods.compute(explained.main, explained.model, explained.images[rows], 1)


def _case(study: Study, case: pd.Series, heat: np.ndarray) -> dict[str, Any]:
    """What the page needs of one case; places as shares of the picture's width and height."""
    grey = display_slice(study, case)
    height, width = grey.shape
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    side = np.array([width, height, width, height], float)
    boxes = [
        np.array([x1, y1, x2 + 1, y2 + 1]) / side for x1, y1, x2, y2 in parse_boxes(case.boxes)
    ]
    return {
        "slice": _png(overlay.plain(grey)[..., 0]),
        "map": _png(overlay.layer(heat, grey.shape)),
        "size": [width, height],
        "region": case.region,
        "truth": int(case.truth),
        "answer": int(case.predicted),
        "probability": round(float(case.probability), 3),
        "boxes": [box.round(4).tolist() for box in boxes] if case.truth == 1 else [],
        "hottest": [(column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]],
    }


def _png(pixels: np.ndarray) -> str:
    """A picture (H, W) or (H, W, 4) uint8 as the address of an image inside the page."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
