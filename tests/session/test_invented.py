"""A file that lost the word SIMULATED is known by its answers."""

import numpy as np

from camreader.common.study import Study
from camreader.reader_study import study as study_readings
from camreader.session import invented
from camreader.session.simulate import simulate_readings, through_log
from camreader.session.tidy import write_imrmc


def slices(frame):
    """The same readings of cases that are called like slices."""
    return frame.assign(case="000089_01_01," + frame["case"].str[-3:])


def test_a_file_without_the_word_is_recognised_by_its_answers(tmp_path):
    study = Study(str(tmp_path / "data"), "tiny", str(tmp_path))
    frame = through_log(slices(simulate_readings(3, 10)), study.readings / "simulated.sqlite")
    lost = frame.drop(columns="simulated").sample(frac=1, random_state=0)
    lost = lost[lost["reader"] != "R2"].replace({"reader": {"R1": "Dr Ames"}})
    lost[["reader", "modality", "case", "truth", "score"]].to_csv(tmp_path / "s.csv", index=False)
    write_imrmc(lost, tmp_path / "s.imrmc")
    lost.to_csv(tmp_path / "t.csv", index=False)
    for name in ("s.csv", "s.imrmc", "t.csv"):
        found = study_readings.load(tmp_path / name, study)
        assert found.simulated and found.source.startswith("SIMULATED"), name
        assert "known by their content" in found.flags[-1]
    real = lost.assign(score=np.roll(lost["score"], 1))  # other answers
    real.to_csv(tmp_path / "r.csv", index=False)
    assert not study_readings.load(tmp_path / "r.csv", study).simulated
    # the rehearsal is made anew: the earlier export stays known
    through_log(slices(simulate_readings(3, 10, 5)), study.readings / "simulated.sqlite")
    assert study_readings.load(tmp_path / "s.csv", study).simulated


def test_made_up_cases_are_known_by_their_names(tmp_path):
    frame = simulate_readings(2, 6)[["reader", "modality", "case", "truth", "score"]]
    frame.to_csv(tmp_path / "s.csv", index=False)
    nowhere = Study(str(tmp_path / "data"), "tiny", str(tmp_path))
    assert study_readings.load(tmp_path / "s.csv", nowhere).simulated


def test_a_digest_needs_answers_enough():
    frame = simulate_readings(2, 6)
    assert len(invented.reader_digests(frame)) == 2
    assert not invented.reader_digests(frame.groupby("reader").head(invented.LEAST - 1))
