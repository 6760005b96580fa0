"""The phantom's files: DeepLesion's schema, exact truth, the same bytes however they were made."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camreader import phantom

SLICES, SIZE = 25, 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom")
    phantom.write_phantom(path, slices=SLICES, size=SIZE, workers=1, progress=False)
    return path


def hu(path):
    return np.asarray(Image.open(path)).astype(np.int32) - 32768


def test_every_slice_of_the_truth_has_its_image_and_mask(folder):
    truth = pd.read_csv(folder / "slice_truth.csv")
    assert len(truth) == SLICES
    for row in truth.itertuples():
        name = f"{row.series}/{row.slice:03d}.png"
        image = hu(folder / "Images_png" / name)
        assert image.shape == (SIZE, SIZE)
        assert image.min() == -1024 and 300 < image.max() <= 3071
        mask = np.asarray(Image.open(folder / "Masks_png" / name))
        assert mask.dtype == np.uint8
        assert bool(mask.any()) == bool(row.has_lesion_full_annotation)


def test_worker_count_changes_no_byte(folder, tmp_path):
    phantom.write_phantom(tmp_path, slices=SLICES, size=SIZE, workers=2, progress=False)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path
