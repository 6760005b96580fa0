"""A convolution, its batch normalisation and its ReLU as one step, where nothing is trained.

In eval mode batch normalisation is a scale and a shift per channel, which the convolution before it
can hold in its own weights (Markus 2018, "Fusing batch normalization and convolution in runtime";
PyTorch: torch.nn.utils.fusion). Most of such a layer's time on a CPU goes into reading and writing
feature maps, so one step instead of three is a seventh less. On a CPU the weights are also brought
into oneDNN's own order once, instead of for every batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lazy_loader

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module
else:
    torch = lazy_loader.load("torch")

Run = tuple[Any, ...]  # a convolution, and what follows it alone: normalisation, ReLU
BLOCKS = ("BasicBlock", "Bottleneck", "ResNet")  # torchvision's: conv1 is followed by bn1, ...
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def folded(model: Module, apart: list[Module]) -> Iterator[None]:
    """The network in eval mode with its runs folded; afterwards each module is as it was.

    Only where no gradient is asked for: elsewhere the modules do what they always did. Modules in
    `apart`, those with hooks, with a `forward` of their own, or used twice stay as they are.
    """
    changed: list[Module] = []
    try:
        if not torch.is_autocast_enabled("cpu"):
            for run in _runs(model, apart):
                changed += run
                _fold(run)
        yield
    finally:
        for module in changed:
            vars(module).pop("forward", None)


def _runs(model: Module, apart: list[Module]) -> list[Run]:
    """Convolutions with what follows each of them, wherever the order of the modules says so."""
    names = Counter(id(m) for _, m in model.named_modules(remove_duplicate=False))
    kept = {id(module) for module in apart} | {n for n, count in names.items() if count > 1}
    found: list[Run] = []
    taken: set[int] = set()
    for first, *followers in _chains(model):
        run = _convolution_run(first, followers, kept)
        if run and id(first) not in taken:
            taken.add(id(first))
            found.append(run)
    return found


def _chains(model: Module) -> Iterator[list[Module]]:
    """Lists of modules that are called one after the other, each on the last one's output."""
    for module in model.modules():
        children = list(module.children())
        if type(module) is torch.nn.Sequential:
            yield from (children[place:] for place in range(len(children)))
        elif type(module).__module__ == "torchvision.models.resnet" and (
            type(module).__name__ in BLOCKS
        ):
            for number in "123":
                if hasattr(module, f"conv{number}"):
                    yield [getattr(module, f"conv{number}"), getattr(module, f"bn{number}")]


def _convolution_run(first: Module, followers: list[Module], kept: set[int]) -> Run:
    """The convolution with its batch normalisation and ReLU, as far as they may be folded."""
    run: Run = ()
    wanted = (
        lambda m: type(m) is torch.nn.Conv2d and _pads_with_zeros(m),
        lambda m: type(m) is torch.nn.BatchNorm2d and m.running_mean is not None,
        lambda m: isinstance(m, torch.nn.ReLU),
    )
    for module, fits in zip([first, *followers[:2]], wanted, strict=False):
        hooked = any(getattr(module, hooks) for hooks in HOOKS)
        if not fits(module) or id(module) in kept or hooked or "forward" in vars(module):
            break
        run += (module,)
    return run if len(run) > 1 else ()


def _pads_with_zeros(convolution: Any) -> bool:
    """Whether a convolution pads with zeros, by numbers."""
    return convolution.padding_mode == "zeros" and isinstance(convolution.padding, tuple)


def _fold(run: Run) -> None:
    """Give the modules of a run their new `forward`."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    convolution, norm = run[:2]
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    with torch.no_grad():
        weight, bias = fuse_conv_bn_weights(convolution.weight, convolution.bias, *statistics)
    step = _step(convolution, weight.detach(), bias.detach(), len(run) > 2)
    convolution.forward = _without_gradient(convolution, step)
    for follower in run[1:]:
        follower.forward = _without_gradient(follower, lambda values: values)


def _without_gradient(module: Module, step: Callable[[Tensor], Tensor]) -> Callable:
    """`step`, or the module's usual work where a gradient is asked for."""
    usual = module.forward
    return lambda values: usual(values) if torch.is_grad_enabled() else step(values)


def _step(convolution: Any, weight: Tensor, bias: Tensor, relu: bool) -> Callable:
    """The convolution of (N, C, h, w) with these weights, and then the ReLU, as a function."""
    where = convolution.padding, convolution.stride, convolution.dilation
    if weight.device.type == "cpu" and weight.dtype == torch.float32 and _onednn():
        pads, strides, dilations = map(list, where)
        operation, groups = torch.ops.mkldnn._convolution_pointwise, convolution.groups
        # its own order of the weights, which it else looks for with every batch
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
            weight.to_mkldnn(), pads, strides, dilations, groups
        )
        after: tuple[Any, ...] = ("relu" if relu else "none", [], "")
        return lambda x: operation(x, packed, bias, pads, strides, dilations, groups, *after)
    weight = weight.contiguous(memory_format=torch.channels_last)
    padding, stride, dilation = where

    def plain(values: Tensor) -> Tensor:
        groups = convolution.groups
        out = torch.nn.functional.conv2d(values, weight, bias, stride, padding, dilation, groups)
        return out.relu_() if relu else out

    return plain


def _onednn() -> bool:
    """Whether this PyTorch has the fused step of oneDNN, which its compiler uses."""
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )
