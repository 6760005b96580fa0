"""Label rules against hand-made series, against the real sample, and their intervals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camreader.cohorts import labels
from camreader.cohorts import series as slices


def series(truth, key, spacing=5.0, patient="p"):
    """A series of slices 5 mm apart with one key slice."""
    index = np.arange(len(truth))
    return pd.DataFrame(
        {
            "key": index == key,
            "truth": pd.array(truth, dtype="Int64"),
            "distance_mm": labels.slice_distances(index, [key]) * spacing,
            "outside_lesion": labels.outside_lesion(index, [key], [12.0], spacing),
            "patient_id": patient,
        }
    )


def test_rules_on_a_series_drawn_by_hand():
    frame = series([0, 1, 1, 1, 0, 0, None], key=2)
    assert labels.negatives(frame, "verified").tolist() == [True, *[False] * 3, True, True, False]
    assert np.flatnonzero(labels.negatives(frame, "neighbour", 10.0)).tolist() == [0, 4, 5, 6]
    # 12 mm over 5 mm slices reaches ceil(2.4) = 3 slices: only slices 6 and beyond are outside
    assert np.flatnonzero(labels.negatives(frame, "lesion_extent")).tolist() == [6]


def test_two_key_slices_both_count():
    assert labels.slice_distances([0, 5, 9], [2, 8]).tolist() == [2, 3, 1]
    outside = labels.outside_lesion([0, 5, 20], [2, 8], [5.0, 40.0], 5.0)
    assert outside.tolist() == [False, False, True]


def test_a_series_without_key_slice_yields_no_neighbour():
    frame = series([0, 0], key=7).assign(distance_mm=np.nan, outside_lesion=False)
    assert not labels.negatives(frame, "neighbour", 0.0).any()


def test_the_rules_of_the_table_on_known_truth():
    frame = series([0, 1, 1, 1, 0, 0, 0], key=2)
    table = labels.rule_table(frame).set_index(["rule", "distance_mm"])
    assert table.loc[("neighbour", 0.0), ["slices", "hidden"]].tolist() == [6, 2]
    assert table.loc[("neighbour", 10.0), ["slices", "hidden"]].tolist() == [4, 0]


def test_contamination_is_counted_where_truth_is_known_and_expected_elsewhere():
    known = pd.DataFrame({"truth": [1, 0, 0, 0], "patient_id": ["a", "a", "b", "b"]})
    measured = labels.contamination(known, "neighbour", 10.0)
    assert (measured["share"], measured["n"]) == (0.25, 4)
    assert measured["patients"] == 2 and measured["high"] > 0.9  # two patients tell little
    unknown = known.assign(truth=pd.NA)
    assert labels.contamination(unknown, "neighbour", 22.5)["share"] == pytest.approx(0.39)
    assert labels.contamination(unknown, "lesion_extent")["share"] == 0.38
    assert labels.contamination(known[:0], "verified")["share"] == 0.0
    assert labels.contamination(known, "folder")["share"] is None


def test_many_patients_widen_the_interval():
    """Slices of one patient agree, so resampling patients must give a wider interval."""
    truth = np.repeat([1, 0] * 10, 20)
    patients = np.repeat(np.arange(20), 20)
    clustered = labels.hidden_share(truth, patients)
    single = labels.hidden_share(truth, np.arange(len(truth)))
    assert clustered["interval"] == "Wilson with design effect by patient"
    assert clustered["patients"] == 20 and single["patients"] == 400
    assert clustered["high"] - clustered["low"] > 2 * (single["high"] - single["low"])
    one = labels.hidden_share(truth, np.zeros(len(truth)))
    assert one["low"] is None and one["interval"] == "no interval: one unit by patient"


@given(st.lists(st.integers(0, 200), min_size=1, max_size=6), st.floats(0, 60))
def test_farther_never_yields_more(keys, distance):
    index = np.arange(200)
    frame = pd.DataFrame(
        {
            "key": np.isin(index, keys),
            "distance_mm": labels.slice_distances(index, keys),
            "truth": pd.array([pd.NA] * 200, dtype="Int64"),
        }
    )
    near = labels.negatives(frame, "neighbour", distance)
    far = labels.negatives(frame, "neighbour", distance + 1)
    assert not (far & ~near).any() and not (near & frame["key"]).any()


def test_hidden_share_on_the_real_sample(sample):
    """Counted by hand from slice_truth.csv: 45 of 72 non-key slices of known truth hide one."""
    table = labels.rule_table(slices.slices(sample)[0])
    first = table.iloc[0]
    assert (first["slices"], first["with_truth"], first["hidden"]) == (86, 72, 45)
    ten = table.iloc[1]
    assert (ten["with_truth"], ten["hidden"]) == (52, 26)
