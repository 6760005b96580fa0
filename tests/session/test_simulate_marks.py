"""Where simulated readers point: places that stay, confidences that follow the answers."""

import numpy as np
import pandas as pd
import pytest

from camreader.session.marks import check_marks
from camreader.session.reader_model import made_up_cases
from camreader.session.simulate import simulate_readings
from camreader.session.simulate_marks import made_up_lesions, place_marks
from camreader.session.stages import PRESETS


@pytest.fixture(scope="module")
def marked():
    cases = made_up_lesions(made_up_cases(40, np.random.default_rng(2)))
    frame = simulate_readings(4, 40, 2, cases, PRESETS["answer_then_map"])
    return {mode: place_marks(frame, cases, mode, 2) for mode in ("free_response", "lroc")}


@pytest.mark.parametrize("mode", ["free_response", "lroc"])
def test_simulated_marks_are_marks_that_a_reader_could_place(marked, mode):
    geometry = {"shape": (1, 512, 512), "spacing_mm": 0.8}
    for marks in marked[mode]["marks"]:
        check_marks(marks, mode, geometry)


def test_places_stay_over_the_stages_and_the_surer_mark_more(marked):
    frame = marked["free_response"]
    places = frame["marks"].map(lambda marks: {(mark["x"], mark["y"]) for mark in marks})
    union = places.groupby([frame["reader"], frame["case"]]).agg(lambda own: len(set.union(*own)))
    most = places.map(len).groupby([frame["reader"], frame["case"]]).max()
    assert (union == most).mean() > 0.95  # a later stage adds marks or drops some, moves none
    number = frame["marks"].map(len)
    sick = frame["truth"] == 1
    assert (
        number[sick & (frame["score"] > 7)].mean() > 2 * number[sick & (frame["score"] < 4)].mean()
    )


def test_the_same_seed_gives_the_same_marks(marked):
    cases = made_up_lesions(made_up_cases(40, np.random.default_rng(2)))
    frame = simulate_readings(4, 40, 2, cases, PRESETS["answer_then_map"])
    again = place_marks(frame, cases, "lroc", 2)
    pd.testing.assert_series_equal(again["marks"], marked["lroc"]["marks"])
