"""What the scanner does to an anatomy: pixels, blur, noise, field of view, 16-bit file.

Shapes are drawn in millimetres (x to the patient's left, y to the back) on a canvas twice as fine
as the slice, then averaged down, so that edges are partial-volume edges.
"""

from functools import lru_cache

import numpy as np
import scipy.fft
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from camreader.files import atomic_path

AIR, OUTSIDE = -1000.0, -1024.0  # HU of room air, and of pixels the scanner did not see
FINE = 2  # canvas pixels per slice pixel
NOISE_SD, NOISE_SPREAD = 11.5, 0.2  # median HU inside the body; log-normal spread over patients
BLUR_MM = 0.6  # point spread, standard deviation
GRAIN_HU = ([-1000, -900, -700, -150, -60, 20, 120, 250, 900], [0, 12, 12, 9, 10, 4, 3, 35, 60])


class Canvas:
    """A slice being drawn; `pixel_mm` and `centre` (mm) place it in the patient."""

    def __init__(self, pixel_mm, centre=(0.0, 0.0), size=512):
        self.size, self.pixel_mm = size, pixel_mm
        self.scale = FINE / pixel_mm
        self.corner = np.asarray(centre, float) - size * pixel_mm / 2
        self.image = Image.new("F", (size * FINE, size * FINE), AIR)
        self.pen = ImageDraw.Draw(self.image)

    def _pixels(self, points):
        return ((np.asarray(points) - self.corner) * self.scale - 0.5).ravel().tolist()

    def fill(self, points, hu):
        """Fill a polygon, points (n, 2) in mm."""
        if len(points) > 2:
            self.pen.polygon(self._pixels(points), fill=float(hu))

    def stroke(self, points, width_mm, hu):
        """Draw an open line, points (n, 2) in mm."""
        width = max(1, round(width_mm * self.scale))
        self.pen.line(self._pixels(points), fill=float(hu), width=width, joint="curve")

    def disc(self, x, y, radius, hu, ry=None):
        """Fill an upright ellipse."""
        box = [[x - radius, y - (ry or radius)], [x + radius, y + (ry or radius)]]
        self.pen.ellipse(self._pixels(box), fill=float(hu))

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
def _radius(size):
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / (size / 2)
    return np.hypot(axis[:, None], axis[None, :])


def noise(rng, size):
    """Correlated noise of unit variance, float32 (size, size)."""
    white = rng.standard_normal((size, size), dtype=np.float32)
    return scipy.fft.irfft2(scipy.fft.rfft2(white) * noise_filter(size), s=(size, size))


def grain(rng, image):
    """Texture that tissue itself has (trabeculae, fat strands): float32 HU, by tissue."""
    size = image.shape[0]
    coarse = rng.standard_normal((size // 2, size // 2), dtype=np.float32)
    coarse = gaussian_filter(coarse, 0.8, mode="wrap")
    coarse /= coarse.std()
    field = np.asarray(Image.fromarray(coarse).resize((size, size), Image.BILINEAR))
    return field * np.interp(image, *GRAIN_HU).astype(np.float32)


def scan(rng, image, pixel_mm, sd):
    """From drawn HU (size, size) to what a scanner stores: int16, blurred, noisy, circular."""
    size = image.shape[0]
    image = image + grain(rng, image)
    image = gaussian_filter(image, BLUR_MM / pixel_mm * 0.85, truncate=3)
    dose = 0.72 + 0.45 * np.exp(-((_radius(size) / 0.55) ** 2))  # fewer photons reach the middle
    dose = dose * np.interp(image, [-1000, -850, -200, 0], [0.55, 0.8, 0.95, 1]).astype(np.float32)
    image += noise(rng, size) * dose * np.float32(sd)
    image[_radius(size) > 1] = OUTSIDE
    return np.clip(np.rint(image), OUTSIDE, 3071).astype(np.int16)


def write_png(array, path):
    """Write a slice atomically: int16 HU as DeepLesion's uint16 (HU + 32768), masks as uint8."""
    if array.dtype == np.int16:
        array = (array.astype(np.int32) + 32768).astype(np.uint16)
    with atomic_path(path) as temporary:
        Image.fromarray(array).save(temporary, compress_level=1)
