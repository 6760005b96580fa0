"""The figures of what the map did: drawn for every design, refused in words otherwise."""

import matplotlib.pyplot as plt
import pytest
from readings_fixture import readings as tidy

from camreader.reader_study import break_even, map_effect, plots
from camreader.reader_study import study as study_readings
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS


def figures(study):
    yield plots.draw_stepwise(study, map_effect.stepwise_table(study))
    yield plots.draw_hits(study, map_effect.hit_table(study))
    yield plots.draw_break_even(study, break_even.break_even_table(study, draws=20))


@pytest.mark.parametrize("name", PRESETS)
def test_every_design_has_its_figures(name):
    preset = PRESETS[name]
    frame = simulate_readings(6, 40, paradigm=preset)
    study = study_readings._from_log(frame, "", None, preset)
    steps, hits, pays = figures(study)
    for ax in steps.axes:
        assert [t.get_text().replace("\n", "_") for t in ax.get_xticklabels()] == study.stages
    assert any("map on the lesion" in t.get_text() for t in hits.axes[0].get_yticklabels())
    assert len(pays.axes) >= 1
    plt.close("all")


def test_what_cannot_be_drawn_says_so():
    study = study_readings._from_log(tidy(), "by hand", None)
    _, hits, pays = figures(study)
    assert any("Not drawn" in text.get_text() for text in hits.findobj(plt.Text))
    assert any("Not drawn" in text.get_text() for text in pays.findobj(plt.Text))
    plt.close("all")
