"""The experiment on leakage and labels: four networks, all judged by the truth."""

import numpy as np
import pandas as pd
from training_fixture import make_cohort

from camreader.evaluation import leakage
from camreader.training import experiments


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


def test_the_experiment_judges_all_four_by_the_truth(study, quick):
    table = leakage.experiment(study, (0,), quick)
    assert len(table) == 4 and table["note"].isna().sum() + table["note"].eq("").sum() == 4
    assert set(table["split"]) == {"slices", "patients"}
    told = table[table["negatives"] == leakage.RULES["truth"]]
    assert told["wrong train labels"].eq(0).all()
    assert np.allclose(told["accuracy"], told["own_label_accuracy"])
    assert (table[table["negatives"] != leakage.RULES["truth"]]["wrong train labels"] > 0).all()
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()
    assert table["commoner class"].between(0.5, 1).all()
    assert set(table.query("split == 'patients'")["interval"]) == {
        "Wilson with design effect by patient"
    }


def test_a_cell_that_cannot_be_trained_says_why(tmp_path, quick):
    study = make_cohort(tmp_path, patients=2)
    table = leakage.experiment(study, (0,), quick).set_index("split")
    assert table.loc["patients", "accuracy"].isna().all()
    assert table.loc["patients", "note"].str.contains("3 patients needed, 2 found").all()
    assert table.loc["slices", "accuracy"].notna().all()
