"""Where errors gather: bands with their names, each error counted once, spread over seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from camreader.evaluation import groups


@pytest.mark.parametrize(
    ("values", "bands"),
    [
        ([1, 1.1, 1.2, 1.3], 0),  # crashed: four bands "1–1 HU"
        ([1, 2, 3, 4], 3),  # edges 1, 1.75, 2.5, 3.25, 4 print as 1, 2, 2, 3, 4
        ([10, 20, 30, 40], 4),
        ([0] * 9 + [1, 2, 3], 1),
        ([5, 5, 5], 0),
    ],
)
def test_bands_of_few_or_like_values_have_names_of_their_own(values, bands):
    column = pd.Series(values, dtype=float)
    found = groups.quarters(column, column, "{:.0f}–{:.0f} HU")
    assert found.nunique() == bands
    assert found.notna().all() if bands else found.isna().all()
    assert not any(name.startswith(("1–1", "2–2", "0–0")) for name in found.dropna())


def test_spread_over_seeds_is_students():
    values = [0.90, 0.92, 0.97]
    ours = groups.over_seeds(values)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (ours["low"], ours["high"]) == pytest.approx((low, high))
    assert np.isnan(groups.over_seeds([0.9])["sd"])
    assert groups.over_seeds([*values, np.nan]) == ours  # a seed that could not be tested
    assert groups.over_seeds([np.nan])["seeds"] == 0


def test_groups_count_every_error_once():
    rng = np.random.default_rng(1)
    n = 80
    tested = pd.DataFrame(
        {
            "truth": rng.integers(0, 2, n),
            "predicted": rng.integers(0, 2, n),
            "region": rng.choice(["lung", "liver"], n),
            "cysts": pd.array(rng.integers(0, 3, n), "Int64"),
        }
    )
    tumor = tested["truth"] == 1
    tested["diameter_mm"] = np.where(tumor, rng.uniform(5, 50, n), np.nan)
    tested["contrast_hu"] = np.where(tumor, rng.normal(0, 80, n), np.nan)
    tested["correct"] = tested["truth"] == tested["predicted"]
    table = groups.by_group(groups.with_groups(tested), False)
    wrong = table["missed tumors"] + table["false alarms"]
    assert (table["n"] - table["correct"] == wrong).all()
    totals = table.assign(wrong=wrong).groupby("by")[["n", "wrong"]].sum()
    assert totals.loc["region", "n"] == totals.loc["cysts", "n"] == n
    assert totals.loc["contrast", "n"] == totals.loc["lesion size", "n"] == tumor.sum()
    missed = (tumor & ~tested["correct"]).sum()
    assert totals.loc["contrast", "wrong"] == missed


def test_a_hidden_lesion_that_was_found_is_no_false_alarm():
    """The truth counts: labelled free, full annotation shows a lesion, the network said tumor."""
    tested = pd.DataFrame(
        {"label": [0, 0], "truth": [1, 0], "predicted": [1, 1], "region": "liver"}
    )
    tested = tested.assign(correct=tested["predicted"] == tested["truth"])
    row = groups.by_group(tested, False, columns=("region",)).iloc[0]
    assert (row["tumor slices"], row["missed tumors"], row["false alarms"]) == (1, 0, 1)


def test_sizes_have_the_words_of_every_other_table():
    tested = pd.DataFrame({"diameter_mm": [5.0, 10, 29.9, 30, np.nan]})
    tested = tested.assign(contrast_hu=np.nan, cysts=pd.NA)
    found = groups.with_groups(tested)["lesion size"].astype(object)
    assert found.tolist()[:4] == ["under 10 mm", "10–20 mm", "20–30 mm", "30 mm or more"]
    assert pd.isna(found[4])


def test_conspicuity_is_grouped_by_level_where_it_is_known():
    tested = pd.DataFrame({"diameter_mm": [20.0, 20.0], "contrast_hu": [-40.0, -40.0]})
    tested = tested.assign(cysts=pd.NA)
    assert "conspicuity" not in groups.with_groups(tested)
    found = groups.with_groups(tested.assign(level=["plain", "subtle"]))["conspicuity"]
    assert found.tolist() == ["plain", "subtle"] and found.cat.categories[0] == "subtle"
