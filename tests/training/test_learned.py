"""A network that learned nothing is told from one that did, and is neither explained nor read."""

import numpy as np
import pandas as pd
import pytest
from training_fixture import make_cohort

from camreader.common import style
from camreader.common.errors import DataError
from camreader.common.storage import read_table, write_table
from camreader.common.tables import Cohort
from camreader.heatmaps import cases as explained
from camreader.heatmaps import findings
from camreader.session import prepare
from camreader.session.plan import Plan
from camreader.training import learned, runs, train
from camreader.training.experiments import Settings
from camreader.training.learned import Verdict, judge

LEARNS = Settings(epochs=15, least_steps=1, batch_size=16, resamples=1, extensions=0)


def slices_of(tumors, found, free, kept, patients=None):
    """Test slices: `tumors` of which `found` are called so, `free` of which `kept` are."""
    label = np.repeat([1, 0], [tumors, free])
    predicted = np.repeat([1, 0, 0, 1], [found, tumors - found, kept, free - kept])
    frame = pd.DataFrame({"label": label, "predicted": predicted, "probability": predicted})
    return frame.assign(patient_id=np.arange(len(frame)) if patients is None else patients)


def verdict(frame, by_patient=False):
    return judge(frame, by_patient, "paper-final", 0, 0.02, False)


def test_a_network_that_beats_the_baseline_is_worth_explaining():
    found = verdict(slices_of(31, 27, 20, 16))
    assert found.worth and found.banner == "" and "tells the classes apart" in found.words
    assert found.majority == pytest.approx(31 / 51) and found.accuracy == pytest.approx(43 / 51)
    assert found.difference.value == pytest.approx(12 / 51)
    # Newcombe 1998, method 10, by hand from its formula: Wilson .720-.918 and .471-.729, phi .040
    assert found.difference.low == pytest.approx(0.0656, abs=0.002)
    assert found.difference.high == pytest.approx(0.389, abs=0.002)
    assert "by case" in found.interval


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (slices_of(31, 31, 20, 0), Verdict.CONSTANT),
        (slices_of(31, 0, 20, 20), Verdict.CONSTANT),
        (slices_of(31, 29, 20, 4), Verdict.NOT_SHOWN),  # two more right than the baseline
        (slices_of(31, 15, 20, 10), Verdict.NOT_ABOVE),
    ],
)
def test_one_that_does_not_carries_a_banner_with_its_numbers(frame, kind):
    found = verdict(frame)
    assert found.verdict is kind and not found.worth
    assert found.banner.startswith("NOT WORTH EXPLAINING") and "n = 51" in found.banner
    assert found.banner in found._repr_html_()


def test_patients_kept_apart_count_as_patients():
    frame = slices_of(40, 30, 40, 40, patients=np.repeat(np.arange(8), 10))
    by_slice, by_patient = verdict(frame), verdict(frame, by_patient=True)
    assert "by patient" in by_patient.interval and "by case" in by_slice.interval
    widths = [found.difference.high - found.difference.low for found in (by_slice, by_patient)]
    assert widths[1] > 1.5 * widths[0]


def test_few_slices_can_show_by_their_order_what_accuracy_cannot():
    """37 + 14 real slices: 45 right, 8 more than the baseline, and an interval that holds 0."""
    frame = slices_of(37, 32, 14, 13).assign(
        probability=np.r_[np.linspace(0.3, 1, 37), np.linspace(0, 0.6, 14)]
    )
    found = verdict(frame)
    assert found.difference.low < 0 < found.difference.value
    assert found.auc.low > 0.5 and found.worth


def _dealt(patients):
    """80 slices dealt to so many patients, so that each has some of both kinds."""
    return np.random.default_rng(0).permutation(np.arange(80) % patients)


def test_of_very_few_patients_nothing_is_shown():
    frame = slices_of(40, 40, 40, 40, patients=_dealt(5))
    found = verdict(frame, by_patient=True)
    assert found.difference.low > 0 and found.verdict is Verdict.NOT_SHOWN
    frame = slices_of(40, 40, 40, 40, patients=_dealt(6))
    assert verdict(frame, by_patient=True).worth


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    """A cohort whose labels were dealt anew after its squares were drawn, and its networks."""
    study = make_cohort(tmp_path_factory.mktemp("shuffled"), slices=120)
    cohort = read_table(study.cohort_table, Cohort)
    dealt = np.random.default_rng(3).permutation(cohort["label"])
    write_table(cohort.assign(label=dealt), study.cohort_table, Cohort)
    records = train.train_all(study, ["paper-final", "sound-final"], (0,), LEARNS)
    runs.collect(study, records)
    return study, records


def test_shuffled_labels_are_never_explained_without_a_banner(shuffled):
    study, records = shuffled
    table = learned.table(study, records)
    assert not table["worth_explaining"].any() and len(table) == 2
    assert table["interval"].str.contains("patient").tolist() == [False, True]
    said = list(learned.finding(table))
    assert len(said) == 2 and all("not to be relied on" in words for words in said)
    judged = learned.worth_explaining(study, "sound-final")
    figure = style.refusal("a map")
    figure.suptitle("The map of a slice")
    style.save(figure, study, "map", banner=judged.banner)
    figure.draw_without_rendering()
    boxes = {" ".join(t.get_text().split()): t.get_window_extent() for t in figure.texts}
    banner = boxes[judged.banner]
    assert banner.x0 >= 0 and banner.x1 <= figure.bbox.width  # none of it is cut off
    assert banner.y0 >= boxes["The map of a slice"].y1  # nor does it lie on the title
    nothing = pd.DataFrame({"truth": ["box"], "kind": "all", "n": 0, "method": "gradcam"})
    assert next(findings.findings(nothing, nothing, judged.banner)) == f"{judged.banner}."


def test_no_reading_is_set_up_with_it_unless_forced(shuffled, monkeypatch):
    study, _records = shuffled
    study.save_card({"source": str(study.cohort_folder)} | study.card)
    plan = Plan(cases=6, readers=2, training_cases=0)
    design = prepare.set_up(study, plan)
    assert "NOT WORTH EXPLAINING" in design.refused and "FORCE_UNLEARNED" in design.refused
    assert not list(study.readings.glob("images/*")) and not list(study.readings.glob("sealed/*"))
    blank = np.zeros((1, 32, 32), np.int16)
    monkeypatch.setattr(
        prepare,
        "_full_resolution",
        lambda study, chosen, window: (list(blank) * len(chosen), {"unit": "HU", "window": [0, 1]}),
    )
    forced = prepare.set_up(study, plan, force=True)
    assert not forced.refused and forced.banner == design.banner and forced.card["cases"]


def test_a_network_that_learned_is_read_without_a_word(tmp_path):
    study = make_cohort(tmp_path, slices=120, patients=40)
    records = train.train_all(study, ["sound-final"], (0,), LEARNS)
    runs.collect(study, records)
    table = learned.table(study, records)
    assert table["worth_explaining"].all(), table.T
    assert list(learned.finding(table)) == [f"Each of the 1 networks {Verdict.LEARNED}."]
    assert explained.load(study).protocol == "sound"


def test_a_network_that_was_not_trained_is_named(tmp_path):
    study = make_cohort(tmp_path)
    with pytest.raises(DataError, match=r"model\.json"):
        learned.worth_explaining(study, "sound-final")
