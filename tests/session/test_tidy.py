"""From the log to tidy rows and files: exactly the answers that were given, and only as text."""

import csv
import json

import pandas as pd
import pytest
from postgres import running_postgres
from reading_study import make_study

from camreader.__main__ import main
from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.reader_study import study as study_readings
from camreader.session import prepare, questions, tidy
from camreader.session.log import ReadingLog
from camreader.session.plan import Plan
from camreader.session.progress import Design, Reading
from camreader.session.sealed import open_all, release
from camreader.session.simulate import simulate_readings, through_log
from camreader.session.tidy import load_tidy, write_imrmc, write_tidy
from camreader.statistics.mrmc.io import read_imrmc

NASTY = "=cmd|' /C calc'!A0 <script>alert(1)</script>, \"quoted\"\nnext"
NAME = "=Ann <b>O'Neil</b>, MD"


@pytest.fixture
def study(tmp_path):
    design = make_study(tmp_path, cases=6, training_cases=1, size=8)
    return design, ReadingLog(tmp_path / "readings.sqlite", design.study)


def read_all(design, log, name=NAME):
    """Answer every case: tumor with confidence 1..5 in turn, aided one more, 1,234 ms + turn."""
    reading = Reading(design, log, name)
    for turn, step in enumerate(reading.steps):
        answer = {"diagnosis": "tumor", "confidence": 1 + turn % 5, "milliseconds": 1234 + turn}
        reading.submit("locked", step.case, {**answer, "comment": NASTY}, f"{name} l{turn}")
        release(design, log, reading.reader, step.case)
        answer |= {"diagnosis": "no tumor", "helpfulness": "some", "comment": ""}
        reading.submit("revised", step.case, answer, f"{name} r{turn}")
    return reading


def test_tidy_rows_are_the_answers_in_their_order(study, tmp_path):
    design, log = study
    reading = read_all(design, log)
    frame = load_tidy(tmp_path / "readings.sqlite")
    assert list(frame.columns) == questions.columns()
    unaided = frame[frame["modality"] == "unaided"]
    cases = [step.case for step in reading.steps if step.phase != "training"]
    assert unaided["case"].tolist() == cases
    assert unaided["order"].tolist() == list(range(1, 7))
    assert unaided["milliseconds"].tolist() == [1234 + turn for turn in range(1, 7)]
    assert unaided["seconds"].tolist() == [(1234 + turn) / 1000 for turn in range(1, 7)]
    assert unaided["score"].tolist() == [5 + 1 + turn % 5 for turn in range(1, 7)]
    assert unaided["helpfulness"].isna().all()
    aided = frame[frame["modality"] == "aided"]
    assert aided["score"].tolist() == [6 - (1 + turn % 5) for turn in range(1, 7)]
    key = open_all(tmp_path)
    assert frame["truth"].tolist() == [key[case]["truth"] for case in frame["case"]]
    assert not frame["simulated"].any()


def test_a_correction_counts_unless_it_could_know_the_answer(study, tmp_path):
    design, log = study
    reading = read_all(design, log)
    case = reading.steps[2].case
    better = {"diagnosis": "tumor", "confidence": 5, "helpfulness": "no", "comment": "slipped"}
    reading.submit("corrected", case, {**better, "target": "aided"}, "c1")
    del better["helpfulness"]
    reading.submit("corrected", case, {**better, "target": "unaided"}, "c2")
    frame = load_tidy(tmp_path / "readings.sqlite").set_index(["case", "modality"])
    aided, unaided = frame.loc[case, "aided"], frame.loc[case, "unaided"]
    assert (aided["score"], aided["helpfulness"], aided["corrected"]) == (10, "no", True)
    assert aided["milliseconds"] == 1236
    assert (unaided["score"], unaided["corrected"]) == (8, False)
    assert frame["corrected"].sum() == 1


def test_a_correction_keeps_the_comment_until_the_reader_says_otherwise(study, tmp_path):
    design, log = study
    reading = read_all(design, log)
    case = reading.steps[2].case
    better = {"diagnosis": "tumor", "confidence": 5, "helpfulness": "no", "target": "aided"}

    def comment():
        frame = load_tidy(tmp_path / "readings.sqlite").set_index(["case", "modality"])
        return frame.loc[(case, "aided"), "comment"]

    for number, (said, kept) in enumerate(
        [({"comment": "seen twice"}, "seen twice"), ({}, "seen twice"), ({"comment": ""}, "")]
    ):
        reading.submit("corrected", case, better | said, f"c{number}")
        assert comment() == kept


def test_corrections_of_both_parts_of_a_crossover_count(tmp_path):
    """But not one of the first part made after the second has shown the network's answer."""
    design = make_study(tmp_path, cases=6, training_cases=0, size=8, design="crossover")
    (tmp_path / "design.json").write_text(json.dumps(design.card | {"washout_days": 0}))
    design = Design.load(tmp_path)
    log = ReadingLog(tmp_path / "readings.sqlite", design.study)
    reading, expected = Reading(design, log, "Ann"), {}
    first = {"diagnosis": "tumor", "confidence": 1}
    for number, step in enumerate(reading.steps):
        kind, extra = "locked", {}
        if step.phase == "aided":
            release(design, log, "Ann", step.case)
            kind, extra = "revised", {"helpfulness": "no"}
        reading.submit(kind, step.case, first | extra, f"a{number}")
        better = {"diagnosis": "no tumor", "confidence": 5, **extra, "target": step.phase}
        reading.submit("corrected", step.case, better, f"c{number}")
        expected[step.case, step.phase] = 1
    for step in reading.steps:
        if step.phase == "unaided":
            late = first | {"confidence": 5, "target": "unaided"}
            reading.submit("corrected", step.case, late, f"late {step.case}")
            expected[step.case, "unaided"] = 10 if step.period == 2 else 1
    frame = load_tidy(tmp_path / "readings.sqlite").set_index(["case", "modality"])
    assert frame["corrected"].all() and frame["score"].to_dict() == expected


def test_csv_comes_back_and_holds_no_formula(study, tmp_path):
    design, log = study
    read_all(design, log)
    frame, path = load_tidy(tmp_path / "readings.sqlite"), tmp_path / "tidy.csv"
    write_tidy(frame, path)
    with open(path, newline="") as handle:
        cells = [cell for row in csv.reader(handle) for cell in row]
    assert not any(cell[:1] in "=+-@\t\r" for cell in cells if cell)
    pd.testing.assert_frame_equal(load_tidy(path), frame)
    told = study_readings.load(str(path), Study(str(tmp_path), "tiny", str(tmp_path)))
    assert set(told.readings["reader"]) == {NAME}


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan", "-7"])
def test_a_reader_may_be_called_anything(study, tmp_path, name):
    """pandas takes some codes for missing values where nobody tells it not to."""
    design, log = study
    read_all(design, log, name)
    frame, path = load_tidy(tmp_path / "readings.sqlite"), tmp_path / "tidy.csv"
    frame["comment"] = name
    write_tidy(frame, path)
    pd.testing.assert_frame_equal(load_tidy(path), frame)
    there = Study(str(tmp_path), "tiny", str(tmp_path))
    there.save_table(frame, "08_readers")
    told = read_table(there.tables / "08_readers.csv")
    assert set(told["reader"].astype(str)) == {name} and told["helpfulness"].isna().sum() == 6


def test_a_saved_table_holds_no_formula_and_is_read_as_it_was_typed(tmp_path):
    there = Study(str(tmp_path), "tiny", str(tmp_path))
    typed = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "- behind it", "'=x", "\tx", "a = b"]
    harmless = ["-0.5", "+1.2 points"]
    frame = pd.DataFrame({"reader": [*typed, *harmless], "value": range(9)})
    there.save_table(frame, "t")
    with open(there.tables / "t.csv", newline="") as handle:
        cells = [row[0] for row in csv.reader(handle)][1:]
    assert cells == [*(f"'{text}" for text in typed[:-1]), typed[-1], *harmless]
    pd.testing.assert_frame_equal(read_table(there.tables / "t.csv"), frame)


def test_answers_are_never_joined_to_the_truth_of_another_study(study, tmp_path):
    """The same case numbers, another design: in another folder, or set up over this one."""
    design, log = study
    read_all(design, log)
    other = make_study(tmp_path / "other", cases=6, training_cases=1, size=8, seed=1)
    for wanted in (None, design.study):
        with pytest.raises(DataError, match=f"another study.*{design.study}.*{other.study}"):
            load_tidy(tmp_path / "readings.sqlite", tmp_path / "other", wanted)
    (tmp_path / "design.json").unlink()
    make_study(tmp_path, cases=6, training_cases=1, size=8, seed=1)
    with pytest.raises(DataError, match="another study"):
        load_tidy(tmp_path / "readings.sqlite")


def test_a_comment_with_half_an_emoji_reaches_the_table(study, tmp_path):
    design, log = study
    reading = Reading(design, log, "Ann")
    answer = {"diagnosis": "tumor", "confidence": 1}
    reading.submit("locked", reading.steps[0].case, answer, "practice")
    reading.submit("revised", reading.steps[0].case, answer | {"helpfulness": "no"}, "p")
    reading.submit("locked", reading.steps[1].case, answer | {"comment": "cut \ud83d"}, "e")
    frame = load_tidy(tmp_path / "readings.sqlite")
    write_tidy(frame, tmp_path / "tidy.csv")
    assert load_tidy(tmp_path / "tidy.csv")["comment"].tolist() == ["cut \ufffd"]


def test_a_server_that_nobody_has_written_to_yet_holds_no_answer(tmp_path):
    """As notebook 07 meets it on the day the study is set up."""
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    design = make_study(study.readings, cases=4, size=8)
    plan = Plan(**design.card["plan"])
    with running_postgres() as address:
        assert tidy.progress(design, address).empty
        with pytest.raises(DataError, match="No trained network"):  # it would be set up now
            prepare.keep_or_set_up(study, plan, address)
        ReadingLog(address, design.study).append("comment", "Ann")
        prepare.keep_or_set_up(study, plan, address)
    (tmp_path / "empty.sqlite").touch()
    assert load_tidy(tmp_path / "empty.sqlite").empty


def test_imrmc_is_read_back_by_the_statistics(study, tmp_path):
    design, log = study
    read_all(design, log)
    frame, path = load_tidy(tmp_path / "readings.sqlite"), tmp_path / "out.imrmc"
    write_imrmc(frame, path)
    again = read_imrmc(path)
    assert path.read_text().startswith("N0:3\nN1:3\nNR:1\nNM:2\nBEGIN DATA:\n")
    merged = frame.merge(again, left_on=["case", "modality"], right_on=["case", "modality"])
    assert len(merged) == len(frame) == 12
    assert (merged["score_x"] == merged["score_y"]).all()
    assert (merged["truth_x"] == merged["truth_y"]).all()


def test_two_readers_never_become_one_in_an_imrmc_file(study, tmp_path):
    design, log = study
    for name in ("Ann, MD", "Ann_ MD"):
        read_all(design, log, name)
    with pytest.raises(DataError, match=r"would be the same.*reader.*Ann, MD and Ann_ MD"):
        write_imrmc(load_tidy(tmp_path / "readings.sqlite"), tmp_path / "out.imrmc")
    assert not (tmp_path / "out.imrmc").exists()


def test_json_holds_every_event(study, tmp_path):
    design, log = study
    read_all(design, log)
    main(["readings", "export", "--folder", str(tmp_path), str(tmp_path / "out.json")])
    events = json.loads((tmp_path / "out.json").read_text())
    assert len(events) == 1 + 7 * 3
    assert events[1]["payload"]["comment"] == NASTY


def test_the_command_line_exports_and_says_how_far(study, tmp_path, capsys):
    design, log = study
    Reading(design, log, "Ann").submit(
        "locked", design.steps(1)[0].case, {"diagnosis": "tumor", "confidence": 1}, "e"
    )
    main(["readings", "progress", "--folder", str(tmp_path)])
    said = capsys.readouterr().out
    assert "Ann" in said and "aided" in said
    for name in ("t.csv", "t.imrmc"):
        main(["readings", "export", "--folder", str(tmp_path), str(tmp_path / name)])
        assert (tmp_path / name).exists()
    assert main(["readings", "export", "--folder", str(tmp_path), "t.txt"]) == 1
    assert "Unknown export" in capsys.readouterr().err


def test_several_studies_in_one_log_are_told_apart(study, tmp_path):
    design, log = study
    read_all(design, log)
    other = ReadingLog(tmp_path / "readings.sqlite", "another")
    other.append("comment", "Bob")
    assert set(load_tidy(tmp_path / "readings.sqlite")["reader"]) == {NAME}
    with pytest.raises(DataError, match="several studies"):
        load_tidy(tmp_path / "readings.sqlite", folder=tmp_path / "elsewhere")
    with pytest.raises(DataError, match="File of readings needs column reader"):
        (tmp_path / "x.csv").write_text("a,b\n1,2\n")
        load_tidy(tmp_path / "x.csv")


def test_a_slider_named_by_the_design_is_the_score(tmp_path):
    """In the table, in .imrmc, and for the analysis."""
    slider = questions.Question("malignancy", "slider", "Probability of malignancy")
    asked = [*questions.QUESTIONS, slider]
    plan = {"cases": 4, "training_cases": 0, "size": 8, "score_question": "malignancy"}
    design = make_study(tmp_path, **plan, questions=asked)
    reading = Reading(design, ReadingLog(tmp_path / "readings.sqlite", design.study), "Ann")
    for turn, step in enumerate(reading.steps):
        answer = {"diagnosis": "tumor", "confidence": 3, "malignancy": 25 * turn}
        reading.submit("locked", step.case, answer, f"l{turn}")
        answer |= {"helpfulness": "no", "malignancy": 25 * turn + 1}
        reading.submit("revised", step.case, answer, f"r{turn}")
    frame = load_tidy(tmp_path / "readings.sqlite")
    assert frame["score"].tolist() == [0, 1, 25, 26, 50, 51, 75, 76]
    write_imrmc(frame, tmp_path / "s.imrmc")
    assert sorted(read_imrmc(tmp_path / "s.imrmc")["score"]) == sorted(frame["score"])
    there = Study(str(tmp_path), "none", str(tmp_path))
    told = study_readings.load(str(tmp_path / "readings.sqlite"), there)
    assert sorted(told.scores["score"]) == sorted(frame["score"])
    with pytest.raises(DataError, match="required slider or scale"):
        questions.check_questions(asked, score_question="helpfulness")


def export_of(study, tmp_path):
    design, log = study
    read_all(design, log, "Ann")
    frame = load_tidy(tmp_path / "readings.sqlite")
    frame["comment"] = ""
    return frame


DRESSED = {  # what a program between us and the analysis did to the export
    "a separator behind every row but the header": lambda f: "\n".join(
        line + "," * bool(k) for k, line in enumerate(f.to_csv(index=False).splitlines())
    ),
    "a European spreadsheet": lambda f: f.to_csv(index=False, sep=";", decimal=","),
    "R's row names": lambda f: f.to_csv(),
    "tabs and UTF-16": lambda f: f.to_csv(index=False, sep="\t").encode("utf-16"),
    "blanks that nobody sees": lambda f: f.assign(
        reader=[n + "\u00a0" * (k % 3 == 0) for k, n in enumerate(f["reader"])]
    ).to_csv(index=False),
    "a header in capitals": lambda f: f.rename(columns=str.upper).to_csv(index=False),
}


@pytest.mark.parametrize("how", DRESSED)
@pytest.mark.parametrize("name", ["answers.csv", "ANSWERS.CSV", "answers.txt"])
def test_an_export_comes_back_whatever_it_went_through(study, tmp_path, how, name):
    frame, path = export_of(study, tmp_path), tmp_path / name
    content = DRESSED[how](frame)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    there = load_tidy(path)
    pd.testing.assert_frame_equal(there[frame.columns], frame, check_dtype=False)
    told = study_readings.load(path, Study(str(tmp_path), "tiny", str(tmp_path)))
    assert told.readings is not None and len(told.readings) == len(frame)


def test_the_mark_of_invented_readings_travels_through_every_format(tmp_path):
    """Through a log, CSV and .imrmc, and back, whatever the file is called."""
    frame = through_log(simulate_readings(2, 8), tmp_path / "invented.sqlite")
    here = Study(str(tmp_path / "data"), "tiny", str(tmp_path))  # knows nothing of this log
    plain = frame.drop(columns="simulated").assign(case=[f"s{c[-3:]}" for c in frame["case"]])
    plain.attrs["simulated"] = True
    for name, write in (("A.CSV", write_tidy), ("a.imrmc", write_imrmc), ("A.IMRMC", write_imrmc)):
        for table in (frame, plain):
            write(table, tmp_path / name)
            found = study_readings.load(tmp_path / name, here)
            assert found.simulated and found.source.startswith("SIMULATED readings")
    write_tidy(frame.assign(simulated=False, case=plain["case"]), tmp_path / "b.csv")
    assert not study_readings.load(tmp_path / "b.csv", here).simulated
    marked = "# SIMULATED\n" + (tmp_path / "b.csv").read_text()
    (tmp_path / "b.csv").write_text(marked)
    assert study_readings.load(tmp_path / "b.csv", here).simulated


def test_true_in_other_languages_is_true_and_what_says_neither_is_refused(tmp_path):
    frame = simulate_readings(2, 6).assign(case=lambda f: "s" + f["case"].str[-3:])
    here, path = Study(str(tmp_path / "data"), "tiny", str(tmp_path)), tmp_path / "a.csv"
    for word, expected in (("WAHR", True), ("Vrai", True), ("1.0", True), ("FALSCH", False)):
        frame.assign(simulated=word).to_csv(path, index=False, sep=";")
        assert study_readings.load(path, here).simulated is expected
    frame.assign(simulated=["perhaps" if k == 3 else "no" for k in frame.index]).to_csv(path)
    with pytest.raises(DataError, match=r"Neither yes nor no.*row: 5; column: simulated"):
        study_readings.load(path, here)
