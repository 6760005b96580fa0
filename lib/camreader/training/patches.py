"""Close-ups: pieces of slices round annotated boxes, and as many from slices without a tumor.

On a whole slice a tumor is one part in two hundred, and a network that is told no more than "it
is somewhere here" stays at chance for thousands of steps. On a close-up it fills a quarter. So
every training begins with a few cheap epochs of close-ups (of its training slices only) and goes
on with whole slices. The paper says nothing of such a stage; DeepLesion's boxes allow it.
"""

import numpy as np
import torch

from camreader.common.tables import parse_boxes

SHARE = 4  # a close-up is this part of the slice, along one side
MOVED = 4  # a tumor lies up to this part of the close-up from its middle


class Closeups:
    """What close-ups can be cut from the slices at `rows`: `found` is False where none can.

    frame: label, boxes, width and height (of the full image), n rows; images: float32 (n, 1, S, S).
    """

    def __init__(self, frame, images, rows):
        self.images, self.size = images, images.shape[-1] // SHARE
        labels = frame["label"].to_numpy()
        self.tumors = [
            (row, *centre)
            for row in rows[labels[rows] == 1]
            for centre in self._centres(frame.iloc[row])
        ]
        self.free = rows[labels[rows] == 0]
        self.found = bool(self.tumors) and len(self.free) > 0
        self.slices = 2 * len(self.tumors) // SHARE**2  # as much work as so many whole slices

    def _centres(self, row):
        side = self.images.shape[-1]
        down, across = side / row["height"] / 2, side / row["width"] / 2
        boxes = parse_boxes(row["boxes"])
        return [((y1 + y2) * down, (x1 + x2) * across) for x1, y1, x2, y2 in boxes]

    def draw(self, rng):
        """One epoch: images (m, 1, S/4, S/4) and labels (m,), half of them with a tumor, mixed."""
        pieces = [self._cut(*place, rng, moved=True) for place in self.tumors]
        pieces += [self._cut(*self._free_place(rng), rng) for _ in self.tumors]
        labels = torch.arange(len(pieces)) < len(self.tumors)
        order = torch.as_tensor(rng.permutation(len(pieces)))
        return _flipped(torch.stack(pieces)[order], rng), labels.float()[order]

    def _free_place(self, rng):
        """(row, y, x) of a place on a slice without a tumor, in the rectangle round the body."""
        row = int(rng.choice(self.free))
        body = self.images[row, 0].numpy() > 0  # not lung, which a window may turn as black as air
        sides = (np.flatnonzero(body.any(axis)) for axis in (1, 0))
        return row, *(rng.uniform(s[0], s[-1] + 1) if len(s) else 0.0 for s in sides)

    def _cut(self, row, y, x, rng, moved=False):
        shift = rng.uniform(-1, 1, 2) * self.size / MOVED * moved
        last = self.images.shape[-1] - self.size
        top, left = (
            int(np.clip(c + s - self.size / 2, 0, last)) for c, s in zip((y, x), shift, strict=True)
        )
        return self.images[row, :, top : top + self.size, left : left + self.size]


def _flipped(images, rng):
    """Each image flipped or not, along either side."""
    for side in (-1, -2):
        chosen = torch.as_tensor(rng.random(len(images)) < 0.5)
        images[chosen] = images[chosen].flip(side)
    return images
