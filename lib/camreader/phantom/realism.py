"""How much the phantom is like real CT: the same measurements on both.

Real numbers were measured on DeepLesion: noise on its slices, sizes, contrast and inner texture on
its measured lesions. How often a neighbour hides a lesion is in `labels`.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from camreader.common.errors import DataError

REAL_NOISE_SD = (7.7, 11.5, 15.6)  # HU: 5th percentile, median, 95th
REAL_DIAMETER_MM = (7.0, 19.0, 60.0)  # long axis: 5th percentile, median, 95th
REAL_LIVER_HU = (-52.0, -35.0, -23.0)  # lesion minus surrounding ring: quartiles
# Long axis, quartiles of the 162 rows of DL_info.csv of patients 1 and 89-100.
REAL_DIAMETER_QUARTILES = (11.8, 18.9, 26.9)
REAL_INNER_SD = 15.0  # HU: texture of a lesion, noise taken off; at most so much in most of them
BLOCK = 16  # pixels a side of the blocks that noise is measured in


def flat_blocks(hu: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """The quietest soft-tissue blocks of a slice, each less its plane: (n, block, block) HU.

    Blocks lie wholly between -50 and 200 HU. Structure only adds variance, so the quietest quarter
    is nearest to pure noise; its SD is a little below the noise's, alike for real and synthetic.
    """
    rows, columns = (n // block * block for n in hu.shape)
    tiles: np.ndarray = hu[:rows, :columns].reshape(rows // block, block, -1, block).swapaxes(1, 2)
    tiles = tiles.reshape(-1, block, block).astype(float)
    soft = (tiles.min((1, 2)) > -50) & (tiles.max((1, 2)) < 200)
    tiles = tiles[soft]
    y, x = np.mgrid[:block, :block] - (block - 1) / 2
    for plane in (np.ones_like(x), x, y):
        weight = (tiles * plane).sum((1, 2)) / (plane**2).sum()
        tiles = tiles - weight[:, None, None] * plane
    order = np.argsort(tiles.std((1, 2)))
    return tiles[order[: max(1, len(order) // 4)]] if len(order) else tiles


def noise_sd(hu: np.ndarray) -> float:
    """Noise of one slice in HU: median SD of its flat blocks; NaN where it has none."""
    blocks = flat_blocks(hu)
    return float(np.median(blocks.std((1, 2)))) if len(blocks) else float("nan")


def noise_spectrum(slices: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Radial noise power of HU slices: (f in cycles per pixel, power with mean 1)."""
    blocks = np.concatenate([flat_blocks(hu) for hu in slices])
    taper, f = np.hanning(BLOCK), np.fft.fftfreq(BLOCK)
    power = (np.abs(np.fft.fft2(blocks * taper[:, None] * taper)) ** 2).mean(0)
    ring = np.rint(np.hypot(f[:, None], f) * BLOCK).astype(int)
    counts = np.arange(2, BLOCK // 2 + 1)  # the plane took the lowest frequencies away
    radial = np.array([power[ring == k].mean() for k in counts])
    return counts / BLOCK, radial / radial.mean()


def read_truth(folder: Path | str) -> list[pd.DataFrame]:
    """The phantom's slice_truth.csv and lesion_truth.csv; DataError where missing or older."""
    tables = []
    for name in ("slice_truth.csv", "lesion_truth.csv"):
        path = Path(folder) / name
        if not path.exists():
            raise DataError("The phantom's truth is missing; `make report` writes it", file=path)
        tables.append(pd.read_csv(path, keep_default_na=name != "slice_truth.csv"))
    if "inner_sd_hu" not in tables[1]:
        words = "The phantom was drawn by an older version; `make report` draws it anew"
        raise DataError(words, file=path, column="inner_sd_hu", found="no such column")
    return tables


def comparison(folder: Path | str, sds: ArrayLike) -> pd.DataFrame:
    """Quantiles of the phantom beside the real ones: quantity, quantiles, phantom, real, n.

    The inner texture of real lesions is known as an upper limit for most of them.
    """
    lesions = read_truth(folder)[1]
    measured = lesions[lesions.key == 1]
    liver, size = measured[measured.region == "liver"], "long axis of measured lesions, mm"
    rows = []
    for name, values, quantiles, real in (
        ("noise SD in the body, HU", sds, (5, 50, 95), REAL_NOISE_SD),
        (size, measured.diameter_mm, (5, 50, 95), REAL_DIAMETER_MM),
        (size, measured.diameter_mm, (25, 75), REAL_DIAMETER_QUARTILES[::2]),
        ("liver lesion minus ring, HU", liver.contrast_hu, (25, 50, 75), REAL_LIVER_HU),
        ("texture inside a lesion, HU", measured.inner_sd_hu, (75,), (REAL_INNER_SD,)),
    ):
        values = np.asarray(values, float)
        values = values[np.isfinite(values)]
        found = np.percentile(values, quantiles).round(1) if len(values) else [float("nan")] * 3
        for q, one, other in zip(quantiles, found, real, strict=False):
            rows.append((name, f"{q} %", one, other, len(values)))
    return pd.DataFrame(rows, columns=["quantity", "quantile", "phantom", "real", "n"])
