"""A network of one's own, made to answer as the workbook's does, and tried before anything runs.

Whatever it is (a Python function's, torchvision's, timm's, an exported program), `OwnNetwork` gives
it what it asks for: its size, its channels, its normalisation. It answers with the logit of the
finding, or with two: of everything else, and of the finding. Of more than two classes "everything
else" is the log-sum-exp of the others, so that the softmax of the two is the probability of the
finding exactly, and the second is the class's own logit, which heat-maps explain.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from camreader.common import own_code
from camreader.common.errors import DataError, NotApplicable
from camreader.training.description import Description
from camreader.training.explained_layers import choose_layers
from camreader.training.network_files import (
    load_exported,
    put_fitting,
    put_weights,
    read_weights,
)
from camreader.training.outputs import check_outputs, log_odds
from camreader.training.results import check_folder

ALONE = 1e-3  # how far an image's logits may differ when it is asked alone


class OwnNetwork(nn.Module):
    """Somebody's network behind the workbook's door: (N, 1, S, S) in 0..1 -> (N,) or (N, 2) logits.

    answer: place of the finding among its `outputs`, -1 for one logit; layers: names of those to
    explain. `ready` and `restored` set them.
    """

    def __init__(self, network: nn.Module, description: Description) -> None:
        super().__init__()
        self.network, self.description = network, description
        self.outputs, self.answer, self.layers = 1, -1, list(description.layers)
        self.mean: Tensor
        self.std: Tensor
        for name, default in (("mean", 0.0), ("std", 1.0)):
            values = torch.tensor(getattr(description, name) or (default,), dtype=torch.float32)
            self.register_buffer(name, values.view(1, -1, 1, 1), persistent=False)

    @property
    def facts(self) -> dict[str, Any]:
        """What `restored` needs beside the weights: outputs, place of the finding, layers."""
        return {"outputs": self.outputs, "answer": self.answer, "layers": self.layers}

    @property
    def target_layer(self) -> nn.Module | list[nn.Module] | None:
        """What heat-maps explain; None where the network has no layer that knows places."""
        found = [self.network.get_submodule(name) for name in self.layers]
        return found[0] if len(found) == 1 else found or None

    def prepared(self, images: Tensor) -> Tensor:
        """Images (N, 1, S, S) in 0..1 as the network takes them: size, channels, normalisation."""
        size, channels = self.description.input_size, self.description.channels
        if size and images.shape[-2:] != (size, size):
            images = functional.interpolate(
                images, (size, size), mode="bilinear", align_corners=False, antialias=True
            )
        images = (images.expand(-1, channels, -1, -1) - self.mean) / self.std
        return images.flatten(1).unflatten(1, images.shape[1:])  # rows first, as networks expect

    def raw(self, images: Tensor) -> Tensor:
        """The network's own output, one column per class: (N, C)."""
        return check_outputs(self.network(self.prepared(images)), len(images))

    def forward(self, images: Tensor) -> Tensor:
        """One logit (N,), or two (N, 2): of everything else and of the finding."""
        return self.two(self.raw(images))

    def two(self, outputs: Tensor) -> Tensor:
        """Outputs (N, C) as one logit (N,) or two (N, 2)."""
        if outputs.shape[1] == 1:
            return outputs[:, 0]
        place = self.answer
        rest = torch.cat([outputs[:, :place], outputs[:, place + 1 :]], 1)
        others = rest[:, 0] if rest.shape[1] == 1 else rest.logsumexp(1)
        return torch.stack([others, outputs[:, place]], 1)

    def predict_proba(self, images: Tensor) -> Tensor:
        """Probabilities (N,) of the finding."""
        return log_odds(self(images)).sigmoid()


def build(description: Description, outputs: int = 0) -> OwnNetwork:
    """The network described, with its weights unless it is to be trained from random ones.

    outputs: how many it has, where its weights are to come from elsewhere and not from WEIGHTS.
    """
    makers: dict[str, Callable[[Description, int], nn.Module]] = {
        "code": _from_code,
        "torchvision": _from_torchvision,
        "timm": _from_timm,
        "exported": lambda found, _outputs: load_exported(found.target),
    }
    if description.kind == "results":
        words = "Only the results of a network were given, not the network"
        raise NotApplicable(words, expected="NETWORK with code or weights")
    network = makers[description.kind](description, outputs)
    if description.weights and not outputs and description.kind == "code":
        put = put_fitting if description.train == "transfer" else put_weights
        put(network, read_weights(description.weights), description.weights)
    return OwnNetwork(network, description)


def _from_code(description: Description, _outputs: int) -> nn.Module:
    make = own_code.function_of(description.network)
    try:
        network = make()
    except Exception as error:
        words = f"{description.said}() fails: {own_code.said(error)}"
        raise DataError(
            words, expected="a function without arguments that gives a network"
        ) from None
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise DataError(f"{description.said}() gives no network", found=kind, expected="nn.Module")
    return network


def _from_torchvision(description: Description, outputs: int) -> nn.Module:
    from torchvision import models  # slow to import, so only where it is used

    name = description.target
    if name not in models.list_models(module=models):
        raise DataError("torchvision has no such network", found=name, expected="such as resnet18")
    options: dict[str, Any] = {"image_size": description.input_size} if "vit_" in name else {}
    if not description.input_size:
        options = {}

    def make(outputs: int) -> nn.Module:
        network = models.get_model(name, weights=None, num_classes=outputs, **options)
        _adapt_stem(network, description.channels)
        return network

    return make(outputs) if outputs else _of_library(description, make, _summed)


def _from_timm(description: Description, outputs: int) -> nn.Module:
    try:
        import timm
        from timm.models import adapt_input_conv
    except ImportError:
        words = "NETWORK: timm needs the package timm, which is not installed"
        raise DataError(words, expected="pip install timm") from None
    name = description.target
    if name not in timm.list_models():
        raise DataError(
            "timm has no such network", found=name, expected="such as vit_tiny_patch16_224"
        )
    side = description.input_size
    sized: dict[str, Any] = {"img_size": side} if side else {}

    def make(outputs: int) -> nn.Module:
        options: dict[str, Any] = {"in_chans": description.channels, "num_classes": outputs}
        try:
            return timm.create_model(name, **options, **sized)
        except TypeError:  # a convolutional network takes any size and has no such option
            return timm.create_model(name, **options)

    return make(outputs) if outputs else _of_library(description, make, adapt_input_conv)


def _of_library(
    description: Description,
    make: Callable[[int], nn.Module],
    adapt: Callable[[int, Tensor], Tensor],
) -> nn.Module:
    """A library's network; `make` builds it with so many outputs, `adapt` its first weights.

    Weights whose head has other outputs than are asked for keep their body: fine-tuned, the head
    begins anew; used as it is, such a network is refused.
    """
    asked = len(description.outputs)
    if not description.weights:
        return make(asked or 1)
    weights = read_weights(description.weights)
    head = _last_linear(make(7))  # its name, whatever its size
    stored = len(weights[f"{head}.weight"]) if f"{head}.weight" in weights else 0
    fine = description.train == "fine-tune"
    transfer = description.train == "transfer"
    network = make(asked or (1 if fine or transfer or not stored else stored))
    own = network.state_dict()
    stem = next(name for name, value in own.items() if value.ndim == 4)
    if stem in weights and weights[stem].shape[1] != own[stem].shape[1]:
        weights[stem] = adapt(description.channels, weights[stem])
    if transfer:
        put_fitting(network, weights, description.weights)
        return network
    if fine and stored and stored != len(own[f"{head}.weight"]):
        weights |= {name: own[name] for name in own if name.startswith(f"{head}.")}
    put_weights(network, weights, description.weights)
    return network


def _last_linear(network: nn.Module) -> str:
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise DataError("The network has no linear head whose outputs could be chosen")
    return names[-1]


def _adapt_stem(network: nn.Module, channels: int) -> None:
    """Give torchvision's network, made for three channels, a first convolution for `channels`."""
    name, first = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if first.in_channels == channels:
        return
    other = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    network.set_submodule(name, other)


def _summed(channels: int, weight: Tensor) -> Tensor:
    """First weights (K, 3, h, w) for another number of channels, as timm adapts them: their sum."""
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight.sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels


def ready(description: Description, size: int, images: Tensor | None = None) -> OwnNetwork:
    """The network described, tried on one batch and with its layers chosen; DataError in one
    sentence where something does not fit.

    size: side of the cohort's images; images: some of them (N, 1, S, S), N >= 2, else drawn ones.
    """
    description.check()
    network = build(description)
    batch = _drawn(size) if images is None else images[:4]
    outputs = _tried(network, batch)
    network.outputs = outputs.shape[1]
    network.answer = _place_of_answer(description, network.outputs)
    _check_alone(network, batch)
    if description.train != "use":
        _check_training(network, batch)
    choose_layers(network, batch)
    return network


def tried(description: Description, size: int) -> OwnNetwork | None:
    """The network described, if any, tried on drawn images of side `size`; or results looked at.

    DataError, in one sentence, where something does not fit: asked before anything is trained.
    """
    description.check()
    if not description.own:
        return None
    if description.kind == "results":
        check_folder(description.target)
        return None
    return ready(description, size)


def restored(description: Description, facts: dict[str, Any]) -> OwnNetwork:
    """The network of a finished run, whose weights are to be loaded; facts: `OwnNetwork.facts`."""
    network = build(description, facts["outputs"])
    for name, value in facts.items():
        setattr(network, name, value)
    return network


def _drawn(size: int) -> Tensor:
    """Four images (4, 1, S, S) in 0..1: noise, blobs, black and white."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, 1, size, size, generator=generator)
    noise[1] = functional.avg_pool2d(noise[1:], 5, 1, 2)[0]
    plain = torch.stack([torch.zeros(1, size, size), torch.ones(1, size, size)])
    return torch.cat([noise, plain])


def _tried(network: OwnNetwork, images: Tensor) -> Tensor:
    """Outputs (N, C) for a batch in evaluation mode; DataError where there are none to use."""
    network.eval()
    try:
        with torch.enable_grad():
            outputs = network.raw(images.clone().requires_grad_())
    except DataError:
        raise
    except Exception as error:
        shape = tuple(network.prepared(images).shape)
        words = f"The network does not take images of shape {shape}: {own_code.said(error)}"
        raise DataError(
            words, expected="CHANNELS and INPUT_SIZE as the network was made for"
        ) from None
    if not outputs.isfinite().all():
        words = "The network answers with values that are not finite (NaN or infinite)"
        raise DataError(words, found=f"{int((~outputs.isfinite()).sum())} of {outputs.numel()}")
    _check_sums(outputs)
    return outputs.detach()


def _check_sums(outputs: Tensor) -> None:
    """DataError where every row is a distribution: probabilities of a network without gradient."""
    one = outputs.sum(1).detach().sub(1).abs().max() < 1e-4
    if outputs.shape[1] > 1 and (outputs >= 0).all() and one:
        raise DataError(
            "The network's output is probabilities",
            found="every row adds up to 1",
            expected="logits, before the softmax",
        )


def _place_of_answer(description: Description, outputs: int) -> int:
    """Which output is the finding: CLASS by name or number, the second of two; -1 for one logit."""
    names, wanted = list(description.outputs), description.class_
    if names and len(names) != outputs:
        words = "OUTPUTS are not the network's"
        raise DataError(words, found=f"{len(names)} names", expected=f"{outputs} outputs")
    if outputs == 1:
        if wanted not in ("", "0", "1"):
            raise DataError("CLASS is given for a network of one logit", found=wanted)
        return -1
    if not wanted and outputs == 2:
        return 1
    if wanted in names:
        return names.index(wanted)
    if wanted.isdigit() and int(wanted) < outputs:
        return int(wanted)
    known = f"{', '.join(names)} or 0 to {outputs - 1}" if names else f"0 to {outputs - 1}"
    words = "CLASS must say which output is the finding"
    if wanted:
        words = "CLASS is none of the network's outputs"
    raise DataError(words, found=wanted or f"{outputs} outputs", expected=known)


@torch.no_grad()
def _check_alone(network: OwnNetwork, images: Tensor) -> None:
    """DataError where an image is answered otherwise when it is asked alone."""
    together = network.raw(images)
    try:
        alone = torch.cat([network.raw(image[None]) for image in images])
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"The network fails on one image alone: {own_code.said(error)}") from None
    again = network.raw(images)
    reach = ALONE * (1 + together.abs().max())
    if (alone - together).abs().max() > reach or (again - together).abs().max() > reach:
        raise DataError(
            "The network answers an image alone otherwise than in a batch",
            found=f"logits {float((alone - together).abs().max()):.2g} apart",
            expected="evaluation mode: its batch normalisation or dropout still trains",
        )


def _check_training(network: OwnNetwork, images: Tensor) -> None:
    """DataError where the network cannot be trained: no gradient, or none in training mode."""
    trial = copy.deepcopy(network).train()
    wanted = [p for p in trial.parameters() if p.requires_grad]
    if not wanted:
        words = "The network has no weight that can be trained"
        raise DataError(words, expected="TRAIN: use, or parameters that require a gradient")
    try:
        loss = functional.softplus(log_odds(trial(images))).mean()
        loss.backward()
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"The network fails in training mode: {own_code.said(error)}") from None


def untrained(network: OwnNetwork) -> OwnNetwork:
    """The same network with random weights, for sanity checks.

    Drawn by its own initialiser; where it has none (an exported program, or code that loads its
    weights itself), each tensor's values are shuffled.
    """
    fresh = copy.deepcopy(network)
    if network.description.kind != "exported":
        fresh.network = build(network.description, network.outputs).network
    own = dict(network.named_parameters())
    if all(_constant(v) or torch.equal(v, own[k]) for k, v in fresh.named_parameters()):
        with torch.no_grad():
            for value in fresh.parameters():
                value.copy_(value.flatten()[torch.randperm(value.numel())].view_as(value))
    return fresh.eval()


def _constant(values: Tensor) -> bool:
    return bool((values == values.flatten()[0]).all())
