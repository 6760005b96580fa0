"""Where simulated readers point: marks that follow from their answers, for a rehearsal.

A reader who believes in a tumor marks the lesion the surer he is; other places look suspicious
too. Places stay the same over the stages of a reading, confidences move with the answers.
"""

from typing import Any

import numpy as np
import pandas as pd

from camreader.session.marks import LEVELS, check_mode

NOISE = 0.5  # SD of a lesion's strength about the reader's belief in the case, in SDs of belief
SEEN = -0.4  # strength from which on a place is marked
CUTS = (0.2, 0.7, 1.2, 1.7)  # strength needed for a confidence of 2, 3, 4, 5
FALSE = (0.6, -0.7, 0.6)  # suspicious places elsewhere: mean number; mean and SD of their strength
AIM = 0.15  # SD of a mark about the middle of its lesion, in lengths of its box
MADE_UP = {"width": 512, "height": 512, "spacing_mm": 0.8}
BODY = (0.25, 0.75)  # of the picture's sides, where other places are


def made_up_lesions(cases: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Cases with pictures that nobody drew: width, height, spacing_mm and, where truth is 1, one
    lesion of 12 to 50 mm."""
    rng = np.random.default_rng([seed, 31])
    found = []
    for truth in cases["truth"]:
        x, y = rng.uniform(150, 360, 2)
        half = rng.uniform(12, 50) / MADE_UP["spacing_mm"] / 2
        box = [round(float(v), 1) for v in (x - half, y - half, x + half, y + half)]
        lesion = {"centre": [round(x, 1), round(y, 1), 0], "parts": [{"slice": 0, "box": box}]}
        found.append([lesion] if truth == 1 else [])
    return cases.assign(**MADE_UP, lesions=found)


def place_marks(
    frame: pd.DataFrame, cases: pd.DataFrame, mode: str, seed: int = 0, within_mm: float = 0.0
) -> pd.DataFrame:
    """Simulated readings with columns `marks` and `places`, as `simulate.replay` stores them.

    frame: from `simulate_readings`. cases: DataFrame[slice_id, lesions, width, height,
    spacing_mm], as `lesions.of_cases` gives the lesions. mode, within_mm: as of a Plan.
    """
    check_mode(mode, within_mm)
    known = {row["slice_id"]: row for row in cases.to_dict("records")}
    draws: dict[tuple, list[dict]] = {}
    marks, places = [], []
    for row in frame.to_dict("records"):
        case = known[row["case"]]
        key = row["reader"], row["case"]
        if key not in draws:
            draws[key] = _candidates(case, np.random.default_rng([seed, 32, len(draws)]))
        belief = (row["score"] - 5.5) / 2.25  # scores 1 to 10, about as wide as beliefs
        marks.append(_placed(draws[key], belief, case, mode))
        spacing = None if pd.isna(case["spacing_mm"]) else float(case["spacing_mm"])
        told = {"mode": mode, "within_mm": within_mm, "lesions": case["lesions"]}
        places.append(told | {"spacing_mm": spacing})
    return frame.assign(marks=marks, places=places)


def _candidates(case: dict[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
    """What one reader may mark in a case: {"x", "y", "strength", "lesion"}, strengths without the
    belief; the last one is a guess for whoever sees nothing."""
    found = []
    for lesion in case["lesions"]:
        x1, y1, x2, y2 = max((p["box"] for p in lesion["parts"]), key=lambda b: b[2] - b[0])
        aim = rng.normal(0, AIM, 2) * (x2 - x1, y2 - y1)
        x, y = np.array(lesion["centre"][:2]) + aim
        found.append({"x": x, "y": y, "strength": rng.normal(0, NOISE), "lesion": True})
    size = np.array([case["width"], case["height"]])
    for number in range(1 + rng.poisson(FALSE[0])):
        x, y = rng.uniform(*BODY, 2) * size
        strength = -np.inf if number == 0 else rng.normal(*FALSE[1:])
        found.append({"x": x, "y": y, "strength": strength, "lesion": False})
    return found


def _placed(
    candidates: list[dict[str, Any]], belief: float, case: dict[str, Any], mode: str
) -> list[dict[str, Any]]:
    """The marks of one answer; without a lesion a belief is in the other places."""
    healthy = not case["lesions"]
    strengths = [
        one["strength"] + belief
        if one["lesion"] or (healthy and np.isfinite(one["strength"]))
        else one["strength"]
        for one in candidates
    ]
    order = sorted(range(len(candidates)), key=lambda k: -strengths[k])
    kept = order[:1] if mode == "lroc" else [k for k in order if strengths[k] > SEEN]
    return [_mark(candidates[k], strengths[k], case) for k in kept]


def _mark(one: dict[str, Any], strength: float, case: dict[str, Any]) -> dict[str, Any]:
    x = round(float(np.clip(one["x"], 0, case["width"] - 1)), 2)
    y = round(float(np.clip(one["y"], 0, case["height"] - 1)), 2)
    confidence = min(LEVELS, 1 + int(np.searchsorted(CUTS, strength)))
    mark = {"x": x, "y": y, "slice": 0, "confidence": confidence, "milliseconds": 0}
    if not pd.isna(case["spacing_mm"]):
        mark |= {f"{n}_mm": round(mark[n] * float(case["spacing_mm"]), 4) for n in ("x", "y")}
    return mark
