"""The sentences of notebook 04 say only what the intervals carry."""

import numpy as np
import pandas as pd
import pytest

from camreader.heatmaps import findings


def finding_of(low, high, patients=40):
    """The finding's words where HiResCAM's difference to Grad-CAM has this interval."""
    rows = [
        ("gradcam", 0.5, np.nan, np.nan),
        ("hirescam", 0.6, low, high),
        ("random", 0.0, -0.6, -0.4),
        ("centre", 0.1, -0.5, -0.3),
    ]
    columns = ["method", "hit", "hit_minus_gradcam_low", "hit_minus_gradcam_high"]
    table = pd.DataFrame(rows, columns=columns).assign(
        truth="box", kind="all", n=90, patients=patients
    )
    table["hit_near"] = table["hit"] + 0.2
    for score in ("hit", "hit_near"):
        table[f"{score}_low"] = table[score] - 0.1
        table[f"{score}_high"] = table[score] + 0.1
    return "\n".join(findings.findings(table, faithful_of(low, high, patients)))


def faithful_of(low, high, patients):
    """Faithfulness in which a baseline leads and HiResCAM's difference has this interval."""
    score, rows = (
        "insertion_minus_deletion",
        [
            ("gradcam", 0.2, np.nan, np.nan, 0.1, -0.1, 0.3, 80, 3),
            ("hirescam", 0.3, low, high, np.nan, np.nan, np.nan, 80, 80),
            ("centre", 0.4, 0.1, 0.3, *[np.nan] * 5),
            ("random", 0.1, -0.2, -0.1, *[np.nan] * 5),
        ],
    )
    columns = [score, f"{score}_minus_gradcam_low", f"{score}_minus_gradcam_high"]
    columns += [f"randomised_{x}" for x in ("likeness", "lowest", "highest", "maps", "blank")]
    return pd.DataFrame(rows, columns=["method", *columns]).assign(n=60, patients=patients)


def test_no_baseline_is_called_faithful_and_no_method_without_a_shown_difference():
    shown, not_shown = finding_of(0.02, 0.2), finding_of(-0.1, 0.2)
    order = "60 slices of 40 patients), in order: HiResCAM 0.30, Grad-CAM 0.20. "
    for said in (shown, not_shown):
        assert order + "Baselines: Centre blob 0.40, Random map 0.10" in said
        assert "shown to be above: Random map." in said
    assert "(paired interval of the difference above 0): HiResCAM. Less: none." in shown
    assert "none is called the most faithful" in not_shown and "none is called" not in shown


def test_nothing_is_concluded_from_a_handful_of_patients():
    few, enough = (finding_of(0.02, 0.2, patients) for patients in (5, 6))
    assert "Fewer than 6 patients, so nothing is concluded" in few
    assert few.count("HiResCAM") == 3 and "Worse: none. No difference shown: HiResCAM" in few
    assert "shown to be above: none" in few and "none is called the most faithful" in few
    assert "Better than Grad-CAM (interval of the difference above 0): HiResCAM" in enough
    assert "shown to be above: Random map" in enough


def test_the_finding_names_blank_maps_of_random_weights():
    said = finding_of(-0.1, 0.2)
    assert "Grad-CAM 0.10 (-0.10 to 0.30; 3 of 80 maps blank)" in said
    assert "HiResCAM cannot be compared (80 of 80 maps blank)" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.02, 0.2), ("Better than Grad-CAM", "HiResCAM", "does not localise best")),
        ((-0.1, 0.2), ("No difference shown: HiResCAM", "does not make it the best")),
    ],
)
def test_the_finding_says_only_what_the_intervals_carry(arguments, words):
    said = finding_of(*arguments)
    assert all(word in said for word in words)
    assert "90 lesion slices of 40 patients" in said and "Random map, Centre blob" in said
    assert "at most 1/16 of the slice's side away in 70 %" in said
