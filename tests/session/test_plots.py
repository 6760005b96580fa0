"""The design as a figure: one row per reader, one cell per stop."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from reading_study import make_study

from camreader.session import plots
from camreader.session.stages import PRESETS


@pytest.mark.parametrize(("plan", "stops"), [("sequential", 5), ("crossover", 9)])
def test_each_stop_is_the_cell_of_its_case(tmp_path, plan, stops):
    design = make_study(tmp_path, cases=4, training_cases=1, size=8, readers=3, design=plan)
    figure = plots.design(design)
    grid = np.ma.filled(figure.axes[1].images[0].get_array(), np.nan)
    assert grid.shape == (3, stops)
    practice = {entry["case"] for entry in design.card["cases"] if entry["training"]}
    for row, slot in zip(grid, design.slots, strict=True):
        cases = [step.case for step in design.steps(slot)]
        expected = [np.nan if case in practice else int(case[1:]) for case in cases]
        np.testing.assert_equal(row, expected)
    plt.close(figure)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_drawn_with_what_each_stage_shows(tmp_path, name):
    design = make_study(tmp_path, cases=4, training_cases=1, size=8, readers=4, design=name)
    figure = plots.design(design)
    figure.draw_without_rendering()
    said = [text.get_text() for text in figure.axes[0].texts]
    for stage in design.paradigm.stages.values():
        assert stage.name.replace("_", " ") in said
    rows = {text.get_position()[1] for text in figure.axes[0].texts if text.get_text()}
    assert len(rows) >= len(design.paradigm.arms)
    plt.close(figure)
