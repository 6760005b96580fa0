"""Cases are balanced, errors enriched, orders seeded; a reading's folder gives nothing away."""

import json
import stat
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_study import make_study, pool

from camreader.common.errors import DataError
from camreader.common.storage import write_json
from camreader.common.study import Study
from camreader.session import prepare, sealed
from camreader.session.log import ReadingLog
from camreader.session.plan import Plan, choose_cases, reading_orders
from camreader.session.progress import Design, Reading


def choose(frame, **plan):
    plan = Plan(**plan)
    chosen, notes = choose_cases(frame, plan)
    return chosen[~chosen["training"]], chosen[chosen["training"]], notes


def test_labels_are_balanced_and_errors_enriched():
    reading, training, notes = choose(pool(), cases=40, error_share=0.3, training_cases=4)
    assert Counter(reading["truth"]) == {1: 20, 0: 20}
    wrong = reading[reading["predicted"] != reading["truth"]]
    assert Counter(wrong["truth"]) == {1: 6, 0: 6}
    assert len(training) == 4 and not set(training["slice_id"]) & set(reading["slice_id"])
    assert (training["predicted"] != training["truth"]).sum() == 1
    assert notes == []


def test_one_slice_a_patient_while_there_are_patients():
    reading, _, notes = choose(pool(200, 200, patients=400), cases=60, training_cases=0)
    assert reading["patient_id"].is_unique and not notes
    reading, _, notes = choose(pool(patients=10), cases=40, training_cases=0)
    assert Counter(reading["patient_id"]).most_common(1)[0][1] <= 5
    assert any("40 cases come from 10 patients" in note for note in notes)


def test_what_is_missing_is_said_in_words():
    reading, training, notes = choose(pool(9, 9, wrong=0, patients=1), cases=60)
    assert len(reading) == 18 and len(training) == 0
    assert "60 cases were asked for, 18 found among the test slices" in notes
    assert any("where the network is wrong were asked for, 0 found" in note for note in notes)


@settings(max_examples=40, deadline=None)
@given(
    tumors=st.integers(0, 30),
    free=st.integers(0, 30),
    cases=st.integers(1, 50),
    share=st.floats(0, 1),
    practice=st.integers(0, 5),
    seed=st.integers(0, 5),
)
def test_any_pool_gives_different_slices_and_as_many_as_there_are(
    tumors, free, cases, share, practice, seed
):
    frame = pool(tumors, free, patients=7, seed=seed)
    plan = Plan(cases=cases, error_share=share, training_cases=practice, seed=seed)
    chosen, _ = choose_cases(frame, plan)
    assert chosen["slice_id"].is_unique
    wanted = min(cases - cases // 2, tumors) + min(cases // 2, free)
    assert (~chosen["training"]).sum() == wanted
    assert chosen["training"].is_monotonic_decreasing  # practice first


def orders_of(plan):
    chosen, _ = choose_cases(pool(), plan)
    cases = chosen.assign(case=[f"C{n}" for n in range(len(chosen))])
    return cases, reading_orders(cases, plan)


def test_each_reader_has_an_own_order_that_the_seed_gives_again():
    plan = Plan(cases=30, readers=4)
    cases, orders = orders_of(plan)
    reading = set(cases.loc[~cases["training"], "case"])
    for steps in orders.values():
        assert [phase for _, phase, _ in steps[:3]] == ["training"] * 3
        assert {case for case, _, _ in steps[3:]} == reading and len(steps) == 33
    assert len({json.dumps(steps) for steps in orders.values()}) == 4
    assert orders_of(plan)[1] == orders
    assert orders_of(Plan(cases=30, readers=4, seed=1))[1] != orders


def test_crossover_reads_every_case_once_each_way_in_opposite_halves():
    cases, orders = orders_of(Plan(cases=40, readers=2, design="crossover"))
    truth = cases.set_index("case")["truth"]
    aided = {}
    for slot, steps in orders.items():
        seen = Counter((case, phase) for case, phase, _ in steps if phase != "training")
        assert len(seen) == 80 and set(seen.values()) == {1}
        periods = [period for _, _, period in steps]
        assert periods == sorted(periods)
        aided[slot] = {case for case, phase, period in steps if (phase, period) == ("aided", 1)}
    assert not aided["1"] & aided["2"]
    assert sum(truth[case] for case in aided["1"]) == 10


@pytest.mark.parametrize(
    "plan", [{"design": "parallel"}, {"cases": 0}, {"readers": 0}, {"error_share": 1.5}]
)
def test_a_plan_nobody_can_read_by_is_refused(plan):
    with pytest.raises(DataError):
        Plan(**plan).check()


def test_the_folder_gives_nothing_away(tmp_path):
    """All a reader may look at: no truth, no answer, no slice name, no order by class."""
    design = make_study(tmp_path)
    text = (tmp_path / "design.json").read_text()
    for word in ("truth", 'label"', "predict", "probab", "slice-", "patient-"):
        assert word not in text
    sizes = {path.stat().st_size for path in (tmp_path / "sealed").iterdir()}
    assert len(sizes) == 1
    raw = b"".join(path.read_bytes() for path in (tmp_path / "sealed").iterdir())
    assert b"truth" not in raw and b"cnn" not in raw
    assert stat.S_IMODE((tmp_path / "keeper.key").stat().st_mode) == 0o600
    content = sealed.open_all(tmp_path)
    assert set(content) == {entry["case"] for entry in design.card["cases"]}
    image = np.load(design.image_path("C001"))
    assert image.dtype == np.int16 and image.shape == (64, 64)


def test_case_numbers_do_not_follow_the_truth(tmp_path):
    """Wald-Wolfowitz: were the numbers sorted by truth, there would be two runs."""
    truths = []
    for seed in range(5):
        make_study(tmp_path / str(seed), size=4, cases=40, training_cases=0, seed=seed)
        truths.append([c["truth"] for c in sealed.open_all(tmp_path / str(seed)).values()])
    runs = [1 + int(np.abs(np.diff(truth)).sum()) for truth in truths]
    assert 15 <= np.mean(runs) <= 27  # 21 expected of 40 mixed cases


def test_the_study_is_named_after_what_it_holds(tmp_path):
    one, same = make_study(tmp_path / "1", size=4), make_study(tmp_path / "2", size=4)
    other = make_study(tmp_path / "3", size=4, seed=1)
    assert one.study == same.study != other.study
    assert Design.load(tmp_path / "1").card == one.card


def test_missing_design_and_network_are_named_with_their_command(tmp_path):
    with pytest.raises(DataError, match="make report"):
        Design.load(tmp_path)
    study = Study(str(tmp_path), "none", str(tmp_path))
    with pytest.raises(DataError, match=r"could not be set up: No trained network.*make report"):
        prepare.prepare_reading(study, Plan())


def test_a_refused_network_is_not_read_with(tmp_path):
    study = Study(str(tmp_path), "one_patient", str(tmp_path))
    for run, record in (
        ("sound-final", {"finished": False, "refused": "3 patients needed, 1 found"}),
        ("paper-final", {"finished": True}),
    ):
        write_json(record, study.runs / f"{run}-seed0" / "model.json")
    assert prepare.find_run(study) == "paper-final"


def test_a_design_with_real_readings_stays(tmp_path, monkeypatch):
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    design = make_study(study.readings)
    plan, database = Plan(**design.card["plan"]), study.readings / "readings.sqlite"
    made = []
    monkeypatch.setattr(prepare, "set_up", lambda study, plan: made.append(plan))
    monkeypatch.setattr(prepare, "rehearse", lambda study, plan: None)
    other = Plan(cases=10)
    prepare.keep_or_set_up(study, other, database)
    ReadingLog(database, design.study, simulated=True).append("comment", "Ann")
    prepare.keep_or_set_up(study, other, database)
    assert made == [other, other]
    ReadingLog(database, design.study).append("comment", "Ann")
    prepare.keep_or_set_up(study, plan, database)
    with pytest.raises(DataError, match=r"Readings exist \(.*sqlite\), so the design stays"):
        prepare.keep_or_set_up(study, other, database)
    assert len(made) == 2


def test_a_design_that_is_read_in_another_database_stays(tmp_path):
    """`make report` looks into its own log; the readers' server may be known to them alone."""
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    design, own = make_study(study.readings), study.readings / "readings.sqlite"
    before = (study.readings / "design.json").read_bytes()
    Reading(design, ReadingLog(tmp_path / "elsewhere.sqlite", design.study), "Ann").close()
    plan = Plan(**design.card["plan"])
    prepare.keep_or_set_up(study, plan, own)
    with pytest.raises(DataError, match=r"elsewhere\.sqlite.*the design stays"):
        prepare.keep_or_set_up(study, Plan(cases=10), own)
    with pytest.raises(DataError, match="Somebody has begun to read"):  # since it was looked
        make_study(study.readings, seed=1)
    assert (study.readings / "design.json").read_bytes() == before and not own.exists()


def test_a_note_of_an_earlier_design_binds_nobody(tmp_path):
    design = make_study(tmp_path)
    design.note_begun("postgresql+pg8000://study:secret@host/readings")
    assert design.begun == "postgresql+pg8000://study:***@host/readings"
    (tmp_path / "design.json").unlink()
    assert make_study(tmp_path, seed=1).begun is None
