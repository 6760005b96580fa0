"""What the whole of DeepLesion would take on a cluster, from rates measured on this machine.

Measured, on one core: slices ingested, slices trained on, heat-maps by three methods, and the
memory that a training needs as its cohort grows. Counted: jobs, hours, memory and disk for 928,000
slices.
Run on a node of your own cluster, the page shows its rates and its hours.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from results import finish
from tqdm import tqdm

from camreader.cohorts import cohort, pixels
from camreader.common import storage
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.heatmaps import methods
from camreader.phantom import write
from camreader.training import experiments, networks, runs
from camreader.training.steps import planned_epochs
from camreader.training.trainer import Fit

ROOT = Path(__file__).parents[2]
SLICES = 928_000  # all of DeepLesion: its key slices and what lies within 30 mm of them
IMAGES_GB = 220
KEY_SLICES = 32_120
SLOW_SLICES = 50  # that integrated gradients and occlusion see, in notebook 04
TEST_SHARE = 0.2
SEEDS = 5
# Shares of the slices that a run is about: regions are known for a part, the truth for 43,295.
SHARES = {
    "main": 1.0,
    "lung": 2394 / KEY_SLICES,
    "liver": 1284 / KEY_SLICES,
    "leakage": 43_295 / SLICES,
}
ROW_BYTES = 128 * 128 * 2  # int16 pixels, and float16 heat-maps
SIZES = (2_000, 8_000, 16_000)  # slices, for the memory


def best(action, repeats=3):
    """Seconds of the quickest of `repeats` calls."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def ingest_rate(folder):
    """Slices a second through decoding, checking and shrinking, one thread."""
    write.write_phantom(folder / "source", 120, workers=1, progress=False)
    frame, card = cohort.load(folder / "source", "auto", 10.0, 0, 120, 0.2)
    target = folder / "pixels.npy"

    def once():
        for path in folder.glob("*pixels.npy*"):
            path.unlink()
        pixels.ingest(frame, card["source"], target, 128, workers=1, progress=False)

    return len(frame) / best(once), frame, card


def training_rate():
    """Slices trained on per second, augmented, watched part included, one thread."""
    rng = np.random.default_rng(0)
    count = 1280
    frame = pd.DataFrame({"slice_id": np.arange(count).astype(str)})
    frame["label"] = rng.integers(0, 2, count)
    frame["split_patient"] = np.repeat(["train", "validation", "test"], [1024, 128, 128])
    images = torch.from_numpy(rng.random((count, 1, 128, 128), np.float32))
    fit = Fit(frame, images, experiments.PLANS["sound-final"], experiments.Settings(), 0)
    return 1024 / best(lambda: fit.run_epoch(tqdm(disable=True)))


def map_rate(method, count):
    """Maps of "tumor" per second by one method, 128 x 128, one thread."""
    model, images = networks.GenericCNN(), torch.rand(count, 1, 128, 128)
    return count / best(lambda: methods.compute(method, model, images, 1))


def memory_rows(folder, frame, card):
    """Peak memory of a training that has loaded its slices, for several sizes of cohort."""
    rows = []
    for count in SIZES:
        study = Study(str(folder / str(count)), "c")
        many = pd.concat([frame] * (count // len(frame) + 1), ignore_index=True)[:count]
        many["slice_id"] = [f"{i:06d}" for i in range(count)]
        storage.write_table(many, study.cohort_table, Cohort)
        study.save_card(card)
        np.save(study.pixels, np.zeros((count, 128, 128), np.int16))
        command = [sys.executable, __file__, "--load", study.data]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append({"slices": count, "peak_mb": int(done.stdout)})
    return rows


def load(data):
    """Load a cohort as a training does and print this process's peak memory in MB."""
    from camreader.training import train

    chosen = experiments.PLANS["sound-final"]
    frame, images = train.load_slices(Study(data, "c"), chosen)
    runs.fingerprint({}, frame[["slice_id", "label", chosen.split]], images)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def measure():
    """The rates of this machine, one core."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        ingested, *found = ingest_rate(Path(name))
        memory = memory_rows(Path(name), *found)
    slope = np.polyfit([r["slices"] for r in memory], [r["peak_mb"] for r in memory], 1)
    rates = {
        "ingest, slices per second and core": ingested,
        "training, slices per second": training_rate(),
        "heat-maps per second": map_rate("gradcam", 341),
        "maps by Guided Grad-CAM per second": map_rate("guided_gradcam", 100),
        "maps by occlusion per second": map_rate("occlusion", 10),
        "memory of a training, MB": float(slope[1]),
        "and per 1,000 slices, MB": float(1000 * slope[0]),
    }
    return rates, memory


def training_hours(name, per_second):
    """Hours of one run at most: every epoch of every draw, extended as often as it may be."""
    settings, plan = experiments.Settings(), experiments.PLANS[name]
    draws = settings.resamples if plan.stop is experiments.Until.TEST_ACCURACY else 1
    share = SHARES.get(name.split("-")[0], 1.0) * (1 - TEST_SHARE)
    steps = int(share * SLICES / settings.batch_size)
    epochs = planned_epochs(steps, settings.epochs, settings.least_steps, settings.most_steps)
    epochs += settings.extensions * max(1, epochs // 2)
    return share * SLICES * epochs * draws / per_second / 3600


def plan(rates, seeds=SEEDS):
    """One row per kind of job: how many, hours each at most, in all, cores, memory in GB."""
    ingest, train, maps, guided, occlusion, base, per_thousand = rates.values()
    rows = [{"job": "ingest", "jobs": 1, "hours each": SLICES / ingest / 16 / 3600, "cores": 16}]
    rows[0]["memory_gb"] = 4.0
    for title, names in (
        ("training, whole cohort", experiments.MAIN),
        ("training, label experiment", experiments.LEAKAGE),
        ("training, lung and liver", experiments.REGIONS),
    ):
        hours = [training_hours(name, train) for name in names]
        share = max(SHARES.get(name.split("-")[0], 1.0) for name in names)
        row = {"job": title, "jobs": len(names) * seeds, "hours each": max(hours), "cores": 1}
        row["memory_gb"] = (base + per_thousand * share * SLICES / 1000) / 1024
        rows.append(row | {"core_hours": sum(hours) * seeds})
    hours = SLICES * TEST_SHARE / maps / 3600
    memory = (base + per_thousand * TEST_SHARE * SLICES / 1000) / 1024
    rows.append({"job": "heat-maps of the test slices", "jobs": 1, "hours each": hours})
    rows[-1] |= {"cores": 1, "memory_gb": memory}
    hours = max(KEY_SLICES * TEST_SHARE / guided, SLOW_SLICES / occlusion) / 3600
    rows.append({"job": "comparison maps", "jobs": len(methods.jobs()), "hours each": hours})
    rows[-1] |= {"cores": 1, "memory_gb": memory}
    for row in rows:
        row.setdefault("core_hours", row["jobs"] * row["hours each"] * row["cores"])
    return rows


def disk():
    """GB on disk, by what lies there."""
    tested = SLICES * TEST_SHARE
    return {
        "images, unpacked (the zips, as much again, can go part by part)": IMAGES_GB,
        "pixels.npy": SLICES * ROW_BYTES / 1e9,
        "Grad-CAM maps of the test slices": tested * ROW_BYTES / 1e9,
    }


def main():
    """Measure, count and print."""
    rates, memory = measure()
    rows = plan(rates)
    result = {
        "title": f"Plan for the full data set: {SLICES:,} slices, {SEEDS} seeds",
        "about": "Hours are at most: every epoch of every draw, on one core of this machine unless "
        "the row says otherwise, from the rates below, which were measured in this run.",
        "rates": rates,
        "plan": rows,
        "jobs": sum(row["jobs"] for row in rows),
        "core hours": sum(row["core_hours"] for row in rows),
        "disk, GB": disk(),
        "memory of a training by size of the cohort": memory,
    }
    for row in rows:
        print("{job:30} {jobs:4} x {hours each:7.1f} h, {memory_gb:6.1f} GB".format(**row))
    for name, value in rates.items():
        print(f"{name:40} {value:10.1f}")
    return result


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if sys.argv[1:2] == ["--load"]:
        load(sys.argv[2])
    else:
        finish("cluster", main())
