"""docs/reader-study.md says what presets and committed tables say."""

import pandas as pd
import pytest
from places import ROOT

from camreader.session.stages import PRESETS

DOCS = ROOT / "docs"
PAGE = (DOCS / "reader-study.md").read_text()
WORDS = {
    "within": "every reader, one reading",
    "crossover": "every reader, every arm, washout",
    "readers": "readers randomised",
    "cases": "cases alternate",
}


def row(*cells):
    return f"| {' | '.join(cells)} |"


def preset_row(preset):
    """A row of the table of designs, as the page must hold it."""
    arms = "; ".join(" → ".join(stage.name for stage in arm.stages) for arm in preset.arms)
    contrast = " minus ".join(preset.contrast)
    names = f"`{preset.name}`", f"{arms} ({WORDS[preset.assign]})", contrast
    return row(*names, preset.can, preset.cannot, preset.source)


def recovery_row(with_effect, without):
    """A row of the table of what each design recovers."""
    points = f"{100 * with_effect['truth']:+.1f}", f"{100 * with_effect['width']:.1f}"
    shares = (100 * x for x in (with_effect["held"], without["declared"], with_effect["declared"]))
    return row(f"`{with_effect['design']}`", *points, *(f"{x:.1f} %" for x in shares))


def credit_row(one):
    points = "{:+.1f} ({:+.1f} to {:+.1f})".format(
        *(100 * one[name] for name in ("difference", "low", "high"))
    )
    truth, declared = f"{round(100 * one['truth'], 1) + 0.0:+.1f}", f"{100 * one['declared']:.1f} %"
    return row(f"`{one['design']}`", one["compared"], truth, points, declared)


def primary(effects):
    table = pd.read_csv(DOCS / "recovery.csv")
    table = table[table["analysis"].str.startswith("Obuchowski")]
    return table[table["effects"] == effects].set_index("design", drop=False)


@pytest.mark.parametrize("name", PRESETS)
def test_the_page_tells_what_each_design_can_and_cannot_show(name):
    assert preset_row(PRESETS[name]) in PAGE, preset_row(PRESETS[name])


@pytest.mark.parametrize("name", PRESETS)
def test_the_page_tells_what_each_design_recovers_and_it_is_within_the_limits(name):
    with_effect, without = primary("as given").loc[name], primary("none").loc[name]
    assert recovery_row(with_effect, without) in PAGE, recovery_row(with_effect, without)
    assert with_effect["held"] >= 0.92 and without["declared"] <= 0.08
    assert with_effect["contrast"] == " minus ".join(PRESETS[name].contrast)
    assert with_effect["studies"] == without["studies"] == 200


def test_the_page_tells_who_gets_the_credit():
    table = pd.read_csv(DOCS / "credit.csv")
    for one in table.to_dict("records"):
        assert credit_row(one) in PAGE, credit_row(one)
    declared = table.set_index("compared")["declared"]
    assert declared["map minus answer"] <= 0.08 and declared["aided minus unaided"] > 0.5
    assert (DOCS / "pictures" / "credit.png").exists() and "pictures/credit.png" in PAGE
