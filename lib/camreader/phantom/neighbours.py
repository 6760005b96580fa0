"""Slices of the phantom round one that was drawn: the same patient, lesions and scanner.

A patient is drawn from numbers of his own, so that any level of his body can be drawn later;
only the noise is new. Slices that are on disk are read, not drawn again.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from camreader.cohorts.pixels import read_hu
from camreader.common.errors import DataError
from camreader.common.storage import read_json
from camreader.phantom.anatomy import new_patient
from camreader.phantom.tables import STEP_MM
from camreader.phantom.write import (
    IMAGES,
    MASKS,
    REACH_MM,
    Plan,
    _draw_slice,
    _index,
    _measured_lesion,
    _plans,
)


class Body:
    """One patient of the phantom in `folder`, by the name of his series."""

    def __init__(self, folder: str | Path, series: str) -> None:
        card = read_json(Path(folder) / "phantom.json")
        plans = _plans(Path(folder), card["slices"], card["seed"], card["size"])
        self.plan: Plan = next(plan for plan in plans if plan.series == series)
        rng = np.random.default_rng([self.plan.seed, self.plan.number])
        self.patient = new_patient(rng)
        self.z, self.lesions, self.scene = _measured_lesion(self.plan, rng, self.patient)

    @property
    def levels(self) -> range:
        """Numbers of the slices that may be drawn: within REACH_MM of the measured lesion."""
        far, middle = REACH_MM // STEP_MM, _index(self.z)
        return range(middle - far, middle + far + 1)

    def slice(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(HU int16, lesion numbers uint8), both (size, size), of slice number `index`."""
        name = f"{self.plan.series}/{index:03d}.png"
        folder = Path(self.plan.folder)
        if (folder / IMAGES / name).exists():
            return _read(folder, name)
        z = self.z + STEP_MM * (index - _index(self.z))
        rng = np.random.default_rng([self.plan.seed, self.plan.number, 1 + index])
        with tempfile.TemporaryDirectory() as drawn:
            for kind in (IMAGES, MASKS):
                (Path(drawn) / kind / self.plan.series).mkdir(parents=True)
            plan = replace(self.plan, folder=drawn)
            _draw_slice(plan, rng, self.patient, self.lesions, self.scene, z, index)
            return _read(Path(drawn), name)


def _read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    path = folder / MASKS / name
    masks = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if masks is None:
        raise DataError("Lesion mask cannot be read", file=path, expected="an 8-bit grey PNG")
    return read_hu(folder / IMAGES / name), masks
