"""A small study whose final runs are networks with random weights, ready to be explained."""

import numpy as np
import pandas as pd
import torch
from slices_fixture import write_deeplesion, write_truth

from camreader.cohorts import cohort, pixels, windows
from camreader.common import storage
from camreader.common.study import Study
from camreader.common.tables import Cohort, Predictions
from camreader.training import runs
from camreader.training.networks import GenericCNN

SIZE = 64
QUICK = ("gradcam", "hirescam", "cam", "saliency", "random", "centre")


def write_run(study, frame, seed, split="split_patient", protocol="sound"):
    """A finished final run of a network with random weights; returns its predictions."""
    torch.manual_seed(seed)
    network = GenericCNN(SIZE).eval()
    images = torch.from_numpy(windows.model_input(np.load(study.pixels), 50, 400))
    with torch.no_grad():
        # Some of each answer, and none so close to the border that rounding decides.
        network.head[-1].bias -= network(images).quantile(0.4)
        logits = network(images).numpy().astype(float)
    table = pd.DataFrame(
        {
            "slice_id": frame["slice_id"],
            "protocol": protocol,
            "run": "final",
            "seed": seed,
            "split": frame[split],
            "logit": logits,
            "probability": 1 / (1 + np.exp(-logits)),
            "predicted": (logits > 0).astype(int),
        }
    )
    record = {"architecture": "generic", "image_size": SIZE, "window": "soft tissue"}
    record |= {"plan": {"split": split}, "train_error": 0.5, "underfits": True}
    where = runs.folder(study, f"{protocol}-final", seed)
    runs.finish(where, network.state_dict(), pd.DataFrame(), table, record)
    return table


def write_study(folder, patients=8, **run):
    """A study of `patients` series whose final runs of seeds 0 and 1 are finished."""
    source = folder / "source"
    write_deeplesion(source, patients)
    write_truth(source, patients)
    study = Study(folder / "data", "sample", folder / "reports")
    frame, card = cohort.load(source, "auto", 10.0, 0, 900, 0.4)
    pixels.ingest(frame, card["source"], study.pixels, SIZE, progress=False)
    storage.write_table(frame, study.cohort_table, Cohort)
    study.save_card(card | {"name": "sample"})
    tables = [write_run(study, frame, seed, **run) for seed in (0, 1)]
    table = pd.concat(tables, ignore_index=True)
    storage.write_table(table, study.runs / "predictions.parquet", Predictions)
    return study
