"""Figures of the cohort say the finding's own name and draw the boxes that the table has."""

import matplotlib

matplotlib.use("agg")

import cv2
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from camreader.cohorts import cohort, labels, pixels, plots


def folder(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["image,label,box"]
    for index in range(8):
        cv2.imwrite(str(tmp_path / f"{index}.png"), rng.integers(0, 255, (30, 40)).astype(np.uint8))
        lines.append(f"{index}.png,{index % 2},{'3 4 20 15' if index % 2 else ''}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return cohort.load(tmp_path, finding="bleed")


def test_examples_and_counts(tmp_path):
    frame, card = folder(tmp_path)
    copied, told = pixels.bring_in(frame, card, tmp_path / "copy")
    figure = plots.examples(copied, told, columns=2)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["bleed", "bleed", "no bleed", "no bleed"]
    boxes = [p for axis in figure.axes for p in axis.patches if isinstance(p, Rectangle)]
    assert len(boxes) == 2 and boxes[0].get_xy() == (3, 4 + 5)  # padded by 5 rows above
    words = [t.get_text() for t in plots.counts(copied, told).axes[0].get_legend().get_texts()]
    assert words == ["bleed", "no bleed"]


def test_own_labels_have_no_rule_to_draw():
    figure = plots.label_rules(labels.rule_table(None))
    assert "no rule of this table" in figure.axes[0].texts[0].get_text()
    assert isinstance(labels.rule_table(None), pd.DataFrame)
