"""Does the recipe learn from anybody's images? Held against plain networks on the same split.

`python tests/bench/bench_learning.py FOLDER ...`: class folders, or a table of image and label
(labels.csv or table.csv). Without folders: the real sets beside the project; where there are none
it skips. The network that the study would explain is trained with its defaults; then a plain CNN
with batch normalisation and a ResNet-18 from scratch learn from the same training slices and are
tested on the same test slices. Limits: at most 2 points below the better of the two, and learned
(`learned.judge`). The first is looked at on one split: its interval says how much that tells.
"""

import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from results import finish
from torch import nn

from camreader.cohorts import cohort, pixels
from camreader.common import storage
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.statistics import intervals
from camreader.training import compute, learned, runs, train, trainer
from camreader.training.experiments import PLANS
from camreader.training.networks import build
from camreader.training.steps import augment, warm_cosine

REAL = Path(__file__).parents[3] / "shared" / "real-sets"
WITHIN = 0.02  # of the better baseline's accuracy
EPOCHS = {"plain CNN with batch norm": 30, "ResNet-18 from scratch": 15}
BATCH = 16


def plain_cnn():
    """Four convolutions with batch norm, ReLU and halving, a mean, one logit."""
    blocks = []
    for before, after in ((1, 16), (16, 32), (32, 64), (64, 128)):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        blocks += [nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 1))


def baseline(name, images, labels, rows, seed=0):
    """A network of that name trained on the slices at `rows`, mirrored left to right."""
    torch.manual_seed(seed)
    network = plain_cnn() if name.startswith("plain") else build("resnet18", images.shape[-1])
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    rng, steps = np.random.default_rng(seed), len(rows) // BATCH
    for epoch in range(EPOCHS[name]):
        order = rng.permutation(rows)
        for step in range(steps):
            part = order[step * BATCH : (step + 1) * BATCH]
            done = (epoch + (step + 1) / steps) / EPOCHS[name]
            optimizer.param_groups[0]["lr"] = 1e-3 * warm_cosine(done)
            batch = augment(images[part], rng).contiguous(memory_format=torch.channels_last)
            with compute.mixed_precision(torch.device("cpu")):
                logits = network(batch)
            logits = logits.float().flatten()
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def cohort_of(folder, room):
    """The Study of a folder of labelled images, ingested into the folder `room`."""
    folder, study = Path(folder), Study(str(room / "data"), "set", str(room / "reports"))
    if not (folder / "labels.csv").exists() and (folder / "table.csv").exists():
        folder = _renamed(folder, room / "own")
    frame, card = cohort.load(folder)
    card |= {"name": "set", "image_size": 128}
    frame, card = pixels.bring_in(frame, card, study.cohort_folder / "source")
    pixels.ingest(frame, card["source"], study.pixels, 128, progress=False)
    storage.write_table(frame, study.cohort_table, Cohort)
    study.save_card(card)
    return study


def _renamed(folder, target):
    """The same images under a labels.csv of image and label alone."""
    target.mkdir(parents=True)
    with open(folder / "table.csv") as table, open(target / "labels.csv", "w") as labels:
        rows = [(row["image"], row["label"]) for row in csv.DictReader(table)]
        csv.writer(labels).writerows([("image", "label"), *rows])
    for part in {Path(image).parts[0] for image, _label in rows}:
        (target / part).symlink_to((folder / part).resolve())
    return target


def explained_run(study):
    """Name of the run the study explains, trained with its defaults, and the seconds it took."""
    began = time.perf_counter()
    name = "paper-final" if "sound" in study.card["refusals"] else "sound-final"
    records = train.train_all(study, [name])
    runs.collect(study, records)
    return name, records.iloc[0], time.perf_counter() - began


def rivals(study, name):
    """Which test slices of the run `name` each network gets right: {network: bool (n,)}."""
    frame, images = train.load_slices(study, PLANS[name])
    told = storage.read_table(runs.folder(study, name, 0) / "predictions.parquet")
    split, label = told["split"].to_numpy(), frame["label"].to_numpy()
    test, rows = np.flatnonzero(split == "test"), np.flatnonzero(split == "train")
    right = {"explained": (told["predicted"].to_numpy() == label)[test]}
    labels = torch.tensor(label, dtype=torch.float32)
    for kind in EPOCHS:
        logits = trainer.predict(Flat(baseline(kind, images, labels, rows)), images, test)
        right[kind] = (logits.numpy() > 0) == (label[test] > 0)
    return right


def measure(folder):
    """One set: the accuracy of all networks on the test slices of the network explained."""
    with tempfile.TemporaryDirectory() as room:
        study = cohort_of(folder, Path(room))
        name, record, seconds = explained_run(study)
        judged = learned.worth_explaining(study, name)
        right = rivals(study, name)
    best = max(EPOCHS, key=lambda kind: right[kind].mean())
    behind, _how = intervals.paired_difference(right["explained"], right[best])
    row = {"set": Path(folder).name, "tested": len(right["explained"]), "run": name}
    row |= {kind: str(intervals.wilson(hits.sum(), len(hits))) for kind, hits in right.items()}
    row |= {"minus the better baseline": behind.value, "low": behind.low, "high": behind.high}
    row |= {"ended": runs.ending(record), "seconds": seconds, "verdict": judged.words}
    row["within_limit"] = bool(judged.worth and behind.value >= -WITHIN - 1e-9)
    return row


class Flat(nn.Module):
    """A network's logits (n, 1) or (n,) as (n,)."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).flatten()


def main(folders=()):
    """Measure every folder of the command line (default: the real sets) and print what came out."""
    folders = folders or sys.argv[1:]
    torch.set_num_threads(1)
    compute.keep_buffers()
    rows = []
    for folder in folders or sorted(path for path in REAL.glob("*") if path.is_dir()):
        try:
            rows.append(measure(folder))
        except DataError as error:
            raise SystemExit(f"{folder}: {error}") from None
        for name, value in rows[-1].items():
            print(f"{name:28} {value}", flush=True)
        print()
    if not rows:
        print(f"skipped: no folder given and none in {REAL}")
    return {
        "title": "Learning from real images: the network explained against plain ones",
        "sets": rows,
        "wanted": f"at most {WITHIN:.0%} below the better baseline, above the majority class",
        "within_limit": all(row["within_limit"] for row in rows),
    }


if __name__ == "__main__":
    finish("learning", main())
