"""Five slices for the report: drawn fairly, with what the page needs and nothing that it lacks."""

import base64
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camreader.common.storage import read_json
from camreader.heatmaps import challenge, overlay
from camreader.statistics.intervals import wilson


def frame(truths, patients=None):
    patients = patients or [f"p{k}" for k in range(len(truths))]
    return pd.DataFrame(
        {"truth": truths, "patient_id": patients, "slice_id": list("abcdefghij")[: len(truths)]}
    )


@pytest.mark.parametrize(
    ("truths", "with_finding", "without"),
    [([1] * 5 + [0] * 5, 3, 2), ([1] * 9 + [0], 4, 1), ([0] * 8 + [1], 1, 4), ([1, 0], 1, 1)],
)
def test_three_with_the_finding_where_there_are_so_many(truths, with_finding, without):
    for seed in range(5):
        rows = challenge.choose(frame(truths), seed)
        kinds = [truths[row] for row in rows]
        assert (kinds.count(1), kinds.count(0)) == (with_finding, without)
        assert len(set(rows)) == len(rows)


def test_a_patient_comes_once_and_order_is_drawn():
    cases = frame([1] * 5 + [0] * 5, ["p"] * 4 + ["q"] + ["r"] * 3 + ["s", "t"])
    drawn = {tuple(challenge.choose(cases, seed)) for seed in range(10)}
    assert len(drawn) > 5
    for rows in drawn:
        assert cases["patient_id"].iloc[list(rows)].is_unique


@pytest.fixture()
def learned(run):
    return replace(run, judged=None)  # the fixture's network has random weights


def test_each_case_holds_its_picture_its_map_and_its_truth(study, learned):
    counts = challenge.write(study, learned, seed=1)
    found = read_json(study.challenge)
    rows = challenge.choose(learned.cases, 1)
    assert len(found["cases"]) == len(rows) == sum(counts.values())
    for item, row in zip(found["cases"], rows, strict=True):
        case = learned.cases.iloc[row]
        assert (item["truth"], item["answer"]) == (case["truth"], case["predicted"])
        assert bool(item["boxes"]) == (case["truth"] == 1)
        pictures = [
            Image.open(io.BytesIO(base64.b64decode(item[name].split(",")[1])))
            for name in ("slice", "map")
        ]
        assert [p.mode for p in pictures] == ["L", "RGBA"]
        assert all(list(p.size) == item["size"] for p in pictures)
        assert all(0 <= v <= 1 for box in item["boxes"] for v in box)
    assert found["intervals"][2] == [wilson(2, len(rows)).low, wilson(2, len(rows)).high]


def test_the_hottest_place_is_the_maps_maximum(study, learned):
    challenge.write(study, learned, seed=1)
    rows = challenge.choose(learned.cases, 1)
    maps = challenge.evidence(learned, rows)
    for item, heat in zip(read_json(study.challenge)["cases"], maps, strict=True):
        column, row = (np.array(item["hottest"]) * heat.shape[::-1]).astype(int)
        assert heat[row, column] == heat.max()


def test_a_network_that_did_not_learn_gives_no_slices(study, run):
    assert sum(challenge.write(study, run).values()) == 0
    assert read_json(study.challenge)["cases"] == []


def test_a_layer_over_its_slice_is_the_blend():
    rng = np.random.default_rng(0)
    grey, heat = rng.random((32, 48)), rng.random((8, 12))
    below = Image.fromarray(overlay.plain(grey)).convert("RGBA")
    below.alpha_composite(Image.fromarray(overlay.layer(heat, grey.shape)))
    ours = np.asarray(below.convert("RGB"), int)
    assert np.abs(ours - overlay.blend(grey, heat)).max() <= 2  # alpha has 256 steps
