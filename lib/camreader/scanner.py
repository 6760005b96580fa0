"""What the scanner does to an anatomy: pixels, blur, noise, field of view, 16-bit file.

Shapes are drawn in millimetres (x to the patient's left, y to the back) on a canvas twice as fine
as the slice, then averaged down, so that edges are partial-volume edges.
"""

from functools import lru_cache

import numpy as np
import scipy.fft
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

AIR, OUTSIDE = -1000.0, -1024.0  # HU of room air, and of pixels the scanner did not see
RUN_LENGTHS = 3  # zlib's Z_RLE: for noisy pixels smaller and faster than its default
FINE = 2  # canvas pixels per slice pixel
NOISE_SD, NOISE_SPREAD = 11.5, 0.2  # median HU inside the body; log-normal spread over patients
BLUR_MM = 0.6  # point spread, standard deviation
HU = np.arange(-1024, 3072, dtype=np.float32)
GRAIN_HU = np.interp(  # texture by HU of the tissue: lung, fat, organs, spongy bone
    HU, [-1000, -900, -700, -130, -60, 20, 120, 250, 900], [0, 16, 16, 7, 10, 5, 3, 35, 60]
).astype(np.float32)
DOSE = np.interp(HU, [-1000, -850, -200, 0], [0.55, 0.8, 0.95, 1]).astype(np.float32)
CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 20, endpoint=False)) for f in (np.cos, np.sin)], 1)


class Canvas:
    """A slice being drawn; `pixel_mm`, `centre` (mm) and `turn` (radians) place the patient."""

    def __init__(self, pixel_mm, centre=(0.0, 0.0), size=512, turn=0.0):
        self.size, self.pixel_mm = size, pixel_mm
        self.corner = np.asarray(centre, float) - size * pixel_mm / 2
        cosine, sine = np.cos(turn), np.sin(turn)
        self.turn = np.array([[cosine, sine], [-sine, cosine]])
        self.image = Image.new("F", (size * FINE, size * FINE), AIR)
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self, points, fine=1):
        """Points (n, 2) in mm -> flat list x, y, x, y, ... in pixels, `fine` to a slice pixel."""
        scaled = (np.asarray(points) @ self.turn - self.corner) * (fine / self.pixel_mm)
        return (scaled - 0.5).ravel().tolist()

    def fill(self, points, hu):
        """Fill a polygon, points (n, 2) in mm."""
        if len(points) > 2:
            self.pen.polygon(self.pixels(points, FINE), fill=float(hu))

    def stroke(self, points, width_mm, hu):
        """Draw an open line, points (n, 2) in mm."""
        width = max(1, round(width_mm * FINE / self.pixel_mm))
        joint = "curve" if width > 3 and len(points) > 2 else None
        self.pen.line(self.pixels(points, FINE), fill=float(hu), width=width, joint=joint)

    def disc(self, x, y, radius, hu):
        """Fill a circle."""
        self.fill(CIRCLE * radius + (x, y), hu)

    def mask(self, outlines):
        """Polygons in mm -> the slice pixels they hold, bool (size, size)."""
        image = Image.new("L", (self.size, self.size))
        for outline in outlines:
            if len(outline) > 2:
                ImageDraw.Draw(image).polygon(self.pixels(outline), fill=1)
        return np.asarray(image, bool)

    def places(self, rows, columns):
        """Where the pixels of two slices lie in the patient: x and y, each (rows, columns) mm."""
        x = self.corner[0] + (np.arange(columns.start, columns.stop) + 0.5) * self.pixel_mm
        y = self.corner[1] + (np.arange(rows.start, rows.stop) + 0.5) * self.pixel_mm
        place = np.stack(np.meshgrid(x, y), -1) @ self.turn.T
        return place[..., 0], place[..., 1]

    def read(self):
        """The slice so far: float32 HU (size, size)."""
        return np.asarray(self.image.reduce(FINE), np.float32).copy()


@lru_cache(maxsize=4)
def noise_filter(size):
    """Square root of the noise power spectrum for `rfft2`, scaled to unit variance.

    NPS(f) ~ (f + 0.88) exp(-(f / 0.31)^2.26), f in cycles per pixel: fitted to real slices.
    """
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    power = (f + 0.88) * np.exp(-((f / 0.31) ** 2.26))
    power /= power.mean()
    return np.sqrt(power[:, : size // 2 + 1]).astype(np.float32)


@lru_cache(maxsize=4)
def _field(size):
    """Dose map (noise is stronger where fewer photons arrive) and what lies outside the field."""
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / (size / 2)
    radius = np.hypot(axis[:, None], axis[None, :])
    return 0.72 + 0.45 * np.exp(-((radius / 0.55) ** 2)), radius > 1


def noise(rng, size):
    """Correlated noise of unit variance, float32 (size, size)."""
    white = rng.standard_normal((size, size), dtype=np.float32)
    return scipy.fft.irfft2(scipy.fft.rfft2(white) * noise_filter(size), s=(size, size))


def by_hu(table, image):
    """Look `table` (one value per HU of `HU`) up for every pixel."""
    return table[np.clip(image, HU[0], HU[-1]).astype(np.int16) - int(HU[0])]


def grain(rng, image):
    """Texture that tissue itself has (trabeculae, fat strands): float32 HU, by tissue."""
    size = image.shape[0]
    coarse = rng.standard_normal((size // 2, size // 2), dtype=np.float32)
    coarse = gaussian_filter(coarse, 0.8, mode="wrap")
    coarse /= coarse.std()
    field = np.asarray(Image.fromarray(coarse).resize((size, size), Image.BILINEAR))
    return field * by_hu(GRAIN_HU, image)


def scan(rng, image, pixel_mm, sd):
    """From drawn HU (size, size) to what a scanner stores: int16, blurred, noisy, circular."""
    size = image.shape[0]
    image = image + grain(rng, image)
    image = gaussian_filter(image, BLUR_MM / pixel_mm, truncate=3)
    dose, outside = _field(size)
    image += noise(rng, size) * dose * by_hu(DOSE, image) * np.float32(sd)
    image[outside] = OUTSIDE
    return np.clip(np.rint(image), OUTSIDE, 3071).astype(np.int16)


def write_png(array, path):
    """Write a slice whole or not at all: int16 HU as DeepLesion's uint16 (HU + 32768), or uint8.

    It is not flushed to disk one by one (35 ms each): the caller flushes once, at the end.
    Returns the size in bytes.
    """
    if array.dtype == np.int16:
        array = (array.astype(np.int32) + 32768).astype(np.uint16)
    temporary = path.with_name(f".{path.name}")
    Image.fromarray(array).save(temporary, "png", compress_level=1, compress_type=RUN_LENGTHS)
    size = temporary.stat().st_size
    temporary.replace(path)
    return size
