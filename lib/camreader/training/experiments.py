"""The study's runs: how each is trained, on which slices with which labels, and when it stops.

The paper's protocol splits slices at random and looks at the test set to decide when to stop; the
sound one keeps patients apart, stops on a validation set and looks at the test set once. A run is
called <protocol>-<run>; its folder adds the seed.

Tested in tests/training/test_train.py, as the runs that these plans and settings describe.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from camreader.training.description import NO_OWN, Description

NEAR_MM = 10.0  # a neighbour is at least this far from every key slice


class Until(StrEnum):
    """What a training aims at."""

    TRAIN_ERROR = "train error"  # the paper's first and second run
    TEST_ACCURACY = "test accuracy"  # the paper's final run, asked at the end of each draw
    VALIDATION = "validation"  # early stopping on the validation loss
    EPOCHS = "epochs"  # nothing but the end of its schedule


class Ended(StrEnum):
    """Why a training ended."""

    TARGET = "target reached"
    NO_BETTER = "validation loss no longer improves"
    PLANNED = "planned epochs done"
    BUDGET = "budget spent, target not reached"
    USED = "used as it is, not trained here"


@dataclass(frozen=True)
class Settings:
    """How to train; the same for every run and every set of images."""

    architecture: str = "generic"  # or "resnet18"
    epochs: int = 45  # passes over the training slices, per draw of a split
    least_steps: int = 1000  # more passes where these are fewer steps: small cohorts
    most_steps: int = 30_000  # fewer passes where these are more steps: large cohorts
    extensions: int = 2  # times that a network which still underfits goes on, half as long again
    batch_size: int = 32  # smaller on small cohorts
    learning_rate: float = 3e-3  # peak
    weight_decay: float = 0.02
    dropout: float = 0.1
    boxes: float = 1.0  # weight of the boxes as a second target, where there are any; 0: none
    clip: float = 1.0  # largest norm of a step's gradient
    flip_vertical: bool = False  # mirror training images top to bottom, too
    target_error: float = 0.05  # the paper's first and second run: training error
    target_accuracy: float = 0.95  # the paper's final run: accuracy on the test set
    resamples: int = 3  # the paper's final run: at most this many draws of the 80/20 split
    patience: float = 0.4  # the sound run: share of its epochs without a better validation loss
    precision: str = "auto"  # bfloat16 where the hardware has it; or "float32", "bfloat16"
    own: Description = NO_OWN  # somebody's own network, instead of `architecture`


@dataclass(frozen=True)
class Plan:
    """What one run trains on and when it stops."""

    split: str  # the cohort's column: split_image (by slice) or split_patient
    stop: Until
    augment: bool = True
    start: str = ""  # goes on from the weights of this run
    region: str = ""  # only slices of this region
    window: str = "soft tissue"
    labels: str = ""  # label experiment: "truth" or "neighbour"; empty: the cohort's own labels
    why: str = ""

    @property
    def compared(self) -> bool:
        """Whether its network is compared with others of the label experiment: all are trained
        for the same schedule, however well they learn.
        """
        return bool(self.labels)


MAIN = ("paper-first", "paper-second", "paper-final", "sound-final")
REGIONS = ("lung-final", "lung-sound", "liver-final", "liver-sound")
LEAKAGE = (
    "leakage-slices_truth",
    "leakage-slices_neighbour",
    "leakage-patients_truth",
    "leakage-patients_neighbour",
)
PLANS = {
    "paper-first": Plan(
        "split_image",
        Until.TRAIN_ERROR,
        augment=False,
        why="images as they are, until the training error is 5 %",
    ),
    "paper-second": Plan(
        "split_image",
        Until.TRAIN_ERROR,
        start="paper-first",
        why="goes on with augmented images, until the training error is 5 % again",
    ),
    "paper-final": Plan(
        "split_image",
        Until.TEST_ACCURACY,
        why="split redrawn and network retrained until the TEST set reaches 95 %",
    ),
    "sound-final": Plan(
        "split_patient",
        Until.VALIDATION,
        why="patients kept apart, stopped on validation, test set looked at once",
    ),
}
PLANS |= {
    f"{region}-{run}": Plan(split, Until.EPOCHS, region=region, window=region, why=f"{region} only")
    for region in ("lung", "liver")
    for run, split in (("final", "split_image"), ("sound", "split_patient"))
}
PLANS |= {
    f"leakage-{unit}_{rule}": Plan(split, Until.EPOCHS, labels=rule, why="leakage and labels")
    for unit, split in (("slices", "split_image"), ("patients", "split_patient"))
    for rule in ("truth", "neighbour")
}


YOURS = {"sound": "yours-final", "paper": "yours_slices-final"}  # of notebook 09, by protocol
PLANS |= {
    YOURS["sound"]: Plan("split_patient", Until.VALIDATION, why="notebook 09, patients kept apart"),
    YOURS["paper"]: Plan("split_image", Until.EPOCHS, why="notebook 09, slices split at random"),
}


def yours(refusals: Mapping[str, str]) -> str:
    """The run of notebook 09: patients kept apart, unless the cohort's card refuses that."""
    return YOURS["paper" if "sound" in refusals else "sound"]


def chosen(frame: pd.DataFrame, plan: Plan) -> np.ndarray:
    """Row numbers of the cohort's slices that the plan is about."""
    keep = np.ones(len(frame), bool)
    if plan.region:
        keep &= frame["region"].eq(plan.region).to_numpy()
    if plan.labels:
        keep &= plays_both_parts(frame)
    return np.flatnonzero(keep)


def plays_both_parts(frame: pd.DataFrame) -> np.ndarray:
    """Rows (n,) bool that either label rule can use: truth known, and key slice or neighbour."""
    away = frame["distance_mm"].ge(NEAR_MM).fillna(False)
    key = frame["label_source"].eq("key_slice")
    return (frame["truth"].notna() & (key | away)).to_numpy(bool)


def labelled(frame: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The frame with the plan's labels: the cohort's own, the truth, or key slice against rest."""
    if not plan.labels:
        return frame
    key = frame["label_source"].eq("key_slice")
    labels = key if plan.labels == "neighbour" else frame["truth"]
    return frame.assign(label=labels.astype(int))


def part_of_study(name: str) -> tuple[str, str]:
    """(protocol, run) of a run's name."""
    protocol, run = name.split("-", 1)
    return protocol, run
