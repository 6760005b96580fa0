"""One rule for what a test slice is: the truth where known, else the label; and whose network."""

import numpy as np
import pandas as pd
import pytest

from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.training import predictions


def table(**runs):
    """Predictions of slices a, b, c (a in training) by each "protocol_run"; values: seeds."""
    rows = []
    for name, seeds in runs.items():
        protocol, run = name.split("_")
        for seed in seeds:
            for slice_id, split in (("a", "train"), ("c", "test"), ("b", "test")):
                row = {"slice_id": slice_id, "protocol": protocol, "run": run, "seed": seed}
                rows.append(
                    row | {"split": split, "logit": 1.0, "probability": 0.7, "predicted": 1}
                )
    return pd.DataFrame(rows)


def cohort(truth=(0, 1, None), label=(0, 0, 1)):
    return pd.DataFrame(
        {
            "slice_id": list("abc"),
            "label": label,
            "truth": pd.array(truth, "Int64"),
            "region": "liver",
        }
    )


def test_the_truth_counts_where_it_is_known_else_the_label():
    found = predictions.test_slices(table(sound_final=[0]), cohort(), "sound")
    assert found["slice_id"].tolist() == ["c", "b"]  # test slices, in the order of the predictions
    assert found["truth"].tolist() == [1, 1] and found["label"].tolist() == [1, 0]
    assert found["row"].tolist() == [2, 1] and found["correct"].tolist() == [True, True]
    assert found["truth"].dtype == found["row"].dtype == np.int64


def test_what_is_missing_is_named():
    known = table(paper_first=[0, 2])
    with pytest.raises(DataError, match=r"No first run of the paper protocol.*: 1; .*\[0, 2\]"):
        predictions.test_slices(known, cohort(), "paper", "first", 1)
    with pytest.raises(DataError, match="No final run of the sound protocol"):
        predictions.test_slices(known, cohort(), "sound")
    with pytest.raises(DataError, match=r"not in the cohort.*: c"):
        predictions.test_slices(known, cohort().iloc[:2], "paper", "first")


@pytest.mark.parametrize(
    ("runs", "asked", "expected"),
    [
        ({"sound_final": [0], "paper_final": [0]}, {}, "sound"),
        ({"sound_final": [0], "paper_final": [0]}, {"preferred": "paper"}, "paper"),
        ({"paper_final": [0], "lung_final": [0]}, {}, "paper"),
        ({"sound_final": [1], "paper_final": [0]}, {"seed": 0}, "paper"),
        ({"sound_first": [0], "paper_final": [0]}, {}, "paper"),
    ],
)
def test_the_sound_network_is_read_with_else_the_papers(runs, asked, expected):
    assert predictions.final_protocol(table(**runs), **asked) == expected


def test_no_network_is_said_with_the_command_that_trains_it(tmp_path):
    with pytest.raises(DataError, match=r"No trained network; `make report`.*none with seed 3"):
        predictions.final_protocol(table(sound_final=[0]), seed=3)
    with pytest.raises(DataError, match="No trained network; `make report`"):
        predictions.load(Study(str(tmp_path), "none", str(tmp_path)))


def test_each_size_lies_in_one_band():
    sizes = pd.Series([0.5, 9.99, 10, 20, 30, 400, np.nan])
    found = predictions.size_bands(sizes)
    assert found.cat.categories.tolist() == list(predictions.SIZE_BANDS)
    for size, band in zip(sizes[:-1], found[:-1], strict=True):
        low, high = predictions.SIZE_BANDS[band]
        assert low <= size < high
    assert pd.isna(found.iloc[-1])
