"""What a network may answer with, and what is made of it: one logit, or one per class.

Used wherever a network is asked, so that a map, a tuple or probabilities are refused in words
instead of being read as if they were logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camreader.common.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

EXPECTED = "one logit per image or one per class: (N,) or (N, C)"
ADAPTED = "; or adapters.Adapted(network, {!r}), if that is what it means"
# What may stand between the last operation of a network and its output without changing values.
SHAPING = (
    *("View", "Squeeze", "Unsqueeze", "Select", "Slice", "Reshape", "UnsafeView", "T", "Permute"),
    *("Transpose", "Index", "Alias", "Clone", "ToCopy", "Expand", "Stack", "Cat"),
)
ENDINGS = ("Sigmoid", "Softmax", "SafeSoftmax")


def check_outputs(output: Any, count: int) -> Tensor:
    """The output of a network for `count` images as logits (N, C); DataError for anything else."""
    shape = getattr(output, "shape", None)
    if shape is None or not hasattr(output, "grad_fn"):
        kind = f"a {type(output).__name__}"
        if isinstance(output, dict | tuple | list):
            kind += f" of {len(output)}"
        adapter = ADAPTED.format("part:0" if not isinstance(output, dict) else "part:logits")
        expected = f"{EXPECTED}{adapter}"
        raise DataError("The network's output is no tensor", found=kind, expected=expected)
    if len(shape) not in (1, 2) or shape[0] != count or not shape[-1]:
        raise DataError(
            f"The network's output for {count} image(s) is not one answer each",
            found=tuple(shape),
            expected=EXPECTED + ADAPTED.format("mean") * (len(shape) > 2),
        )
    if gives_probabilities(output):
        raise DataError(
            "The network's output is probabilities",
            found="a sigmoid or softmax at its end",
            expected=f"{EXPECTED}, before the sigmoid or softmax{ADAPTED.format('log_odds')}",
        )
    return output.reshape(count, -1)


def gives_probabilities(output: Tensor) -> bool:
    """Whether the last operation behind a tensor with a gradient is a sigmoid or softmax."""
    step = output.grad_fn
    while step is not None:
        name = type(step).__name__.partition("Backward")[0]
        if name in ENDINGS:
            return True
        if name not in SHAPING or not step.next_functions:
            return False
        step = step.next_functions[0][0]
    return False


def log_odds(output: Tensor) -> Tensor:
    """Log-odds (N,) of the finding: a network's one logit, or of two the second minus the first.

    sigmoid(log_odds) is the sigmoid of one logit and the softmax of two.
    """
    return output if output.ndim == 1 else output[:, 1] - output[:, 0]


def places(values: Tensor) -> tuple[int, int] | None:
    """(rows, columns) that an output knows, None below 2 x 2.

    Of feature maps (N, K, h, w) or (N, h, w, K), or of tokens (N, T, D) in rows of a square.
    """
    if values.ndim == 3:
        height = width = int(values.shape[1] ** 0.5)
    else:
        height, width = values.shape[1:3] if _channels_last(values) else values.shape[2:]
    return (int(height), int(width)) if min(height, width) > 1 else None


def _channels_last(values: Tensor) -> bool:
    """Whether 4-D values are (N, h, w, K), as a Swin transformer's are, and not (N, K, h, w)."""
    return values.shape[1] == values.shape[2] != values.shape[3]


def width_of(values: Tensor) -> int:
    """How many numbers an output has for each place."""
    if values.ndim == 3 or _channels_last(values):
        return values.shape[-1]
    return values.shape[1]


def tokens_before(values: Tensor) -> int:
    """Tokens (of the class, registers) before those of places: what the largest square leaves."""
    count = values.shape[1]
    return count - int(count**0.5) ** 2


def spatial(values: Tensor) -> Tensor:
    """An output as feature maps (N, K, h, w): tokens (N, T, D) are put back in their rows."""
    if values.ndim == 4:
        return values.permute(0, 3, 1, 2) if _channels_last(values) else values
    side = int(values.shape[1] ** 0.5)
    kept = values[:, tokens_before(values) :]
    return kept.transpose(1, 2).unflatten(2, (side, side))
