"""A small made-up study for the tests of a reading: noise for slices, blobs for heat-maps."""

import numpy as np
import pandas as pd

from camreader.session.plan import Plan, choose_cases
from camreader.session.prepare import write_study

CARD = {
    "name": "tiny",
    "title": "Made-up slices for a test",
    "synthetic": True,
    "label_rule": "made up",
    "notes": [],
    "model": "made-up-network 0123456789ab",
    "unit": "HU",
    "window": [50, 400],
}


def pool(tumors=40, free=40, wrong=0.25, patients=40, seed=0):
    """A pool of test slices as `study_design.candidates` gives it."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([1, 0], [tumors, free])
    predicted = np.where(rng.random(len(truth)) < wrong, 1 - truth, truth)
    return pd.DataFrame(
        {
            "slice_id": [f"slice-{n:04d}" for n in range(len(truth))],
            "patient_id": [f"patient-{n % patients:03d}" for n in range(len(truth))],
            "truth": truth,
            "predicted": predicted,
            "probability": np.where(predicted == 1, 0.8311, 0.1722)
            + rng.uniform(0, 0.05, len(truth)),
        }
    )


def make_study(folder, size=64, **plan):
    """Write a reading of made-up cases into `folder`; return its Design."""
    plan = Plan(**{"cases": 20, "readers": 2, "training_cases": 2, **plan})
    chosen, notes = choose_cases(pool(), plan)
    rng = np.random.default_rng(plan.seed)
    images = rng.normal(40, 12, (len(chosen), size, size)).astype(np.int16)
    maps = rng.random((len(chosen), 16, 16)).astype(np.float32)
    return write_study(folder, chosen, images, maps, plan, CARD | {"notes": notes})
