"""A cohort small enough to train on in a second: bright squares are tumors."""

import numpy as np
import pandas as pd

from camreader.cohorts.splits import by_image, by_patient, patients_refusal
from camreader.common.storage import write_json, write_table
from camreader.common.study import Study
from camreader.common.tables import Cohort

SIDE = 32


def make_cohort(folder, slices=96, patients=16, labels=None, region="liver", seed=0):
    """Write cohort, card and pixels under `folder`; returns the Study. labels: (slices,) of 0/1."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(slices) % 2) if labels is None else np.asarray(labels)
    patient = np.sort(np.arange(slices) % patients)
    hu = rng.normal(40, 15, (slices, SIDE, SIDE))
    places = rng.integers(4, SIDE - 12, (slices, 2))
    for row, (y, x) in enumerate(places):
        hu[row, y : y + 8, x : x + 8] += 160 * label[row]
    frame = _frame(slices, label, patient, region, rng)
    boxes = [f"[[{x}, {y}, {x + 7}, {y + 7}]]" for y, x in places]
    frame["boxes"] = np.where(label == 1, boxes, "[]")
    refused = patients_refusal(frame["patient_id"])
    frame["split_image"] = by_image(slices, 0.25, seed)
    frame["split_patient"] = None if refused else by_patient(frame, 0.25, seed)
    study = Study(str(folder), "small", str(folder / "reports"))
    write_table(frame.assign(official_split=None), study.cohort_table, Cohort)
    np.save(study.pixels, hu.round().astype(np.int16))
    write_json(_card(refused), study.cohort_folder / "cohort.json")
    return study


def _frame(slices, label, patient, region, rng):
    key = (label == 1) & (rng.random(slices) < 0.6)
    names = [f"{p:06d}" for p in patient]
    return pd.DataFrame(
        {
            "slice_id": [f"{p}_01_01_{i:03d}" for i, p in enumerate(names)],
            "patient_id": names,
            "study_id": names,
            "series_id": names,
            "slice_index": pd.array(range(slices), "Int64"),
            "image_path": "x.png",
            "label": label.astype(int),
            "label_source": np.where(key, "key_slice", "phantom_truth"),
            "truth": pd.array(label, "Int64"),
            "region": region,
            "boxes": "[]",
            "width": SIDE,
            "height": SIDE,
            "spacing_mm": 0.7,
            "distance_mm": np.where(key, 0.0, 15.0),
            "diameter_mm": np.where(label == 1, rng.uniform(8, 40, slices), np.nan),
            "contrast_hu": np.where(label == 1, rng.uniform(20, 200, slices), np.nan),
            "cysts": pd.array(rng.integers(0, 2, slices), "Int64"),
        }
    )


def _card(refused):
    return {
        "name": "small",
        "title": "Small: squares on noise",
        "synthetic": True,
        "label_rule": "made up",
        "image_size": SIDE,
        "refusals": {"sound": refused} if refused else {},
        "contamination": {"share": 0.0, "low": 0.0, "high": 0.0, "n": 1, "source": "known"},
    }
