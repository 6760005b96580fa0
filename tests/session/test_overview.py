"""What notebook 07 says of a reading, without giving a case away."""

from reading_study import make_study

from camreader.session import overview
from camreader.session.log import ReadingLog
from camreader.session.progress import Reading
from camreader.session.tidy import progress

LOCK = {"diagnosis": "tumor", "confidence": 4}


def test_the_table_of_cases_says_where_each_reader_meets_them(tmp_path):
    design = make_study(tmp_path, cases=4, training_cases=1, size=8)
    table = overview.cases_table(design)
    names = ["case", "practice", "rows", "columns", "position_1", "position_2"]
    assert list(table) == names and (table[["rows", "columns"]] == 8).all(axis=None)
    for slot in (1, 2):
        met = table.sort_values(f"position_{slot}")["case"].tolist()
        assert met == [step.case for step in design.steps(slot)]


def test_the_sentences_follow_the_readers(tmp_path):
    design = make_study(tmp_path, cases=4, training_cases=1, size=8)
    facts = "\n".join(overview.facts(design))
    assert "asks for: diagnosis, confidence, helpfulness, comment" in facts
    assert "4 to read, 1 for practice" in facts and "1 false negatives, 1 false pos" in facts
    first, *_, last = overview.finding(design, progress(design))
    assert "2 readers will read 4 cases (5 stops each" in first and "simulated" in last
    reading = Reading(design, ReadingLog(tmp_path / "readings.sqlite", design.study), "Ann")
    reading.submit("locked", reading.steps[0].case, LOCK, "l")
    reading.submit("revised", reading.steps[0].case, LOCK | {"helpfulness": "no"}, "r")
    *_, last = overview.finding(design, progress(design))
    assert "1 of 2 readers have begun and 0 have finished; 1 stops are stored" in last
