"""Figures of the evaluation: any number of seeds, refusals said, one colour per meaning."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from evaluation_tables import leaks_of

from camreader.common.errors import Refusal
from camreader.common.style import FALSE_ALARM, MISSED
from camreader.evaluation import groups, plots


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_takes_any_number_of_seeds_and_labels_every_line(seeds):
    ends = {"slices": (0.9, 0.8, 0.95), "patients": (0.8, 0.7, 0.9)}
    table = leaks_of(*((s, k, *ends[s]) for k in range(seeds) for s in ends))
    table = table.assign(own_label_accuracy=0.7, **{"commoner class": 0.62})
    axis = plots.leakage(table).axes[0]
    words = [text.get_text() for text in axis.get_legend().get_texts()]
    assert "always naming the majority class" in words
    assert ("other seeds" in words) is (seeds > 1)
    heights = [y for lines in axis.collections for ((_, y), *_) in lines.get_segments()]
    assert heights.count(0.62) == 2  # one dotted line per split
    plt.close("all")


def test_greys_are_drawn_in_their_own_window_and_hu_in_that_of_ct():
    tested = pd.DataFrame({"truth": [1, 0], "predicted": [0, 0], "probability": 0.2, "row": [0, 1]})
    tested = tested.assign(region="kidney", boxes="[]", width=8, height=8, contrast_hu=np.nan)
    tested = tested.assign(diameter_mm=np.nan, correct=tested["truth"] == tested["predicted"])
    hu = np.full((2, 8, 8), 200, np.int16)
    for card, expected in (({"hu": False, "window": [128, 256]}, 200 / 256), ({"hu": True}, 0.875)):
        for figure in (plots.outputs(tested, hu, card), plots.errors(tested, hu, card)):
            assert figure.axes[0].images[0].get_array().max() == pytest.approx(expected)


def test_lesions_of_unknown_contrast_are_said_and_the_legend_stands_where_something_is_drawn():
    tested = pd.DataFrame({"truth": 1, "predicted": [1, 0] * 4, "probability": 0.9}, range(8))
    tested = tested.assign(correct=[True, False] * 4, patient_id=list("abcdefgh"))
    tested["lesion size"] = ["under 10 mm", "10–20 mm"] * 4
    tables = {"sound": groups.by_group(tested, False, columns=("lesion size",))}
    contrast, size = plots.by_contrast(tables).axes
    assert contrast.texts[0].get_text() == "contrast not known" and contrast.get_legend() is None
    assert size.get_legend().get_texts()[0].get_text() == "sound" and not size.texts
    bands = [label.get_text() for label in size.get_xticklabels()]
    assert bands == ["under 10 mm\nn = 4", "10–20 mm\nn = 4"]


def test_levels_of_conspicuity_are_drawn_from_subtle_to_plain():
    tested = pd.DataFrame({"truth": 1, "predicted": [1, 0, 1], "probability": 0.9})
    tested = tested.assign(correct=[True, False, True], patient_id=list("abc"))
    tested["conspicuity"] = ["plain", "subtle", "moderate"]
    tables = {"sound": groups.by_group(tested, False, columns=("conspicuity",))}
    first = plots.by_contrast(tables).axes[0]
    bands = [label.get_text().split("\n")[0] for label in first.get_xticklabels()]
    assert bands == ["subtle", "moderate", "plain"] and first.get_title() == "by conspicuity"


def texts(figure):
    return [text.get_text() for text in figure.findobj(plt.Text)]


def test_slices_are_shown_in_the_window_of_their_region_with_their_lesions():
    """Lung window: -600 +- 750, liver: 60 +- 80. What was detected and the truth are explained."""
    tested = pd.DataFrame({"truth": [1, 0], "predicted": [1, 1], "probability": 0.9, "row": [0, 1]})
    tested = tested.assign(region=["lung", "liver"], width=16, height=16, diameter_mm=9.0)
    tested = tested.assign(
        correct=[True, False], boxes=["[[4, 4, 8, 8]]", "[]"], contrast_hu=np.nan
    )
    hu = np.stack([np.full((8, 8), -600), np.full((8, 8), 100)]).astype(np.int16)
    figure = plots.outputs(tested, hu, {"hu": True})
    shown = [axis.images[0].get_array().max() for axis in figure.axes if axis.images]
    assert shown == pytest.approx([0.5, (100 + 20) / 160])
    box = figure.axes[0].patches[0]
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (2, 2, 2, 2)
    assert "1 / 0: truth" in " ".join(texts(figure))


def test_a_refusal_takes_the_place_of_every_panel():
    refused = Refusal("Sound protocol, final run", "3 patients needed, 1 found")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 40)
    tested = pd.DataFrame({"truth": truth, "predicted": truth, "logit": truth - 0.5})
    tested = tested.assign(probability=0.9 * truth, patient_id="p")
    tests = {"paper": tested, "sound": refused}
    for draw in (plots.confusion, plots.curves, plots.calibration_curves):
        assert "refused: 3 patients needed, 1 found" in " ".join(texts(draw(tests)))
    said = " ".join(texts(plots.outputs(refused, None, {}))).strip()
    assert said == "Sound protocol, final run: refused: 3 patients needed, 1 found"
    assert "no accuracy by region" in " ".join(texts(plots.by_region({})))
    plt.close("all")


def test_a_missed_lesion_and_a_false_alarm_have_the_colours_of_their_truth():
    tested = pd.DataFrame({"truth": [1, 0, 0], "predicted": [0, 1, 0], "probability": 0.5})
    tested = tested.assign(row=0, region="liver", width=8, height=8, diameter_mm=np.nan)
    tested = tested.assign(correct=[False, False, True], boxes="[]", contrast_hu=np.nan)
    figure = plots.errors(tested, np.zeros((1, 8, 8), np.int16), {"hu": True})
    titles = [axis.title for axis in figure.axes if axis.get_title()]
    said = {title.get_text().split(",")[0]: title.get_color() for title in titles}
    assert said == {"missed": MISSED, "false alarm": FALSE_ALARM}
    plt.close("all")
