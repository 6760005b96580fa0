"""Figures say what they were made from, and are saved whole."""

import warnings

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

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


NAMES = ["$_$", "a$b$", "CAD $x^$", "{\\bad", "名前", "Zoë–×"]


def test_names_are_drawn_as_they_were_typed(study):
    """As title, tick label and legend; none is a formula, and none turns into a box."""
    figure, axes = plt.subplots()
    axes.plot(range(len(NAMES)), label=NAMES[0])
    axes.set_yticks(range(len(NAMES)), NAMES)
    axes.set_title(NAMES[2])
    axes.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing sign is a warning
        style.save(figure, study, "names", cohort=False)
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert [a == b for a, b in zip(shown, NAMES, strict=True)].count(False) <= 1
    assert shown[4] in (NAMES[4], "\\u540d\\u524d") and axes.get_title() == NAMES[2]
    dollars = [t for t in figure.findobj(Text) if "$" in t.get_text()]
    assert len(dollars) >= 5 and not any(text.get_parse_math() for text in dollars)


def test_powers_of_ten_stay_powers(study):
    figure, axes = plt.subplots()
    axes.semilogy([1, 10, 1000])
    style.save(figure, study, "log", cohort=False)
    ticks = [text for text in axes.get_yticklabels() if text.get_text()]
    assert ticks and all(t.get_parse_math() for t in ticks if "mathdefault" in t.get_text())
