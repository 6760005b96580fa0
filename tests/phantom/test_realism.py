"""The phantom's noise, sizes and contrasts by the same measure as the real slices'."""

import numpy as np
import pandas as pd
import pytest

from camreader.cohorts import pixels
from camreader.common.errors import DataError
from camreader.phantom import realism, scanner


def test_noise_sd_of_known_noise():
    rng = np.random.default_rng(0)
    body = 50 + 12 * scanner.noise(rng, 512)
    assert realism.noise_sd(body) == pytest.approx(12, rel=0.15)  # quietest blocks: a little less
    ramp = np.linspace(0, 60, 512)[None]  # a plane is no noise
    assert realism.noise_sd(body + ramp) == pytest.approx(realism.noise_sd(body), rel=0.1)
    assert np.isnan(realism.noise_sd(np.full((64, 64), -1000)))


def test_the_scanner_draws_the_published_spectrum():
    """White noise would give a flat spectrum; 10 slices, so a few per cent of scatter."""
    rng = np.random.default_rng(0)
    slices = [50 + 10 * scanner.noise(rng, 512) for _ in range(10)]
    f, power = realism.noise_spectrum(slices)
    fit = (f + 0.88) * np.exp(-((f / 0.31) ** 2.26))  # fitted to real slices
    assert np.abs(power - fit / fit.mean()).max() < 0.25
    white = realism.noise_spectrum([rng.normal(50, 10, (512, 512))])[1]
    assert np.abs(white - fit / fit.mean()).max() > 0.5


def test_real_slices_have_the_published_noise(sample):
    paths = sorted((sample / "Images_png").rglob("*.png"))[::15]
    low, _middle, high = realism.REAL_NOISE_SD
    assert low * 0.7 < np.median([realism.noise_sd(pixels.read_hu(p)) for p in paths]) < high


def test_comparison_takes_measured_lesions_only(tmp_path):
    truth = pd.DataFrame(
        {
            "key": [1, 1, 0],
            "region": ["liver", "lung", "liver"],
            "diameter_mm": [10.0, 20.0, 99.0],
            "contrast_hu": [-30.0, 800.0, 500.0],
        }
    )
    truth.to_csv(tmp_path / "lesion_truth.csv", index=False)
    with pytest.raises(DataError, match="truth is missing"):
        realism.read_truth(tmp_path)
    pd.DataFrame({"series": ["a"]}).to_csv(tmp_path / "slice_truth.csv", index=False)
    table = realism.comparison(tmp_path, [11.0, np.nan]).set_index(["quantity", "quantile"])
    assert table.loc[("long axis of measured lesions, mm", "50 %"), "phantom"] == 15
    assert table.loc[("liver lesion minus ring, HU", "50 %"), ["phantom", "n"]].tolist() == [-30, 1]
    assert table.loc[("noise SD in the body, HU", "50 %"), "n"] == 1
