"""Figures: any number of methods, one axis, one colour per meaning, refusals said."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from explained_fixture import QUICK, SIZE

from camreader.common.style import FALSE_ALARM, MISSED
from camreader.heatmaps import cases, methods, plots, tables


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for text in figure.findobj(plt.Text)]


def test_any_number_of_methods_has_a_look_of_its_own(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    for k in range(12):
        methods.register(f"Method {k}", name=f"method_{k}")(len)
    names = [name for name in methods.METHODS if not methods.METHODS[name].baseline]
    assert len({tuple(plots.look(name).values()) for name in names}) == len(names) >= 20
    greys = [plots.look(name) for name in methods.baselines()]
    assert len({tuple(look.values()) for look in greys}) == 2
    assert all(look["linestyle"] != "-" and float(look["color"]) for look in greys)


def test_localisation_is_one_axis_from_0_to_100_with_every_bar_on_it(study, run, found):
    truth = cases.truths(study, run.cases, SIZE)["box"]
    table = tables.localisation_table({"box": tables.score(run, found, truth)}, QUICK)
    figure = plots.localisation(table)
    assert {axis.get_xlim() for axis in figure.axes} == {(-2, 102)}
    groups = table[(table["kind"] != "all") & (table["method"] == "gradcam")]
    bars = [line for line in figure.axes[3].lines if line.get_marker() == "|"]
    assert len(bars) == len(groups)
    base = table[table["method"].isin(methods.baselines())].groupby(["kind", "group"])["hit"].max()
    wanted = [100 * base[row.kind, row.group] for row in groups.itertuples()]
    assert sorted(x for bar in bars for x in bar.get_xdata()) == pytest.approx(sorted(wanted))
    assert f"Grad-CAM (n = {table['n'].iloc[0]})" in texts(figure)


def test_faithfulness_carries_intervals_and_names_no_module_of_the_network(run, found):
    curves, areas = tables.faithfulness_curves(run, found, count=4)
    randomised = tables.sanity(run, count=2)
    seeds = pd.DataFrame(columns=["seed", "n", "likeness"])
    table = tables.faithfulness_table(areas, randomised, seeds, QUICK)
    figure = plots.faithfulness(table, curves, randomised)
    words = " ".join(texts(figure))
    assert "95 %" in words and "features" not in words and "head" not in words
    rows = [line.get_xdata() for line in figure.axes[1].lines if len(line.get_xdata()) == 2]
    ends = ["insertion_minus_deletion_low", "insertion_minus_deletion_high"]
    measured = table[table["n"] > 0]
    drawn = [tuple(row) for row in rows if tuple(row) != (0, 0)]
    assert sorted(drawn) == sorted(measured[ends].itertuples(index=False, name=None))


def test_an_error_has_the_colour_of_its_truth_and_says_what_it_is(study, run):
    wrong = cases.errors(run.cases)
    kinds = run.cases["outcome"].iloc[wrong]
    figure = plots.errors_sheet(
        run.images[wrong], run.cases.iloc[wrong], np.zeros((len(wrong), 4, 4))
    )
    titles = [axis.title for axis in figure.axes if axis.get_title()]
    said = {title.get_text().split(",")[0]: title.get_color() for title in titles}
    assert said == {"missed": MISSED, "false alarm": FALSE_ALARM}
    assert len(titles) == len(kinds)
    sheet = plots.overlays(study, run.cases.iloc[wrong], np.zeros((len(wrong), 4, 4)))
    colours = [axis.title.get_color() for axis in sheet.axes if axis.get_title()]
    wanted = {"false negative": MISSED, "false positive": FALSE_ALARM}
    assert colours == [wanted[kind] for kind in kinds]


def test_figure_2_shows_each_step(run):
    figure = plots.steps(run, cases.clearest(run.cases))
    words = " ".join(texts(figure))
    assert all(f"{step} · " in words for step in range(1, 6)) and "explained: tumor" in words


def test_what_cannot_be_drawn_is_said(study, run):
    none = run.cases.iloc[:0]
    assert "no error" in " ".join(
        texts(plots.errors_sheet(run.images[:0], none, np.zeros((0, 4, 4))))
    )
    assert "no test slice" in " ".join(texts(plots.overlays(study, none, np.zeros((0, 4, 4)))))
    empty = pd.DataFrame({"truth": ["box"], "n": [0], "kind": ["all"], "method": ["gradcam"]})
    assert "cannot be measured" in " ".join(texts(plots.localisation(empty)))
    nothing = pd.DataFrame()
    assert "cannot be measured" in " ".join(texts(plots.faithfulness(nothing, nothing, nothing)))


def test_a_dicom_picture_is_shown_as_it_is():
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    figure = plots.picture(rgb, "overlay_0001.dcm")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), rgb)
