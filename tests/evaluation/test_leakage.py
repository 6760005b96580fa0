"""The experiment on leakage and labels, the protocols side by side, and the regions."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from places import ROOT
from training_fixture import make_cohort

from camreader.common.storage import read_table
from camreader.common.tables import Cohort
from camreader.evaluation import leakage, plots, protocols, regions
from camreader.published import paper
from camreader.training import experiments, runs, train
from camreader.training.experiments import Settings

QUICK = Settings(closeups=1, epochs=2, batch_size=16, resamples=1)
PAPER = paper.load(ROOT / "data" / "published")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("small"), slices=120, patients=24)


@pytest.fixture(scope="module")
def cohort(study):
    return read_table(study.cohort_table, Cohort)


@pytest.fixture(scope="module")
def predictions(study):
    records = train.train_all(study, experiments.MAIN, (0, 1), QUICK)
    return runs.collect(study, records)


def test_neighbours_called_free_are_wrong_where_a_hidden_tumor_is(cohort):
    plan = experiments.PLANS["leakage-slices_neighbour"]
    told = experiments.labelled(cohort.iloc[experiments.chosen(cohort, plan)], plan)
    wrong = told[told["label"] != told["truth"]]
    assert len(wrong) > 0 and wrong["truth"].eq(1).all()
    assert wrong["label_source"].ne("key_slice").all() and wrong["distance_mm"].ge(10).all()
    truth = experiments.PLANS["leakage-patients_truth"]
    assert experiments.labelled(cohort, truth)["label"].eq(cohort["truth"]).all()


def test_all_four_cells_use_the_same_slices(cohort):
    chosen = [experiments.chosen(cohort, experiments.PLANS[name]) for name in experiments.LEAKAGE]
    assert all(np.array_equal(chosen[0], other) for other in chosen)


def test_slices_of_unknown_truth_and_too_near_slices_stay_out(cohort):
    changed = cohort.copy()
    changed.loc[0, "truth"] = pd.NA
    changed.loc[1, ["distance_mm", "label_source"]] = [5.0, "phantom_truth"]
    kept = experiments.chosen(changed, experiments.PLANS["leakage-slices_truth"])
    assert 0 not in kept and 1 not in kept


def test_the_experiment_judges_all_four_by_the_truth(study):
    table = leakage.experiment(study, (0,), QUICK)
    assert len(table) == 4 and table["note"].isna().sum() + table["note"].eq("").sum() == 4
    assert set(table["split"]) == {"slices", "patients"}
    told = table[table["negatives"] == leakage.RULES["truth"]]
    assert told["wrong train labels"].eq(0).all()
    assert np.allclose(told["accuracy"], told["own_label_accuracy"])
    assert (table[table["negatives"] != leakage.RULES["truth"]]["wrong train labels"] > 0).all()
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()
    assert table["commoner class"].between(0.5, 1).all()
    assert set(table.query("split == 'patients'")["interval"]) <= {
        "bootstrap by patient",
        "Wilson by patient",
    }


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_takes_any_number_of_seeds_and_labels_every_line(seeds):
    ends = {"slices": (0.9, 0.8, 0.95), "patients": (0.8, 0.7, 0.9)}
    table = leaks_of(*((s, k, *ends[s]) for k in range(seeds) for s in ends))
    table = table.assign(own_label_accuracy=0.7, **{"commoner class": 0.62})
    axis = plots.leakage(table).axes[0]
    words = [text.get_text() for text in axis.get_legend().get_texts()]
    assert "always naming the commoner class" in words
    assert ("other seeds" in words) is (seeds > 1)
    heights = [y for lines in axis.collections for ((_, y), *_) in lines.get_segments()]
    assert heights.count(0.62) == 2  # one dotted line per split
    plt.close("all")


def test_a_cell_that_cannot_be_trained_says_why(tmp_path):
    study = make_cohort(tmp_path, patients=2)
    table = leakage.experiment(study, (0,), QUICK).set_index("split")
    assert table.loc["patients", "accuracy"].isna().all()
    assert table.loc["patients", "note"].str.contains("3 patients needed, 2 found").all()
    assert table.loc["slices", "accuracy"].notna().all()


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


def test_a_refused_protocol_is_said_in_every_row(study, cohort, predictions):
    card = study.card | {"refusals": {"sound": "3 patients needed, 1 found"}}
    only_paper = predictions[predictions["protocol"] == "paper"]
    table = protocols.metrics_table(only_paper, cohort, card, (0,), draws=30)
    sound = table[table["protocol"] == "sound"]
    assert len(sound) == len(protocols.METRICS) and sound["value"].isna().all()
    assert sound["note"].str.contains("3 patients needed, 1 found").all()
    words = list(protocols.finding(table, {}, leakage.experiment(study, (0,), QUICK), card))
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
    first = next(protocols.finding(table, {}, leaks, card))
    assert "always naming the commoner class would reach 60.0 %" in first
    assert ("more than that is not shown" in first) is not more


def final_accuracies(**sound):
    """The rows of both protocols that `protocols.finding` reads; sound: changes of its rows."""
    row = {"run": "final", "value": 0.9, "low": 0.85, "high": 0.93, "n": 100, "note": ""}
    row |= {"seeds": 2, "mean": 0.9, "sd": 0.01, "mean_low": 0.8, "mean_high": 1.0}
    parts = (("paper", row), ("sound", row | {"value": 0.8, "low": 0.7, "high": 0.88} | sound))
    return pd.DataFrame(
        [part | {"protocol": p, "metric": m} for p, part in parts for m in protocols.METRICS]
    )


CARD = {"contamination": {"share": None, "source": "no truth"}}


def leaks_of(*cells):
    """Rows of the experiment's table from (split, seed, accuracy, low, high)."""
    table = pd.DataFrame(cells, columns=["split", "seed", "accuracy", "low", "high"])
    return table.assign(negatives="verified labels", note="")


def test_differences_carry_intervals():
    """Paper .90 (.85 to .93) minus sound .80 (.70 to .88): squared and added by hand."""
    one = leaks_of(("slices", 0, 0.9, 0.85, 0.93), ("patients", 0, 0.8, 0.7, 0.88))
    words = list(protocols.finding(final_accuracies(), {}, one, CARD))
    low, high = 0.1 - np.hypot(0.05, 0.08), 0.1 + np.hypot(0.03, 0.1)
    said = f"+10.0 points ({100 * low:+.1f} to {100 * high:+.1f})"
    assert f"The paper's protocol reads {said} against the sound one." in words
    assert f"Trained on verified labels, a split by slice reads {said} against patients." in words
    assert any("used one seed" in sentence for sentence in words)
    again = leaks_of(("slices", 1, 0.9, 0.85, 0.93), ("patients", 1, 0.86, 0.7, 0.9))
    words = " ".join(protocols.finding(final_accuracies(), {}, pd.concat([one, again]), CARD))
    reach = 12.706 * 3  # Student's t with 1 degree of freedom; gaps of 10 and 4: SD / sqrt(2) = 3
    assert (
        f"+7.0 points ({7 - reach:+.1f} to {7 + reach:+.1f}) against patients, over 2 seeds"
        in words
    )
    assert "used one seed" not in words


def test_a_refused_protocol_has_no_mean_over_seeds():
    nothing = dict.fromkeys(("value", "low", "high", "mean", "sd", "mean_low", "mean_high"), np.nan)
    table = final_accuracies(**nothing, seeds=0, n=0, note="refused: 1 patient")
    words = " ".join(protocols.finding(table, {}, leaks_of(), CARD))
    assert "nan" not in words and "refused: 1 patient" in words


def test_table_2_stands_beside_the_published_one(study, predictions):
    table = protocols.table2(study, PAPER, 0).set_index("run")
    assert table["test_error_percent_published"].tolist() == pytest.approx([14.586, 8.091, 4.11])
    record = runs.record(study, "paper-first", 0)
    here = table.loc["first run"]
    assert here["test_error_percent_here"] == pytest.approx(100 * record["wrong_test"] / here["n"])
    assert here["accuracy_percent_here"] == pytest.approx(100 - here["test_error_percent_here"])
    assert (table["test_error_low"] <= table["test_error_percent_here"]).all()


def test_regions_are_compared_and_what_is_missing_is_said(study, cohort):
    records = train.train_all(study, experiments.REGIONS, (0,), QUICK)
    table = regions.table(study, cohort, records, PAPER)
    rows = table.set_index(["region", "protocol"])
    assert rows.loc[("liver", "paper"), "n"] == 30 and rows.loc[("lung", "paper"), "n"] == 0
    assert rows.loc[("lung", "paper"), "published"] == pytest.approx(0.98126)
    compared = regions.comparison(study, cohort, records)
    assert (
        compared["difference"].isna().all() and compared["note"].str.contains("lung cohort").all()
    )
    assert isinstance(regions.tested(study, cohort, records, "lung"), str)
    words = " ".join(regions.finding(table, compared))
    assert "cannot be compared" in words and "421 test slices" in words


def region_tests(slices=(90, 80), wrong=(10, 30), each=1):
    """Test slices of lung and liver, `each` of them per patient and all right or all wrong."""
    tables = []
    for first, n, errors in zip((0, 1000), slices, wrong, strict=True):
        patients = first + np.arange(n) // each
        tables.append(pd.DataFrame({"correct": np.arange(n) >= errors, "patient_id": patients}))
    return tables


def test_a_difference_of_regions_is_tested(monkeypatch, study, cohort):
    arms = dict(zip(regions.NAMES, region_tests(), strict=True))
    monkeypatch.setattr(regions, "tested", lambda *where: arms[where[3]])
    compared = regions.comparison(study, cohort, None).set_index("protocol")
    assert compared["difference"].tolist() == pytest.approx([80 / 90 - 50 / 80] * 2)
    assert compared.loc["paper", "p"] < 0.001 and np.isnan(compared.loc["sound", "p"])
    assert compared["interval"].tolist() == ["Newcombe by slice", "bootstrap by patient"]
    nothing = pd.DataFrame(columns=["region"])
    words = list(regions.finding(nothing, compared.reset_index()))
    assert sum("more than chance explains" in s and "not more" not in s for s in words) == 2


def test_slices_of_one_patient_are_no_independent_slices():
    """Ten alike slices per patient tell as little as one: 1 of 9 against 3 of 8 patients wrong."""
    rows = {
        each: regions._difference(*region_tests((9 * each, 8 * each), (each, 3 * each), each), True)
        for each in (1, 10)
    }
    for end in ("low", "high"):
        assert rows[10][end] == pytest.approx(rows[1][end])
    assert rows[10]["low"] < 0 < rows[10]["high"]
    by_slice = regions._difference(*region_tests((90, 80), (10, 30), 10), False)
    assert by_slice["low"] > 0 and by_slice["p"] < 0.001


def test_regions_without_an_error_have_the_interval_of_as_many_patients():
    row = regions._difference(*region_tests((30, 30), (0, 0), 3), True)
    assert (row["low"], row["high"]) == pytest.approx((-0.2775, 0.2775), abs=1e-4)  # Wilson, 10
    assert row["interval"] == "Newcombe by patient" and np.isnan(row["p"])


def test_the_words_on_a_region_carry_the_interval_of_its_table():
    row = {"region": "lung", "protocol": "sound", "n": 40, "wrong": 10, "accuracy": 0.75}
    row |= {"low": 0.4, "high": 0.95, "interval": "bootstrap by patient", "note": ""}
    none = pd.DataFrame(columns=["protocol"])
    first = next(regions.finding(pd.DataFrame([row]), none))
    assert first.endswith("75.0 % (40.0–95.0, n = 40), bootstrap by patient.")
