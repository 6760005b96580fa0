"""The study's runs: how each is trained, on which slices with which labels, and when it stops.

The paper's protocol splits slices at random and looks at the test set to decide when to stop; the
sound one keeps patients apart, stops on a validation set and looks at the test set once. A run is
called <protocol>-<run>; its folder adds the seed.
"""

from dataclasses import dataclass

import numpy as np

NEAR_MM = 10.0  # a neighbour is at least this far from every key slice


@dataclass(frozen=True)
class Settings:
    """How to train; the same for every run."""

    architecture: str = "generic"  # or "resnet18"
    closeups: int = 50  # epochs of close-ups of lesions before the whole slices; 0: none
    epochs: int = 5  # of whole slices, at most, per draw; the schedule is laid out over them
    batch_size: int = 32  # smaller on small cohorts
    learning_rate: float = 3e-3  # peak
    slices_rate: float = 5e-4  # peak on whole slices where close-ups, or another run, came first
    weight_decay: float = 0.02
    dropout: float = 0.1
    clip: float = 1.0  # largest norm of a step's gradient
    target_error: float = 0.05  # the paper's first and second run: training error
    target_accuracy: float = 0.95  # the paper's final run: accuracy on the test set
    resamples: int = 3  # the paper's final run: at most this many draws of the 80/20 split
    patience: int = 4  # the sound run: epochs without a better validation loss


@dataclass(frozen=True)
class Plan:
    """What one run trains on and when it stops."""

    split: str  # the cohort's column: split_image (by slice) or split_patient
    stop: str  # at a "train error", a "test accuracy", by "validation", or after all "epochs"
    augment: bool = True
    start: str = ""  # goes on from the weights of this run
    region: str = ""  # only slices of this region
    window: str = "soft tissue"
    labels: str = ""  # label experiment: "truth" or "neighbour"; empty: the cohort's own labels
    why: str = ""


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
        "train error",
        augment=False,
        why="images as they are, until the training error is 5 %",
    ),
    "paper-second": Plan(
        "split_image",
        "train error",
        start="paper-first",
        why="goes on with augmented images, until the training error is 5 % again",
    ),
    "paper-final": Plan(
        "split_image",
        "test accuracy",
        why="split redrawn and network retrained until the TEST set reaches the target",
    ),
    "sound-final": Plan(
        "split_patient",
        "validation",
        why="patients kept apart, stopped on validation, test set looked at once",
    ),
}
PLANS |= {
    f"{region}-{run}": Plan(split, "epochs", region=region, window=region, why=f"{region} only")
    for region in ("lung", "liver")
    for run, split in (("final", "split_image"), ("sound", "split_patient"))
}
PLANS |= {
    f"leakage-{unit}_{rule}": Plan(split, "epochs", labels=rule, why="leakage and labels")
    for unit, split in (("slices", "split_image"), ("patients", "split_patient"))
    for rule in ("truth", "neighbour")
}


# Methods held against Grad-CAM whose maps are worth a job of their own (captum's).
COMPARED = ("saliency", "guided_gradcam", "integrated_gradients", "occlusion")


def chosen(frame, plan):
    """Row numbers of the cohort's slices that the plan is about."""
    keep = np.ones(len(frame), bool)
    if plan.region:
        keep &= frame["region"].eq(plan.region).to_numpy()
    if plan.labels:
        keep &= plays_both_parts(frame)
    return np.flatnonzero(keep)


def plays_both_parts(frame):
    """Rows (n,) bool that either label rule can use: truth known, and key slice or neighbour."""
    away = frame["distance_mm"].ge(NEAR_MM).fillna(False)
    key = frame["label_source"].eq("key_slice")
    return (frame["truth"].notna() & (key | away)).to_numpy(bool)


def labelled(frame, plan):
    """The frame with the plan's labels: the cohort's own, the truth, or key slice against rest."""
    if not plan.labels:
        return frame
    key = frame["label_source"].eq("key_slice")
    labels = key if plan.labels == "neighbour" else frame["truth"]
    return frame.assign(label=labels.astype(int))


def part_of_study(name):
    """(protocol, run) of a run's name."""
    protocol, run = name.split("-", 1)
    return protocol, run
