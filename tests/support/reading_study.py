"""A small made-up study for the tests of a reading: noise for slices, blobs for heat-maps."""

import numpy as np
import pandas as pd

from camreader.session.plan import Plan, choose_cases
from camreader.session.prepare import write_study
from camreader.session.questions import QUESTIONS
from camreader.session.sealed import open_all, open_envelope, read_key, stage_envelope, unpack_map
from camreader.session.stacks import Stack
from camreader.viewer.widget import pack_map

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


def make_study(folder, size=64, questions=QUESTIONS, profile=(), change=None, slices=80, **plan):
    """Write a reading of made-up cases into `folder`; return its Design.

    slices: in the pool of test slices. With marks each tumor has one lesion, a box of its own.
    change(chosen, images) may alter both.
    """
    two_stages = {"cases": 20, "readers": 2, "training_cases": 2, "design": "sequential"}
    plan = Plan(**two_stages | plan)
    chosen, notes = choose_cases(pool(slices // 2, slices // 2), plan)
    rng = np.random.default_rng(plan.seed)
    images = rng.normal(40, 12, (len(chosen), size, size)).astype(np.int16)
    wanted = {stage.map for stage in plan.paradigm.stages.values() if "map" in stage.shows}
    maps = {n: rng.random((len(chosen), 16, 16)).astype(np.float32) for n in sorted(wanted)}
    if plan.marks:
        chosen = chosen.assign(spacing_mm=0.8, lesions=_lesions(chosen["truth"], size, rng))
    if plan.stack and not change:
        deep = rng.normal(40, 12, (len(chosen), 2 * plan.stack + 1, size, size)).astype(np.int16)
        deep[:, plan.stack] = images
        chosen["stack"] = [Stack(own, plan.stack, 2.5) for own in deep]
    if change:
        chosen, images = change(chosen, images)
    card = CARD | {"notes": notes, "profile": list(profile)}
    return write_study(folder, chosen, images, maps, plan, card, questions)


def _lesions(truth, size, rng):
    """A box for each tumor, a quarter of the picture wide."""
    found = []
    for sick in truth:
        x, y = rng.integers(1, size // 2, 2).tolist()
        box = [x, y, x + size // 4, y + size // 4]
        lesion = {"centre": [x + size / 8, y + size / 8, 0], "parts": [{"slice": 0, "box": box}]}
        found.append([lesion] if sick else [])
    return found


def everything(design):
    """{case: its facts and whatever any of its stages shows}."""
    found = open_all(design.folder)
    for case, content in found.items():
        for stage in shown_stages(design):
            content |= stage_content(design, case, stage)
    return found


def shown_stages(design):
    """Names of the stages that show something."""
    return [name for name, stage in design.paradigm.stages.items() if stage.shows]


def stage_content(design, case, stage):
    """What a stage shows of a case, from its envelope."""
    name = stage_envelope(design, case, stage)
    return open_envelope(design.folder, name, read_key(design.folder))


def secrets_of(content):
    """What a stage shows of a case, in every shape it could travel in, as bytes."""
    found = []
    if "cnn_probability" in content:
        found.append(str(content["cnn_probability"]).encode())
    if "map" in content:
        raw, shape = unpack_map(content)
        packed = pack_map(np.frombuffer(raw, np.uint8).reshape(shape) / 255)["data"]
        found += [content["map"].encode(), raw, packed]
    return found
