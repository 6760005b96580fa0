"""Figures of notebook 05: what is drawn is what the tables say."""

import matplotlib.pyplot as plt
import pytest
from places import ROOT

from camreader.published import claims, tables
from camreader.published import paper as published
from camreader.published import plots as draw

FOLDER = ROOT / "data" / "published"


@pytest.fixture(scope="module")
def paper():
    return published.load(FOLDER)


@pytest.fixture(scope="module")
def ledger(paper):
    return claims.ledger(paper, claims.read_claims(FOLDER))


def test_the_figures_show_what_the_tables_say(paper, ledger):
    values, statuses = paper.cells(3)
    figure = draw.table3(values, statuses)
    hatched = [p.get_hatch() for p in figure.axes[0].patches if p.get_hatch()]
    assert sorted(hatched) == ["///", "///", "xxx", "xxx"]
    bars = draw.claims(ledger).axes[0].patches
    assert sum(bar.get_width() for bar in bars) == len(ledger)
    figure = draw.granularity({"second run": "91.909", "lung": "98.126"}, 341)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[0].endswith("284 of 309 only") and titles[1].endswith("no count fits")
    plt.close("all")


def test_who_stands_alone(paper):
    alone = paper.readings().apply(draw.who_stands_alone, axis=1)
    assert alone[alone == "radiologist alone"].index.tolist() == [11, 13, 14]
    assert (alone[6], alone[15], alone[1]) == ("label alone", "network alone", "all three agree")


def test_the_forest_plot_leaves_degenerate_kappas_hollow(paper):
    figure = draw.agreement(tables.agreement(paper))
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert sum(line.get_markerfacecolor() == "white" for line in points) == 2
    plt.close("all")
