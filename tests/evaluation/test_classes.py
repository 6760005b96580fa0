"""Several classes: each against the rest and all together, held against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from camreader.common.errors import Refusal
from camreader.common.storage import read_json, write_json, write_table
from camreader.evaluation import classes, plots
from camreader.statistics.classification import macro_auc, macro_auc_interval
from camreader.statistics.intervals import INDEPENDENT
from camreader.training import predictions as joined
from camreader.training import runs

NAMES = ["normal", "cyst", "tumor"]


@pytest.fixture
def several(study, cohort, predictions):
    """The study's network as if it had three classes, and a cohort that names them."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, len(cohort))
    logits = rng.normal(0, 1, (len(cohort), 3)) + 1.5 * np.eye(3)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    frame = pd.DataFrame(shares, columns=NAMES).assign(slice_id=cohort["slice_id"])
    path = runs.folder(study, "sound-final", 0) / "classes.parquet"
    write_table(frame[["slice_id", *NAMES]], path)
    record = read_json(path.with_name("model.json"))
    write_json(record | {"network": {"outputs": 3}}, path.with_name("model.json"))
    words = np.array(["Normal", "cyst", "TUMOR"])[truth]
    yield cohort.assign(class_name=words)
    path.unlink()
    write_json(record, path.with_name("model.json"))


def test_each_class_and_all_together_are_scikit_learns(study, several):
    found = classes.tested(study, several)
    assert len(found) == len(joined.test_slices(joined.load(study), several, "sound"))
    table = classes.table(found).set_index(["class", "metric"])
    truth, named = found["class"], found["named"]
    counts = confusion_matrix(truth, named, labels=NAMES)
    assert (classes.confusion(found).to_numpy() == counts).all()
    for place, name in enumerate(NAMES):
        value = table["value"].xs(name)
        assert value["sensitivity"] == pytest.approx(counts[place, place] / counts[place].sum())
        assert value["AUC"] == pytest.approx(roc_auc_score(truth == name, found[name]))
    codes = truth.map(NAMES.index)
    macro = roc_auc_score(codes, found[NAMES], multi_class="ovr", average="macro")
    whole = table.loc["all"]
    assert whole.loc["macro AUC", "value"] == pytest.approx(macro)
    assert whole.loc["accuracy", "value"] == pytest.approx((truth == named).mean())
    low, high = whole.loc["macro AUC", ["low", "high"]]
    assert low < macro < high and whole.loc["macro AUC", "interval"].endswith("by patient")
    said = " ".join(classes.finding(table.reset_index()))
    assert said.startswith("Of its 3 classes the network names the right one in")
    assert plots.class_confusion(found).axes[0].get_title().endswith("right")


def test_the_interval_of_the_macro_auc_covers_it():
    """Coverage of a nominal 95 % interval over 100 draws; binomial, two-sided 99.9 %: 87-100."""
    rng, covered = np.random.default_rng(1), 0
    big = rng.integers(0, 3, 60_000)
    scores = rng.normal(0, 1, (60_000, 3)) + np.eye(3)[big]
    true = macro_auc(big, scores)
    for draw in range(100):
        rows = slice(300 * draw, 300 * draw + 90)
        low, high, *_ = macro_auc_interval(big[rows], scores[rows], INDEPENDENT)
        covered += low <= true <= high
    assert covered >= 87


def test_what_is_missing_is_said(study, cohort, several):
    nothing = classes.tested(study, cohort)
    assert isinstance(nothing, Refusal) and "name no class" in nothing.why
    other = classes.tested(study, several.assign(class_name="bone"))
    assert "no class of the data (bone) is one of the network's" in other.note
    path = runs.folder(study, "sound-final", 0) / "model.json"
    record = read_json(path)
    kept = path.with_name("classes.parquet")
    kept.rename(study.runs / "kept.parquet")
    assert classes.tested(study, several).why == classes.TRAINED
    (study.runs / "kept.parquet").rename(kept)
    write_json(record | {"network": {"outputs": 2}}, path)  # another network in the same folder
    two = classes.tested(study, several)
    assert two.why == classes.TWO and list(classes.finding(classes.table(two))) == []
    assert plots.class_confusion(two).axes[0].texts
    write_json(record, path)


def test_too_few_units_have_no_interval():
    scores = np.eye(3)[[0, 1, 2, 0]]
    low, _high, _how, note = macro_auc_interval([0, 1, 2, 0], scores, INDEPENDENT)
    assert np.isnan(low) and "one unit only" in note
    assert "in no slice" in macro_auc_interval([0, 1, 1, 0], scores, INDEPENDENT)[3]
    six = np.tile(np.eye(3), (3, 1))
    assert "perfectly" in macro_auc_interval([0, 1, 2] * 3, six, INDEPENDENT)[3]
