"""Heat-map methods of one's own, named in the configuration: `METHODS: my_cam.py:my_cam`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from camreader.common import own_code
from camreader.common.errors import DataError, StudyError
from camreader.heatmaps import gradcam, methods

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module
else:
    torch = lazy_loader.load("torch")


def add(text: str) -> list[str]:
    """Enter somebody's functions, "my_cam.py:my_cam", several separated by commas; their names.

    Each is `(model, images, classes) -> (N, h, w)`, of any values: the positive part is the
    evidence for the class. It is named as the function is, and titled by its docstring's first
    line. DataError, in one sentence, where a file, a function or what it gives does not fit.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        function = own_code.function_of(part)
        name = own_code.place(part)[1]
        if name in methods.METHODS and not methods.METHODS[name].own:
            raise DataError("METHODS: a method of this name exists", found=name)
        said = (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        methods.register(said[:40] or name, name=name, own=True)(_own(part, function))
        found.append(name)
    for name in methods.baselines():  # they stay at the end of every table and figure
        methods.METHODS[name] = methods.METHODS.pop(name)
    return found


def _own(text: str, function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """Somebody's function as a method: its maps checked, sized and scaled."""

    def explain(model: Module, images: Tensor, classes: Tensor) -> np.ndarray:
        if not len(images):
            return np.zeros((0, *images.shape[2:]), np.float32)
        batch = gradcam.channels_last(images, gradcam.device_of(model))
        with gradcam.evaluating(model), torch.inference_mode(False), torch.enable_grad():
            try:
                raw = function(model, batch, classes.to(batch.device))
            except StudyError:
                raise
            except Exception as error:
                raise DataError(f"METHODS: {text} fails: {own_code.said(error)}") from None
        maps = raw.detach() if torch.is_tensor(raw) else torch.as_tensor(np.asarray(raw))
        if maps.ndim != 3 or len(maps) != len(images) or min(maps.shape[1:]) < 1:
            expected = f"({len(images)}, height, width)"
            words = f"METHODS: {text} gives no map for each image"
            raise DataError(words, found=tuple(maps.shape), expected=expected)
        never = torch.zeros(len(maps), dtype=torch.bool, device=maps.device)
        return gradcam.scale(maps.float(), images.shape[2:], never)[0].cpu().numpy()

    explain.__doc__ = f"Own method {text}"
    return explain
