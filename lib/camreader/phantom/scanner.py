"""What the scanner does to an anatomy: pixels, blur, noise, field of view, 16-bit file.

Shapes are drawn in millimetres (x to the patient's left, y to the back) on a canvas twice as fine
as the slice, then averaged down, so that edges are partial-volume edges.

Tested in tests/phantom/test_realism.py, against the noise measured on real slices.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from camreader.cohorts.image_files import SYNTHETIC

AIR, OUTSIDE = -1000.0, -1024.0  # HU of room air, and of pixels the scanner did not see
RUN_LENGTHS = 3  # zlib's Z_RLE: for noisy pixels smaller and faster than its default
FINE = 2  # canvas pixels per slice pixel
BEND_GRID = 40  # displacements are worked out on a grid of so many points a side
NOISE_SD, NOISE_SPREAD = 12.0, 0.22  # median HU inside the body; log-normal spread over patients
BLUR_MM = 0.6  # point spread, standard deviation
HU = np.arange(-1024, 3072, dtype=np.float32)
GRAIN_HU = np.interp(  # texture by HU of the tissue: lung, fat, organs, spongy bone
    HU, [-1000, -900, -700, -130, -60, 20, 120, 250, 900], [0, 16, 16, 7, 10, 5, 3, 35, 60]
).astype(np.float32)
SPECK = 9.0  # how much the lung's finest vessels stand out of its texture
STRAND_HU, PLANE_HU = 55, 75  # lines in fat, lines of fat in muscle, at their strongest
DOSE = np.interp(HU, [-1000, -850, -200, 0], [0.55, 0.8, 0.95, 1]).astype(np.float32)
CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 20, endpoint=False)) for f in (np.cos, np.sin)], 1)


class Canvas:
    """A slice being drawn; `pixel_mm`, `centre` (mm) and `turn` (radians) place the patient."""

    def __init__(
        self, pixel_mm: float, centre: ArrayLike = (0.0, 0.0), size: int = 512, turn: float = 0.0
    ) -> None:
        self.size, self.pixel_mm = size, pixel_mm
        self.corner = np.asarray(centre, float) - size * pixel_mm / 2
        cosine, sine = np.cos(turn), np.sin(turn)
        self.turn = np.array([[cosine, sine], [-sine, cosine]])
        self.image = Image.new("F", (size * FINE, size * FINE), AIR)
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self, points: ArrayLike, fine: int = 1) -> list[float]:
        """Points (n, 2) in mm -> flat list x, y, x, y, ... in pixels, `fine` to a slice pixel."""
        scaled = (np.asarray(points) @ self.turn - self.corner) * (fine / self.pixel_mm)
        return (scaled - 0.5).ravel().tolist()

    def fill(self, points: Sequence | np.ndarray, hu: float) -> None:
        """Fill a polygon, points (n, 2) in mm."""
        if len(points) > 2:
            self.pen.polygon(self.pixels(points, FINE), fill=float(hu))

    def stroke(self, points: Sequence | np.ndarray, width_mm: float, hu: float) -> None:
        """Draw an open line, points (n, 2) in mm."""
        width = max(1, round(width_mm * FINE / self.pixel_mm))
        joint = "curve" if width > 3 and len(points) > 2 else None
        self.pen.line(self.pixels(points, FINE), fill=float(hu), width=width, joint=joint)

    def disc(self, x: float, y: float, radius: float, hu: float) -> None:
        """Fill a circle."""
        self.fill(CIRCLE * radius + (x, y), hu)

    def mask(self, outlines: Iterable[np.ndarray]) -> np.ndarray:
        """Polygons in mm -> the slice pixels they hold, bool (size, size)."""
        image = Image.new("L", (self.size, self.size))
        for outline in outlines:
            if len(outline) > 2:
                ImageDraw.Draw(image).polygon(self.pixels(outline), fill=1)
        return np.asarray(image, bool)

    def places(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Where the pixels of two slices lie in the patient: x and y, each (rows, columns) mm."""
        x = self.corner[0] + (np.arange(columns.start, columns.stop) + 0.5) * self.pixel_mm
        y = self.corner[1] + (np.arange(rows.start, rows.stop) + 0.5) * self.pixel_mm
        place = np.stack(np.meshgrid(x, y), -1) @ self.turn.T
        return place[..., 0], place[..., 1]

    def read(
        self, bend: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    ) -> np.ndarray:
        """The slice so far: float32 HU (size, size).

        bend: function of x and y (mm) that says how far (dx, dy in mm) tissue is displaced there.
        """
        image = np.asarray(self.image.reduce(FINE), np.float32)
        if bend is None:
            return image.copy()
        middle = (np.arange(BEND_GRID) + 0.5) * self.size / BEND_GRID - 0.5
        x, y = np.meshgrid(*(self.corner[i] + (middle + 0.5) * self.pixel_mm for i in (0, 1)))
        place = np.stack([x, y], -1) @ self.turn.T
        apart = np.stack(bend(place[..., 0], place[..., 1]), -1) @ self.turn / self.pixel_mm
        apart = cv2.resize(apart.astype(np.float32), (self.size, self.size))
        places = apart + _grid(self.size)
        return cv2.remap(image, places, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]  # None serves


@lru_cache(maxsize=4)
def _grid(size: int) -> np.ndarray:
    """x and y of every pixel, float32 (size, size, 2)."""
    return np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 2), -1)


def noise_power(f: np.ndarray) -> np.ndarray:
    """Noise power spectrum fitted to real slices, f in cycles per pixel, arbitrary scale."""
    return (f + 0.88) * np.exp(-((f / 0.31) ** 2.26))


@lru_cache(maxsize=4)
def noise_filter(size: int) -> np.ndarray:
    """Square root of the noise power spectrum for `rfft2`, scaled to unit variance."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    power = noise_power(f)
    power /= power.mean()
    return np.sqrt(power[:, : size // 2 + 1]).astype(np.float32)


@lru_cache(maxsize=4)
def _field(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Dose map (noise is stronger where fewer photons arrive) and what lies outside the field."""
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / (size / 2)
    radius = np.hypot(axis[:, None], axis[None, :])
    return 0.72 + 0.45 * np.exp(-((radius / 0.55) ** 2)), radius > 1


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Correlated noise of unit variance, float32 (size, size)."""
    white = rng.standard_normal((size, size), dtype=np.float32)
    return scipy.fft.irfft2(scipy.fft.rfft2(white) * noise_filter(size), s=(size, size))


def by_hu(table: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Look `table` (one value per HU of `HU`) up for every pixel."""
    return table[np.clip(image, HU[0], HU[-1]).astype(np.int16) - int(HU[0])]


def _rough(rng: np.random.Generator, size: int, step: int, spread: float) -> np.ndarray:
    """Smooth noise of unit variance, float32 (size, size): one value per `step` pixels, blurred."""
    coarse: np.ndarray = rng.standard_normal((size // step, size // step), dtype=np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), spread)
    return cv2.resize(coarse / coarse.std(), (size, size))


def grain(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Texture that tissue itself has (trabeculae, fat strands): float32 HU, by tissue."""
    field = _rough(rng, image.shape[0], 2, 0.8)
    field += np.maximum(field - 1.8, 0) * np.float32(SPECK) * (image < -700) * (image > -930)
    return field * by_hu(GRAIN_HU, image)


def strands(
    rng: np.random.Generator, image: np.ndarray, pixel_mm: float, wall: np.ndarray
) -> np.ndarray:
    """Septa and small vessels in fat, fat planes in the muscles of `wall` (bool): float32 HU.

    A line runs where smooth noise passes zero, broken off where a second noise is low.
    """
    size = image.shape[0]
    step = max(2, round(2.4 / pixel_mm))
    line = np.exp(-((_rough(rng, size, step, 1.7) / 0.13) ** 2))
    line *= np.clip(_rough(rng, size, 2 * step, 1.5) * 1.2 + 0.5, 0, 1)
    fat = (image > -140) & (image < -70)
    muscle = wall & (image > 25) & (image < 80)
    return line * (fat * np.float32(STRAND_HU) - muscle * np.float32(PLANE_HU))


def scan(rng: np.random.Generator, image: np.ndarray, pixel_mm: float, sd: float) -> np.ndarray:
    """From drawn HU (size, size) to what a scanner stores: int16, blurred, noisy, circular."""
    size = image.shape[0]
    image = image + grain(rng, image)
    image = cv2.GaussianBlur(image, (0, 0), BLUR_MM / pixel_mm)
    dose, outside = _field(size)
    image += noise(rng, size) * dose * by_hu(DOSE, image) * np.float32(sd)
    image[outside] = OUTSIDE
    return np.clip(np.rint(image), OUTSIDE, 3071).astype(np.int16)


def write_png(array: np.ndarray, path: Path) -> int:
    """Write a slice whole or not at all: int16 HU as DeepLesion's uint16 (HU + 32768), or uint8.

    The file says itself that it is synthetic, wherever it is copied to. It is not flushed to disk
    (35 ms each): the caller does that once for many. Returns the size in bytes.
    """
    if array.dtype == np.int16:
        array = (array.astype(np.int32) + 32768).astype(np.uint16)
    temporary = path.with_name(f".{path.name}")
    about = PngInfo()
    about.add_text("Comment", SYNTHETIC)
    options = {"compress_level": 1, "compress_type": RUN_LENGTHS, "pnginfo": about}
    Image.fromarray(array).save(temporary, "png", **options)
    size = temporary.stat().st_size
    temporary.replace(path)
    return size
