"""Splits: no patient on both sides, strata kept, refusals in words."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camreader.cohorts import splits


def cohort(patients, slices=5, seed=0):
    rng = np.random.default_rng(seed)
    count = patients * slices
    return pd.DataFrame(
        {
            "patient_id": np.repeat([f"{p:06d}" for p in range(patients)], slices),
            "label": rng.integers(0, 2, count),
            "region": np.repeat(rng.choice(["lung", "liver", "pelvis"], patients), slices),
            "official_split": None,
        }
    )


def test_the_paper_split_has_the_papers_size():
    split = splits.by_image(1705, 0.2, seed=0)
    assert (split == "test").sum() == 341  # the n that 95.89 % and 14 errors force
    assert (split == splits.by_image(1705, 0.2, seed=0)).all()
    assert (split != splits.by_image(1705, 0.2, seed=1)).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 40), st.integers(1, 8), st.integers(0, 99))
def test_no_patient_crosses_and_every_part_has_one(patients, slices, seed):
    frame = cohort(patients, slices, seed)
    frame["split"] = splits.by_patient(frame, 0.2, seed)
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(frame["split"]) == {"train", "validation", "test"}


def test_shares_and_strata_of_the_patient_split():
    frame = cohort(200)
    frame["split"] = splits.by_patient(frame, 0.2, 0)
    shares = frame["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.7, abs=0.02)
    assert shares["test"] == pytest.approx(0.2, abs=0.02)
    for column in ("label", "region"):
        whole = frame[column].value_counts(normalize=True)
        for _, part in frame.groupby("split"):
            assert (part[column].value_counts(normalize=True) - whole).abs().max() < 0.05


def test_patient_split_is_repeatable_whatever_the_row_order():
    frame = cohort(30)
    first = frame.assign(split=splits.by_patient(frame, seed=3))
    mixed = frame.sample(frac=1, random_state=1)
    second = mixed.assign(split=splits.by_patient(mixed, seed=3)).sort_index()
    assert (first["split"] == second["split"]).all()


def test_refusals_in_words():
    assert splits.patients_refusal(["a", "a"]) == "3 patients needed, 1 found"
    assert splits.patients_refusal(["a", "b", "c"]) is None
    assert splits.patients_refusal([None, "a"]) == "patient unknown for 1 of 2 slices"
    frame = cohort(30).assign(split_patient="train")
    frame.loc[:9, "split_patient"], frame.loc[:9, "label"] = "validation", 0
    assert "validation part has no tumor" in splits.one_sided(frame, "split_patient")


def test_siblings_are_counted_by_hand():
    frame = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c"],
            "label": [0, 1, 0, 1],
            "region": "lung",
            "split_image": ["train", "test", "test", "train"],
            "split_patient": ["train", "train", "validation", "test"],
            "official_split": None,
        }
    )
    table = splits.siblings_table(frame).set_index("protocol")
    paper = table.loc["paper (by slice)"]
    assert (paper["test_slices"], paper["with_sibling_in_training"]) == (2, 1)
    assert table.loc["sound (by patient)", "with_sibling_in_training"] == 0
    refused = splits.siblings_table(frame.assign(split_patient=None), {"sound": "why"})
    assert refused.loc[1, "note"] == "refused: why"


def test_split_table_counts_every_slice_once():
    frame = cohort(20).assign(split_image=splits.by_image(100), split_patient=None)
    table = splits.split_table(frame)
    assert table["slices"].sum() == 100
    assert (table["tumor"] + table["no_tumor"] == table["slices"]).all()
