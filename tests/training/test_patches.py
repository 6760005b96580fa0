"""Close-ups show the lesion, whatever the shape of the slice they are cut from."""

import numpy as np
import pandas as pd
import pytest
import torch

from camreader.training.patches import MOVED, Closeups

SIDE = 64


@pytest.mark.parametrize(("width", "height"), [(512, 512), (512, 256), (200, 600)])
def test_a_close_up_holds_the_lesion(width, height):
    """The lesion, 0.6 down and 0.3 across, is one bright pixel in a slice made square."""
    images = torch.zeros(2, 1, SIDE, SIDE)
    images[0, 0, int(0.6 * SIDE), int(0.3 * SIDE)] = 1
    x, y = 0.3 * width, 0.6 * height
    boxes = [f"[[{x - 4}, {y - 4}, {x + 4}, {y + 4}]]", "[]"]
    frame = pd.DataFrame({"label": [1, 0], "boxes": boxes, "width": width, "height": height})
    cut = Closeups(frame, images, np.arange(2))
    rng = np.random.default_rng(0)
    for _ in range(20):
        pieces, labels = cut.draw(rng)
        found = np.argwhere(pieces[labels == 1][0, 0].numpy() == 1)
        assert len(found) == 1 and pieces[labels == 0].max() == 0
        assert np.abs(found[0] + 0.5 - cut.size / 2).max() <= cut.size / MOVED + 1
