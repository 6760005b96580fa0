"""The design as a figure: one row per reader, one cell per stop."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from reading_study import make_study

from camreader.session import plots


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
