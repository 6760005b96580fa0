"""Colours that mean different things in one figure are told apart by every reader.

Three deficiencies are simulated in full, with the matrices of Machado, Oliveira & Fernandes 2009
(IEEE TVCG 15:1291), in linear RGB. Distances are CIE 1976 Lab; 2 is just seen side by side.
"""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from camreader.common import style
from camreader.heatmaps import plots as heatmaps
from camreader.published import plots as published
from camreader.reader_study import plots as readers

SEEN = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
LEAST = 15
MEANINGS = {
    "label": [style.TUMOR, style.NO_TUMOR],
    "protocol": [style.PAPER, style.SOUND],
    "change of an answer": [readers.BENEFIT, readers.HARM, "0.8"],
    "answer": list(readers.ANSWERS.values()),
    "verdict on a claim": list(published.VERDICTS.values()),
    "who stands alone": list(published.PATTERNS.values()),
    "method": list(heatmaps.PALETTE),
}


def lab(colour, how):
    """L, a, b of a colour as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(np.array(SEEN[how]) @ linear, 0, 1) / WHITE
    f = [np.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("how", SEEN)
@pytest.mark.parametrize("meaning", MEANINGS)
def test_colours_of_one_meaning_stay_apart(meaning, how):
    near = [
        (one, other)
        for one, other in combinations(MEANINGS[meaning], 2)
        if np.linalg.norm(lab(one, how) - lab(other, how)) < LEAST
    ]
    assert near == []


def test_white_is_white_and_red_and_green_meet_without_the_green_cone():
    np.testing.assert_allclose(lab("white", "normal"), [100, 0, 0], atol=0.02)
    red, green = "#D55E00", "#8A8A00"  # told apart by most
    assert np.linalg.norm(lab(red, "normal") - lab(green, "normal")) > 40
    assert np.linalg.norm(lab(red, "deuteranopia") - lab(green, "deuteranopia")) < LEAST
