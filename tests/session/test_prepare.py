"""A reading's folder gives nothing away, and stays once somebody has begun to read."""

import stat
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from reading_study import make_study

from camreader.common.errors import DataError
from camreader.common.storage import write_table
from camreader.common.study import Study
from camreader.session import plots, prepare, sealed, tidy, widget
from camreader.session.log import ReadingLog
from camreader.session.overview import cases_table, facts, finding
from camreader.session.plan import Plan
from camreader.session.progress import Design, Reading
from camreader.session.stages import DEFAULT
from camreader.training.learned import judge


def test_the_folder_gives_nothing_away(tmp_path):
    """All a reader may look at: no truth, no answer, no slice name, no order by class."""
    design = make_study(tmp_path)
    text = (tmp_path / "design.json").read_text()
    for word in ("truth", 'label"', "predict", "0.8", "0.1", "slice-", "patient-"):
        assert word not in text
    sizes = {path.stat().st_size for path in (tmp_path / "sealed").iterdir()}
    assert len(sizes) == 1
    raw = b"".join(path.read_bytes() for path in (tmp_path / "sealed").iterdir())
    assert b"truth" not in raw and b"cnn_prediction" not in raw
    assert stat.S_IMODE((tmp_path / "keeper.key").stat().st_mode) == 0o600
    content = sealed.open_all(tmp_path)
    assert set(content) == {entry["case"] for entry in design.card["cases"]}
    image = np.load(design.image_path("C001"))
    assert image.dtype == np.int16 and image.shape == (64, 64)


def test_clinical_text_stands_with_its_case_and_is_part_of_the_study(tmp_path):
    def texts(words):
        return lambda chosen, images: (
            chosen.assign(clinical_text=[words] + [""] * (len(chosen) - 1)),
            images,
        )

    told = [make_study(tmp_path / w, change=texts(w)) for w in ("cough", "fever")]
    assert [design.clinical_text("C001") for design in told] == ["cough", "fever"]
    assert told[0].clinical_text("C002") == "" and told[0].study != told[1].study
    assert all("clinical_text" not in row for row in told[0].card["cases"][1:])


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
    row = {"slice_id": "s1", "protocol": "paper", "run": "final", "seed": 0, "split": "test"}
    row |= {"logit": 0.0, "probability": 0.5, "predicted": 0}
    write_table(pd.DataFrame([row]), study.runs / "predictions.parquet")
    assert prepare.find_run(study) == "paper-final"


def test_a_refused_reading_says_why_wherever_it_would_be_read(tmp_path):
    """A constant answer on 30 test slices: notebook 07 goes through, and nothing can be read."""
    study = Study(str(tmp_path), "constant", str(tmp_path))
    study.save_card({"name": "constant", "title": "Made up", "source": str(tmp_path)})
    frame = pd.DataFrame({"label": [1, 0] * 15, "predicted": 0, "probability": 0.4})
    judged = judge(frame, False, "paper-final", 0, 0.4, True)
    make_study(study.readings, size=4)  # an earlier set-up, which nobody has read
    design = prepare.refuse(study, Plan(), judged)
    assert Design.load(study.readings).refused == design.refused
    assert judged.banner in design.refused and "same answer" in design.refused
    assert not list((study.readings).glob("*/*"))  # neither images nor envelopes
    assert cases_table(design).empty and list(facts(design)) == [f"{design.refused}."]
    assert list(finding(design, tidy.progress(design))) == [f"{design.refused}."]
    assert design.refused in plots.design(design).axes[0].texts[0].get_text()
    assert design.refused in widget.open_session(study).data
    with pytest.raises(DataError, match="No reading is set up"):
        widget.ReadingSession(study.readings)


def test_a_design_with_real_readings_stays(tmp_path, monkeypatch):
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    design = make_study(study.readings)
    plan, database = Plan(**design.card["plan"]), study.readings / "readings.sqlite"
    made = []
    monkeypatch.setattr(prepare, "set_up", lambda study, plan, **more: made.append(plan))
    monkeypatch.setattr(prepare, "rehearse", lambda study, plan: None)
    other = Plan(cases=10)
    prepare.keep_or_set_up(study, other, database)
    ReadingLog(database, design.study, simulated=True).append("comment", "Ann")
    prepare.keep_or_set_up(study, other, database)
    assert made == [other, other]
    ReadingLog(database, design.study).append("comment", "Ann")
    prepare.keep_or_set_up(study, plan, database)
    with pytest.raises(
        DataError, match=r"Readings exist \(.*sqlite\), so the design cannot be changed"
    ):
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
    with pytest.raises(DataError, match=r"elsewhere\.sqlite.*the design cannot be changed"):
        prepare.keep_or_set_up(study, Plan(cases=10), own)
    with pytest.raises(DataError, match="A reader has begun"):  # since it was looked
        make_study(study.readings, seed=1)
    assert (study.readings / "design.json").read_bytes() == before and not own.exists()


def test_a_note_of_an_earlier_design_binds_nobody(tmp_path):
    design = make_study(tmp_path)
    design.note_begun("postgresql+pg8000://study:secret@host/readings")
    assert design.begun == "postgresql+pg8000://study:***@host/readings"
    (tmp_path / "design.json").unlink()
    assert make_study(tmp_path, seed=1).begun is None


def test_a_plan_without_a_design_keeps_that_of_a_reading_under_way(tmp_path, monkeypatch):
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    design = make_study(study.readings, cases=4, training_cases=0, size=8)  # sequential
    made = []
    monkeypatch.setattr(prepare, "set_up", lambda study, plan, **more: made.append(plan.design))
    monkeypatch.setattr(prepare, "rehearse", lambda study, plan: None)
    wanted = Plan(**design.card["plan"] | {"design": ""})
    database = study.readings / "readings.sqlite"
    prepare.keep_or_set_up(study, wanted, database)
    assert made == [DEFAULT]  # nobody has read yet
    Reading(design, ReadingLog(database, design.study), "Ann").close()
    prepare.keep_or_set_up(study, wanted, database)
    assert made == [DEFAULT]
    with pytest.raises(DataError, match="cannot be changed"):
        prepare.keep_or_set_up(study, Plan(**asdict(wanted) | {"design": DEFAULT}), database)
