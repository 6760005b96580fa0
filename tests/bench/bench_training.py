"""Training steps per second: as trained, and the same step on a batch that already lies ready.

The ratio says whether training waits for its input (95 % or above: it does not). Every variant
runs in a process of its own, with and without the allocator's setting, in turns; the page quotes
medians. On a machine with a GPU the same is measured there and recorded with its name.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

from results import finish

from camreader.report.workflow import ALLOCATOR

SLICES, STEPS, ROUNDS, TURNS = 512, 4, 5, 2
WANTED = 0.95


def make_fit(size):
    """A training on random slices of size x size pixels: the speed does not depend on them."""
    import numpy as np
    import pandas as pd
    import torch

    from camreader.training.experiments import PLANS, Settings
    from camreader.training.trainer import Fit

    torch.manual_seed(0)
    frame = pd.DataFrame({"label": np.arange(SLICES) % 2, "split_image": "train"})
    frame = frame.assign(slice_id=frame.index.astype(str))
    fit = Fit(frame, torch.rand(SLICES, 1, size, size), PLANS["paper-final"], Settings(), seed=0)
    fit.stepper.train()
    return fit


def rounds(fit):
    """Seconds per step, as trained and on a ready batch, in turns."""
    import torch

    rows = torch.arange(fit.batch)
    ready = fit.images[rows].to(fit.device).contiguous(memory_format=torch.channels_last)
    labels = fit.labels[rows].to(fit.device)
    ways = {
        "as trained": lambda: fit.train_step(torch.randperm(SLICES)[: fit.batch]),
        "batch ready": lambda: fit.learn(ready, labels),
    }
    times = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, step in ways.items():
            began = time.perf_counter()
            for _ in range(STEPS):
                step()  # ends by reading the loss, so a GPU is waited for
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - began) / STEPS)
    return times


def measure(size, keep):
    """One process' numbers as JSON on stdout."""
    import torch

    from camreader.training.compute import keep_buffers

    if keep:
        keep_buffers()
    fit = make_fit(size)
    times = rounds(fit)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cuda = fit.device.type == "cuda"
    found = {name: statistics.median(values) for name, values in times.items()}
    pairs = zip(*times.values(), strict=True)
    found |= {"ratio": statistics.median(ready / trained for trained, ready in pairs)}
    found |= {"batch": fit.batch, "peak_mb": peak, "threads": torch.get_num_threads()}
    found |= {"device": torch.cuda.get_device_name() if cuda else "CPU"}
    if cuda:
        found["gpu_peak_mb"] = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps(found))


def in_process(size, tuned, **more):
    """`measure` in a process that starts with, or without, the allocator's setting."""
    environment = {k: v for k, v in os.environ.items() if k not in ALLOCATOR} | more
    environment |= ALLOCATOR if tuned else {}
    command = [sys.executable, __file__, str(size), str(int(tuned))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def row(size, **more):
    """Medians over the turns, with and without the allocator's setting."""
    tuned, plain = [], []
    for _ in range(TURNS):
        tuned.append(in_process(size, True, **more))
        plain.append(in_process(size, False, **more))
    middle = {
        name: statistics.median(found[name] for found in tuned)
        for name in ("as trained", "batch ready", "ratio", "peak_mb")
    }
    untuned = statistics.median(found["as trained"] for found in plain)
    batch = tuned[0]["batch"]
    return {
        "device": tuned[0]["device"],
        "threads": tuned[0]["threads"],
        "image_size": size,
        "images_per_second": batch / middle["as trained"],
        "step_rate_against_ready_batch": middle["ratio"],
        "peak_mb": middle["peak_mb"],
        "peak_mb_without_allocator_setting": statistics.median(f["peak_mb"] for f in plain),
        "allocator_gain": untuned / middle["as trained"],
    } | {name: value for name, value in tuned[0].items() if name == "gpu_peak_mb"}


def main():
    """Measure and print."""
    import torch

    rows = [row(size, CUDA_VISIBLE_DEVICES="") for size in (128, 256)]
    rows += [row(size) for size in (128, 256) if torch.cuda.is_available()]
    for line in rows:
        print(
            "{device}, {image_size}: {images_per_second:.0f} images/s, "
            "{step_rate_against_ready_batch:.1%} of a ready batch, peak {peak_mb:.0f} MB, "
            "allocator gain {allocator_gain:.2f}".format(**line)
        )
    slowest = min(line["step_rate_against_ready_batch"] for line in rows)
    gpu = "measured" if torch.cuda.is_available() else "no GPU on this machine, not measured"
    result = {"training": rows, "wanted": WANTED, "slowest": slowest, "GPU": gpu}
    result["within_limit"] = slowest >= WANTED
    return result


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(int(sys.argv[1]), sys.argv[2] == "1")
    else:
        finish("training", main())
