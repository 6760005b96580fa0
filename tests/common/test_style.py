"""Figures say what they were made from, and are saved whole."""

import warnings

import matplotlib.pyplot as plt
import pytest

from camreader.common import style
from camreader.common.study import Study


@pytest.fixture
def study(tmp_path):
    study = Study(str(tmp_path / "data"), "phantom", str(tmp_path / "reports"))
    study.save_card({"title": "phantom (synthetic CT)", "source": str(tmp_path)})
    style.use_style()
    yield study
    plt.close("all")


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_a_cohort_figure_carries_the_cohorts_title_and_published_numbers_do_not(study):
    figure = style.save(plt.figure(), study, "one")
    assert texts(figure) == ["phantom (synthetic CT)"]
    assert texts(style.save(plt.figure(), study, "two", cohort=False)) == []
    assert sorted(path.name for path in study.figures.iterdir()) == ["one.png", "two.png"]


def test_the_title_lies_below_the_axes(study):
    figure, axes = plt.subplots()
    axes.set_xlabel("label")
    style.save(figure, study, "one")
    words = figure.texts[0].get_window_extent()
    assert axes.xaxis.label.get_window_extent().y0 >= words.y1


def test_a_refusal_is_a_figure_with_its_words(study):
    figure = style.refusal("3 patients needed, 1 found")
    assert figure.axes[0].texts[0].get_text() == "3 patients needed, 1 found"


def test_a_figure_laid_out_by_hand_is_drawn_again_as_it_was_saved(study, tmp_path):
    """A notebook draws it a second time; matplotlib would warn of a layout nobody asked for."""
    figure = plt.figure(layout="none")
    axes = figure.add_axes((0.1, 0.1, 0.5, 0.5))
    style.save(figure, study, "one")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "again.png", bbox_inches="tight")
    assert axes.get_position().bounds == pytest.approx((0.1, 0.1, 0.5, 0.5))
