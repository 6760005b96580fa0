"""The protocols side by side: both in every table, refusals named, sentences with intervals."""

import numpy as np
import pandas as pd
import pytest
from evaluation_tables import CARD, final_accuracies, leaks_of
from places import ROOT

from camreader.evaluation import leakage, protocols
from camreader.published import paper
from camreader.training import runs

PAPER = paper.load(ROOT / "data" / "published")


def test_metrics_of_both_protocols_carry_spread_over_seeds(study, cohort, predictions):
    table = protocols.metrics_table(predictions, cohort, study.card, (0, 1), draws=30)
    assert not table.duplicated(["metric", "protocol", "run"]).any()
    final = table.query("run == 'final' and metric == 'accuracy'").set_index("protocol")
    assert set(final.index) == {"paper", "sound"} and final["seeds"].eq(2).all()
    for protocol, row in final.iterrows():
        both = [
            protocols.tests(predictions, cohort, study.card, seed=s)[protocol]["correct"].mean()
            for s in (0, 1)
        ]
        assert row["value"] == pytest.approx(both[0]) and row["mean"] == pytest.approx(
            sum(both) / 2
        )
    assert final.loc["paper", "interval"] == "Wilson by slice"
    assert table["hidden_lesions"].eq(0).all()


def test_a_refused_protocol_is_said_in_every_row(study, cohort, predictions, quick):
    card = study.card | {"refusals": {"sound": "3 patients needed, 1 found"}}
    only_paper = predictions[predictions["protocol"] == "paper"]
    table = protocols.metrics_table(only_paper, cohort, card, (0,), draws=30)
    sound = table[table["protocol"] == "sound"]
    assert len(sound) == len(protocols.METRICS) and sound["value"].isna().all()
    assert sound["note"].str.contains("3 patients needed, 1 found").all()
    words = list(protocols.findings(table, {}, leakage.experiment(study, (0,), quick), card))
    assert any("sound protocol: refused: 3 patients needed" in sentence for sentence in words)


@pytest.mark.parametrize(("low", "more"), [(0.55, False), (0.65, True)])
def test_an_accuracy_no_better_than_one_answer_is_said_to_be_so(low, more):
    row = {"run": "final", "low": low, "high": 0.8, "n": 100, "note": ""}
    measured = [("accuracy", 0.7), ("commoner class", 0.6)]
    table = pd.DataFrame(
        [
            row | {"protocol": p, "metric": m, "value": v}
            for p in ("paper", "sound")
            for m, v in measured
        ]
    )
    leaks = pd.DataFrame(columns=["split", "negatives", "accuracy", "note", "seed"])
    card = {"contamination": {"share": None, "source": "no truth"}}
    first = next(protocols.findings(table, {}, leaks, card))
    assert "always naming the majority class would reach 60.0 %" in first
    assert ("not shown to exceed this baseline" in first) is not more


def test_a_difference_of_overlapping_test_sets_has_no_interval():
    """Both sets hold slices of the same patients: they are no separate samples."""
    one = leaks_of(("slices", 0, 0.9, 0.85, 0.93), ("patients", 0, 0.8, 0.7, 0.88))
    words = list(protocols.findings(final_accuracies(), {}, one, CARD))
    said = "+10.0 points (no interval: the two test sets share patients)"
    assert f"Difference of the accuracies, paper minus sound: {said}." in words
    split = "Trained on verified labels, split by slice minus split by patient"
    assert f"{split}: {said}." in words
    assert any("used one seed" in sentence for sentence in words)
    again = leaks_of(("slices", 1, 0.9, 0.85, 0.93), ("patients", 1, 0.86, 0.7, 0.9))
    words = " ".join(protocols.findings(final_accuracies(), {}, pd.concat([one, again]), CARD))
    reach = 12.706 * 3  # Student's t with 1 degree of freedom; gaps of 10 and 4: SD / sqrt(2) = 3
    assert f"+7.0 points ({7 - reach:+.1f} to {7 + reach:+.1f}) over 2 seeds" in words
    assert "used one seed" not in words


def test_a_refused_protocol_has_no_mean_over_seeds():
    nothing = dict.fromkeys(("value", "low", "high", "mean", "sd", "mean_low", "mean_high"), np.nan)
    table = final_accuracies(**nothing, seeds=0, n=0, note="refused: 1 patient")
    words = " ".join(protocols.findings(table, {}, leaks_of(), CARD))
    assert "nan" not in words and "refused: 1 patient" in words


def test_table_2_stands_beside_the_published_one(study, predictions):
    table = protocols.table2(study, PAPER, 0).set_index("run")
    assert table["test_error_percent_published"].tolist() == pytest.approx([14.586, 8.091, 4.11])
    record = runs.record(study, "paper-first", 0)
    here = table.loc["first run"]
    assert here["test_error_percent_here"] == pytest.approx(100 * record["wrong_test"] / here["n"])
    assert here["accuracy_percent_here"] == pytest.approx(100 - here["test_error_percent_here"])
    assert (table["test_error_low"] <= table["test_error_percent_here"]).all()


def test_a_slice_counts_by_its_plainest_tumor_and_older_truth_says_nothing(tmp_path):
    cohort = pd.DataFrame({"slice_id": ["a_001", "a_002"], "label": [1, 0]})
    truth = pd.DataFrame(
        {
            "series": "a",
            "slice": 1,
            "kind": ["tumor", "tumor", "cyst"],
            "conspicuity": [6.0, 1.5, 9.0],
            "level": ["plain", "subtle", "plain"],
        }
    )
    card = {"source": str(tmp_path)}
    assert protocols.with_conspicuity(cohort, card) is cohort  # real slices have no such file
    truth.to_csv(tmp_path / "lesion_truth.csv", index=False)
    found = protocols.with_conspicuity(cohort, card)
    assert found["conspicuity"].tolist()[0] == 6.0 and found["level"].tolist()[0] == "plain"
    assert found.loc[1, ["conspicuity", "level"]].isna().all()
    truth.drop(columns="level").to_csv(tmp_path / "lesion_truth.csv", index=False)
    assert "conspicuity" not in protocols.with_conspicuity(cohort, card)
