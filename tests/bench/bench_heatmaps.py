"""Maps per second of Grad-CAM: ours, the bare forward pass, captum, grad-cam and torchcam.

One process, the same network, images, threads and allocator for all. The rounds are interleaved,
so that a machine that slows down slows all of them, and each begins with a call that is not
timed; the page quotes medians and ratios. Every peer explains the positive logit and delivers what
ours does: maps (N, S, S) in 0..1. All get the network and the images as PyTorch makes them, in the
usual memory order and with gradients asked for of every weight; the bare forward pass, and captum
once more, are given channels_last, and grad-cam once more a network whose trunk is frozen.
"""

import copy
import gc
import multiprocessing
import os
import statistics
import time
import warnings

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from results import finish

from camreader.heatmaps import gradcam
from camreader.report.workflow import ALLOCATOR
from camreader.training.networks import GenericCNN, GrayscaleResNet18

SLICES, ROUNDS = 341, 7
SIZES = (128, 256)
PEER_BATCH = 32  # of captum, grad-cam and torchcam: the usual size, and their quickest here
WANTED = {"grad-cam": 4.2, "captum": 2.0}  # of the generic network, at both sizes
RESNET_WANTED = {"captum, channels_last": 1.0}
SLOWEST, HELD_MB = 1.1, 20


def finished(raw, size):
    """A peer's raw maps (N, h, w) as maps in 0..1: ReLU, upsampling, division by the maximum."""
    maps = F.interpolate(raw.relu()[:, None], size, mode="bilinear")[:, 0]
    return (maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)).numpy()


def batches(images, length=PEER_BATCH):
    return [images[start : start + length] for start in range(0, len(images), length)]


def ours(model, images):
    return gradcam.grad_cam(model, images, 1)


@torch.no_grad()
def forward(model, images):
    """The floor: the same channels_last batches, forward only, with nothing made of them."""
    like = gradcam.device_of(model)
    step = gradcam.batch_length(images, 64, like)
    return [model(gradcam.channels_last(batch, like)) for batch in batches(images, step)]


def captum(model, images):
    from captum.attr import LayerGradCam

    method = LayerGradCam(model, model.target_layer)
    parts = [method.attribute(batch).detach()[:, 0] for batch in batches(images)]
    return np.concatenate([finished(part, images.shape[2:]) for part in parts])


def grad_cam(model, images):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget

    with GradCAM(model, [model.target_layer]) as method:
        return np.concatenate(
            [method(b, targets=[RawScoresOutputTarget()] * len(b)) for b in batches(images)]
        )


def torchcam(model, images):
    from torchcam.methods import GradCAM

    parts = []
    with GradCAM(model, target_layer=model.target_layer) as method:
        for batch in batches(images):
            scores = model(batch)[:, None]
            parts.append(method(0, scores, normalized=False)[0].detach())
    return np.concatenate([finished(part, images.shape[2:]) for part in parts])


def captum_channels_last(model, images):
    """What a user of captum gains who knows of channels_last: most of our lead over it."""
    return captum(model, gradcam.channels_last(images, images))


def frozen(model):
    """A copy that asks no gradient of the weights before its last convolution.

    grad-cam goes back through all that asks for one; captum, torchcam and ours stop at the layer.
    """
    model = copy.deepcopy(model).requires_grad_(False)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    last.requires_grad_(True)
    return model


METHODS = {
    "ours": ours,
    "bare forward": forward,
    "captum": captum,
    "captum, channels_last": captum_channels_last,
    "grad-cam": grad_cam,
    "grad-cam, frozen trunk": grad_cam,
    "torchcam": torchcam,
}


def seconds(run, model, images):
    run(model, images[:64])
    gc.collect()
    start = time.perf_counter()
    run(model, images)
    return time.perf_counter() - start


def vit_tiny(size=224):
    """A vision transformer of ViT-tiny's size (Touvron et al. 2021: 12 blocks, 3 heads, 192)."""
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    model = VisionTransformer(size, 16, 12, 3, 192, 768, num_classes=2)
    torch.nn.init.normal_(model.heads.head.weight)
    model.target_layer = model.encoder.layers[-1].ln_1
    return model.eval()


def grad_cam_of_tokens(model, images):
    """grad-cam with the reshape of tokens that its manual gives for transformers."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def rows(tokens):
        side = int(tokens.shape[1] ** 0.5)
        return tokens[:, 1:].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)

    with GradCAM(model, [model.target_layer], reshape_transform=rows) as method:
        return np.concatenate(
            [method(b, targets=[ClassifierOutputTarget(1)] * len(b)) for b in batches(images)]
        )


def measure_transformer(images, rounds=3):
    """The same rows of ViT-tiny: ours, the bare forward pass and grad-cam."""
    model, times = vit_tiny(images.shape[-1]), {}
    runs = {"ours": ours, "bare forward": forward, "grad-cam": grad_cam_of_tokens}
    for _ in range(rounds):
        for method, run in runs.items():
            times.setdefault(method, []).append(seconds(run, model, images))
    return rows_of("ViT-tiny", images, times)


def measure(name, model, images, rounds=ROUNDS):
    """One row per method: maps per second (median of interleaved rounds) and ours against it."""
    times = {method: [] for method in METHODS}
    quick = copy.deepcopy(model).to(memory_format=torch.channels_last)
    given = dict.fromkeys(METHODS, model) | {"grad-cam, frozen trunk": frozen(model)}
    given |= {"bare forward": quick, "captum, channels_last": quick}
    for _ in range(rounds):
        for method, run in METHODS.items():
            times[method].append(seconds(run, given[method], images))
    return rows_of(name, images, times)


def rows_of(name, images, times):
    """Rows of the table from {method: seconds of each round}."""
    middle = {method: statistics.median(values) for method, values in times.items()}
    return [
        {
            "network": name,
            "size": images.shape[-1],
            "method": method,
            "maps_per_second": round(len(images) / middle[method], 1),
            "times_ours": round(middle[method] / middle["ours"], 2),
        }
        for method in times
    ]


def network_and_images(size):
    """The generic CNN with its first weights, and as many images as the paper tested on."""
    torch.manual_seed(0)
    return GenericCNN(size).eval(), torch.rand(SLICES, 1, size, size)


def held_mb(size):
    """MB of resident memory beyond the result at the peak of a call, sampled every millisecond."""
    import threading

    model, images = network_and_images(size)
    process, peak, stop = psutil.Process(), [0], threading.Event()

    def watch():
        while not stop.wait(0.001):
            peak[0] = max(peak[0], process.memory_info().rss)

    gradcam.grad_cam(model, images[:64], 1)
    gc.collect()
    before, thread = process.memory_info().rss, threading.Thread(target=watch)
    thread.start()
    maps = gradcam.grad_cam(model, images, 1)
    stop.set()
    thread.join()
    after = process.memory_info().rss
    return {
        "size": images.shape[-1],
        "held_after_mb": round(max(0, after - before - maps.nbytes) / 1e6, 1),
        "peak_mb": round(max(0, peak[0] - before - maps.nbytes) / 1e6, 1),
        "result_mb": round(maps.nbytes / 1e6, 1),
    }


def agreement(model, images):
    """Largest difference of a peer's maps from ours, given the same layer and class."""
    mine = ours(model, images)
    return {name: float(np.abs(METHODS[name](model, images) - mine).max()) for name in ("captum",)}


def least_times(rows, network):
    """{method: how many times ours is as quick, at the size where it is least} of one network."""
    of_it = [row for row in rows if row["network"] == network]
    return {
        name: min(row["times_ours"] for row in of_it if row["method"] == name) for name in METHODS
    }


def main():
    """Measure and print."""
    warnings.simplefilter("ignore")
    rows = []
    fresh = multiprocessing.get_context("spawn")  # memory is told apart in a process of its own
    with fresh.Pool(1, maxtasksperchild=1) as pool:
        memory = pool.map(held_mb, SIZES, chunksize=1)
    for size in SIZES:
        model, images = network_and_images(size)
        rows += measure("generic", model, images)
    closest = agreement(model, images[:32])
    resnet = GrayscaleResNet18().eval()
    rows += measure("ResNet-18", resnet, torch.rand(64, 1, 224, 224))
    rows += measure_transformer(torch.rand(64, 3, 224, 224))
    line = "{network:9} {size:3} {method:22} {maps_per_second:8} maps/s  x{times_ours}"
    for row in rows:
        print(line.format(**row))
    least, of_resnet = (least_times(rows, name) for name in ("generic", "ResNet-18"))
    held = max(row["held_after_mb"] for row in memory)
    within = all(least[name] >= limit for name, limit in WANTED.items())
    within = within and all(of_resnet[name] >= limit for name, limit in RESNET_WANTED.items())
    within = within and 1 / least["bare forward"] <= SLOWEST and held <= HELD_MB
    tuned = all(os.environ.get(name) == value for name, value in ALLOCATOR.items())
    summary = {
        "slices": SLICES,
        "threads": torch.get_num_threads(),
        "allocator": "tuned as in make report" if tuned else "default",
        "maps per second": rows,
        "least times faster than": least,
        "least times faster than, ResNet-18": of_resnet,
        "time over the bare forward pass": round(1 / least["bare forward"], 3),
        "memory beyond the result": memory,
        "largest difference from captum": closest["captum"],
        "within_limit": within,
    }
    print({name: value for name, value in summary.items() if name != "maps per second"})
    return summary


if __name__ == "__main__":
    finish("heatmaps", main())
