"""Slices round a drawn one: the same body and lesions, and what is on disk as it is."""

import shutil

import numpy as np
import pytest

from camreader.cohorts.pixels import read_hu
from camreader.phantom.neighbours import Body
from camreader.phantom.write import IMAGES, MASKS, write_phantom


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, slices=6, seed=3, size=128, workers=1, progress=False)
    return folder


def test_a_slice_on_disk_is_read_and_one_drawn_again_has_the_same_lesions(phantom, tmp_path):
    series = sorted((phantom / IMAGES).iterdir())[0]
    numbers = sorted(int(path.stem) for path in series.glob("*.png"))
    shutil.copy(phantom / "phantom.json", tmp_path)  # no image there: all are drawn
    known, bare = Body(phantom, series.name), Body(tmp_path, series.name)
    for number in numbers:
        image, mask = known.slice(number)
        assert (image == read_hu(series / f"{number:03d}.png")).all()
        again, mask_again = bare.slice(number)
        assert (mask == mask_again).all()
        assert np.corrcoef(image.ravel(), again.ravel())[0, 1] > 0.99  # but for the noise
        assert not (image == again).all()


def test_neighbours_are_drawn_within_reach_the_same_every_time(phantom):
    series = sorted((phantom / IMAGES).iterdir())[0].name
    body = Body(phantom, series)
    numbers = {int(path.stem) for path in (phantom / IMAGES / series).glob("*.png")}
    assert numbers <= set(body.levels) and len(body.levels) == 13
    new = next(k for k in body.levels if k not in numbers)
    first, second = body.slice(new), Body(phantom, series).slice(new)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert not (phantom / MASKS / series / f"{new:03d}.png").exists()  # the source stays as it was
