"""The screens of a study, from its log to the table and the sentence of 08."""

from reading_study import make_study

from camreader.common.study import Study
from camreader.reader_study import displays
from camreader.session import display
from camreader.session.log import ReadingLog, new_id
from camreader.session.progress import Reading
from camreader.session.simulate import simulate_readings, through_log

SCREEN = {"width": 1600, "height": 1200, "ratio": 1, "depth": 24}


def test_a_check_goes_from_the_log_to_08(tmp_path):
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    design = make_study(study.readings, cases=4, training_cases=0, size=16)
    log = ReadingLog(study.readings / "readings.sqlite", design.study, model="a")
    ann, bob = (Reading(design, log, name) for name in ("Ann", "Bob"))
    steps = [[name, "K", "K"] for name in display.step_names()]
    answers = {name: options[0] for name, (_, options) in display.ASKED.items()}
    payload = {"screen": SCREEN, "window": [1500, 1000], "steps": steps, "answers": answers}
    told, case = payload | {"milliseconds": 30_000}, ann.steps[0].case
    first = new_id()
    assert ann.submit(display.KIND, case, told, first)
    assert not ann.submit(display.KIND, case, told, first)  # sent twice, stored once
    assert display.last_screen(ann.events) == SCREEN and not display.last_screen(bob.events)
    assert ann.position().index == 0  # no answer
    log.close()
    table = displays.displays_table("", study)
    assert table["reader"].tolist() == ["Ann", "Bob"]
    assert table["passed"].tolist()[0] == len(steps) and table["note"].tolist() == ["", "not done"]
    assert displays.finding(table) == [
        "Display check: done by 1 of 2 readers; 14 of 14 steps seen; screens of 1600 x 1200 pixels."
    ]


def test_simulated_readers_have_no_screens_to_speak_of(tmp_path):
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    through_log(simulate_readings(3, 20, 0), study.readings / "simulated.sqlite")
    table = displays.displays_table("", study)
    assert table["note"].tolist() == ["not done: a simulated reader"] * 3
    assert displays.finding(table) == []


def test_a_file_of_scores_has_no_screens(tmp_path):
    table = displays.displays_table("scores.imrmc", Study(str(tmp_path), "tiny", str(tmp_path)))
    assert list(table) == ["refused"] and displays.finding(table) == []
