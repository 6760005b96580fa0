"""Do heat-maps tell what the network looks at? Deletion and insertion, randomised weights, seeds.

Petsiuk et al. 2018 (RISE, BMVC): take the hottest pixels away and the score should fall at once;
bring them back first and it should rise at once. Adebayo et al. 2018 (NeurIPS): a map that does
not change when the weights are replaced by random ones does not explain the network.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import nn
from tqdm.auto import tqdm

from camreader.heatmaps import gradcam
from camreader.heatmaps import methods as registry
from camreader.training.folding import folded
from camreader.training.outputs import check_outputs

STEPS = 16  # a pixel share of 0, 1/16, ... 1
DRAWS = 5  # random networks that a trained one is compared with
DRAWN = ["method", "step", "layer", "draw", "likeness"]
BLUR = 1 / 12  # SD of the blur that stands for "taken away", as a share of the image


def deletion_insertion(
    model: nn.Module,
    images: torch.Tensor,
    maps: np.ndarray,
    classes: Any,
    steps: int = STEPS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of the explained class while pixels go, or come, hottest first.

    images (N, C, S, S), maps (N, S, S), classes (N,). A pixel taken away is replaced by the
    blurred slice, which holds no small lesion but is still anatomy. Ties are broken by a seeded
    random order, so a blank map is a random one. Returns (share (steps + 1,), deletion and
    insertion (N, steps + 1)).
    """
    images = torch.as_tensor(images)
    blurred = blur(images)
    ranks = torch.from_numpy(hottest_first(maps))[:, None]
    share = np.linspace(0, 1, steps + 1)
    gone, come = (np.zeros((len(images), steps + 1), np.float32) for _ in range(2))
    ends = [probability(model, pictures, classes) for pictures in (images, blurred)]
    gone[:, 0], gone[:, -1] = come[:, -1], come[:, 0] = ends
    for k, limit in enumerate(share[1:-1], 1):
        taken = ranks < limit
        gone[:, k] = probability(model, torch.where(taken, blurred, images), classes)
        come[:, k] = probability(model, torch.where(taken, images, blurred), classes)
    return share, gone, come


def curve_table(share: np.ndarray, deletion: np.ndarray, insertion: np.ndarray) -> pd.DataFrame:
    """Area under each slice's two curves (mean of the probability), one row per slice."""
    table = {"deletion": _area(share, deletion), "insertion": _area(share, insertion)}
    frame = pd.DataFrame(table)
    frame["insertion_minus_deletion"] = frame["insertion"] - frame["deletion"]
    return frame


def hottest_first(maps: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rank of every pixel in 0..1 by falling heat, (N, S, S) float32; ties in random order."""
    maps = np.asarray(maps, np.float32)
    flat = maps.reshape(len(maps), -1)
    shuffle = np.random.default_rng(seed).permutation(flat.shape[1])
    order = shuffle[np.argsort(-flat[:, shuffle], axis=1, kind="stable")]
    ranks = np.empty(flat.shape, np.float32)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1], dtype=np.float32)[None], axis=1)
    return (ranks / max(1, flat.shape[1])).reshape(maps.shape)


def blur(images: torch.Tensor) -> torch.Tensor:
    """Images (N, C, S, S) blurred by a Gaussian whose SD is BLUR of their size."""
    sigma = BLUR * images.shape[-1]
    blurred = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=2)
    return torch.from_numpy(blurred)


@torch.no_grad()
def probability(
    model: nn.Module, images: torch.Tensor, classes: Any, batch_size: int = 16
) -> np.ndarray:
    """Probability (N,) of `classes` under the network: sigmoid of one logit, else softmax."""
    classes = gradcam.check_classes(classes, len(images))
    like, out = gradcam.device_of(model), []
    with gradcam.evaluating(model), folded(model, []):
        for rows in gradcam.slices(len(images), batch_size):
            batch = gradcam.channels_last(images[rows], like)
            logits = check_outputs(model(batch), len(batch))
            scores = gradcam.class_scores(logits, classes[rows].to(like.device))
            one = logits.shape[1] == 1
            out.append(scores.sigmoid() if one else (scores - logits.logsumexp(1)).exp())
    return torch.cat(out).float().cpu().numpy() if out else np.zeros(0, np.float32)


def randomisation(
    model: nn.Module | None,
    untrained: Callable[[], nn.Module],
    images: torch.Tensor,
    classes: Any,
    methods: Iterable[str],
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Likeness of each method's maps to the trained network's while weights are randomised.

    Block after block, from the output backwards (cascading, Adebayo et al. 2018, section 3.1), a
    copy of the network takes the weights of one that was never trained: `untrained()` gives it,
    drawn by the architecture's own initialiser, `draws` times. One row per method and step:
    `layer`, `step`, mean rank correlation `likeness` with its `lowest` and `highest` draw, the
    number of `maps` compared and how many of them are `blank`. A blank map is like nothing and
    unlike nothing: it is left out of the mean. No images or no network, no rows.
    """
    if model is None or not len(images):
        return _over_draws(pd.DataFrame(columns=DRAWN))
    methods, rows = list(methods), []
    true = {name: registry.compute(name, model, images, classes) for name in methods}
    for draw in tqdm(range(draws), desc="random networks", leave=False):
        for step, layer, broken in _cascade(model, untrained, seed + draw):
            for name in methods:
                maps = registry.compute(name, broken, images, classes) if step else true[name]
                alike = likeness(true[name], maps)
                about = {"method": name, "step": step, "layer": layer, "draw": draw}
                rows += [about | {"likeness": value} for value in alike]
    return _over_draws(pd.DataFrame(rows, columns=DRAWN))


def _cascade(
    model: nn.Module, untrained: Callable[[], nn.Module], seed: int
) -> Iterator[tuple[int, str, nn.Module]]:
    """(step, block randomised last, network) from the trained network to a random one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = untrained()
    broken = copy.deepcopy(model)
    yield 0, "none", broken
    own = [name for name, m in model.named_modules() if any(True for _ in m.parameters(False))]
    blocks = dict.fromkeys(".".join(name.split(".")[:2]) for name in own)
    for step, block in enumerate(reversed(blocks), 1):
        broken.get_submodule(block).load_state_dict(fresh.get_submodule(block).state_dict())
        yield step, block, broken


def _over_draws(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of every slice and draw -> one per method and step."""
    groups = frame.groupby(["method", "step", "layer"], sort=False)["likeness"]
    draws = frame.groupby(["method", "step", "layer", "draw"], sort=False)["likeness"].mean()
    between = draws.groupby(["method", "step", "layer"], sort=False)
    table = {"likeness": groups.mean(), "lowest": between.min(), "highest": between.max()}
    table |= {"maps": groups.size(), "blank": groups.size() - groups.count()}
    return pd.DataFrame(table).reset_index()


def likeness(first: np.ndarray, second: np.ndarray, size: int = 32) -> np.ndarray:
    """Spearman rank correlation (N,) of maps (N, S, S), averaged to `size` x `size` first.

    NaN where one of the two is constant (blank): it has no order to compare.
    """
    one, two = (_ranks(maps, size) for maps in (first, second))
    below = np.sqrt((one**2).sum(1) * (two**2).sum(1))
    return np.divide((one * two).sum(1), below, out=np.full(len(one), np.nan), where=below > 0)


def _ranks(maps: np.ndarray, size: int) -> np.ndarray:
    """Centred ranks (N, size * size) of shrunken maps."""
    small = nn.functional.adaptive_avg_pool2d(torch.as_tensor(np.asarray(maps, np.float32)), size)
    ranks = rankdata(small.flatten(1).numpy(), axis=1)
    return ranks - ranks.mean(1, keepdims=True)


def _area(share: np.ndarray, curves: np.ndarray) -> np.ndarray:
    return np.trapezoid(curves, share, axis=1)
