"""Networks whose output is no logit, made into ones whose output is: each way by its name.

What an output means is the owner's to say, so none of these is applied by itself: a network that
answers with a map, a tuple or probabilities is refused until one of them is chosen.
"""

from typing import Any

from torch import Tensor, nn

from camreader.common.errors import DataError

NAMES = ("part:<name or number>", "mean", "largest", "log_odds")
LEAST = 1e-6  # probabilities nearer to 0 or 1 have no finite log-odds in single precision


class Adapted(nn.Module):
    """A network with one way of reading its output; `take` is one of NAMES.

    part:logits, part:0: that entry of a tuple, a dict or a named output. mean, largest: of each
    class over a map (N, C, ...). log_odds: of probabilities (N,) or (N, C), as a sigmoid or a
    softmax gives them. The layer to explain stays the network's own `target_layer`.
    """

    def __init__(self, network: nn.Module, take: str) -> None:
        super().__init__()
        if not (take in NAMES[1:] or take.startswith("part:")):
            raise DataError("Unknown adapter", found=take, expected=", ".join(NAMES))
        self.network, self.take = network, take
        if hasattr(network, "target_layer"):
            self.target_layer = network.target_layer

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,) or (N, C) of images (N, C, H, W)."""
        output = self.network(images)
        if self.take.startswith("part:"):
            return self._part(output, self.take.removeprefix("part:"))
        if not isinstance(output, Tensor):
            raise DataError(
                "The adapter takes a tensor", found=type(output).__name__, expected=NAMES[0]
            )
        if self.take == "log_odds":
            return _log_odds(output)
        if output.ndim < 3:
            raise DataError("The adapter takes a map", found=tuple(output.shape))
        over = output.flatten(2)
        return over.mean(2) if self.take == "mean" else over.amax(2)

    @staticmethod
    def _part(output: Any, name: str) -> Tensor:
        if isinstance(output, dict):
            known = [str(key) for key in output]
            found = {str(key): value for key, value in output.items()}.get(name)
        else:
            fields = [*getattr(output, "_fields", ())]
            parts = list(output) if isinstance(output, list | tuple) else []
            known = fields or [str(number) for number in range(len(parts))]
            place = fields.index(name) if name in fields else int(name) if name.isdigit() else -1
            found = parts[place] if 0 <= place < len(parts) else None
        if found is None:
            raise DataError("The output has no such part", found=name, expected=", ".join(known))
        return found


def _log_odds(probabilities: Tensor) -> Tensor:
    """Logits whose sigmoid (N,), (N, 1) or softmax (N, C) gives these probabilities back.

    Of a softmax these are log-probabilities: what all classes' logits share is lost, so a heat-map
    explains the class against the others.
    """
    if bool(((probabilities < 0) | (probabilities > 1)).any()):
        raise DataError("The adapter takes probabilities", expected="values from 0 to 1")
    inside = probabilities.clamp(LEAST, 1 - LEAST)
    return inside.logit() if inside.ndim == 1 or inside.shape[1] == 1 else inside.log()
