"""The phantom's noise, sizes and contrasts by the same measure as the real slices'."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_erosion

from camreader.cohorts import pixels
from camreader.common.errors import DataError
from camreader.phantom import plots, real_lesions, realism, scanner, write

INNER = 0.6  # of a lesion's half axes: what lies so far in is clear of its border


def inner_sd(hu: np.ndarray, inside: np.ndarray) -> float:
    """Texture of a lesion in HU: SD of the pixels `inside` (bool) less the noise, at least 0.

    NaN for fewer than 12 pixels. Noise is `noise_sd` of the slice, a little below the true one.
    """
    values = hu[inside].astype(float)
    if len(values) < 12:
        return float("nan")
    return float(np.sqrt(max(0.0, values.var() - realism.noise_sd(hu) ** 2)))


def inside_box(shape: tuple, box: tuple) -> np.ndarray:
    """The inner ellipse of a box x1, y1, x2, y2 (zero-based pixels): bool of `shape`."""
    x1, y1, x2, y2 = box
    y, x = np.ogrid[: shape[0], : shape[1]]
    across = (x - (x1 + x2) / 2) / max(INNER * (x2 - x1) / 2, 0.5)
    down = (y - (y1 + y2) / 2) / max(INNER * (y2 - y1) / 2, 0.5)
    return across**2 + down**2 <= 1


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
            "inner_sd_hu": [4.0, 8.0, 99.0],
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
    assert table.loc[("texture inside a lesion, HU", "75 %"), ["phantom", "n"]].tolist() == [7, 2]


def test_the_truth_of_an_older_phantom_is_refused_in_words(tmp_path):
    pd.DataFrame({"series": ["a"], "slice": [1]}).to_csv(tmp_path / "slice_truth.csv")
    pd.DataFrame({"key": [1], "region": ["liver"]}).to_csv(tmp_path / "lesion_truth.csv")
    with pytest.raises(DataError, match=r"older version; `make report` draws it anew"):
        realism.read_truth(tmp_path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A small phantom of a seed of its own: 40 patients."""
    folder = tmp_path_factory.mktemp("drawn")
    write.write_phantom(folder, slices=200, seed=5, size=256, progress=False)
    return folder


def test_lesions_lie_inside_the_quartiles_of_real_ones(drawn):
    """Size: 162 official rows; liver contrast and texture: FACTS of real slices (`likeness`)."""
    lesions = realism.read_truth(drawn)[1].query("kind == 'tumor'")
    low, _median, high = realism.REAL_DIAMETER_QUARTILES
    assert low < lesions.loc[lesions["key"] == 1, "diameter_mm"].median() < min(high, 25)
    low, _median, high = realism.REAL_LIVER_HU
    assert low < lesions.loc[lesions["region"] == "liver", "contrast_hu"].median() < high
    sds = []
    for row in lesions.itertuples():
        name = f"{row.series}/{row.slice:03d}.png"
        mask = pixels.read_hu(drawn / "Masks_png" / name, 0) == row.lesion_id
        inside = binary_erosion(mask, iterations=2)  # 2 pixels of about 1.6 mm
        sds.append(inner_sd(pixels.read_hu(drawn / "Images_png" / name), inside))
    assert np.isfinite(sds).sum() > 100
    assert np.nanmedian(sds) < np.nanpercentile(sds, 75) < realism.REAL_INNER_SD


def test_two_real_nodes_are_as_even_as_is_said(sample):
    """The two measured lesions of the sample that are large enough to measure their inside."""
    real = real_lesions.read_lesions(sample).head(4)
    sds = []
    for row in real.itertuples():
        hu = pixels.read_hu(row.path)
        inside = inside_box(hu.shape, (row.x1, row.y1, row.x2, row.y2))
        if (row.x2 - row.x1) * row.spacing_mm > 9:
            sds.append(inner_sd(hu, inside))
    assert len(sds) == 2 and max(sds) < realism.REAL_INNER_SD


def test_inner_sd_takes_the_noise_off():
    rng = np.random.default_rng(0)
    noisy = 50 + 12 * scanner.noise(rng, 256)
    y, x = np.indices(noisy.shape)
    inside = np.hypot(x - 128, y - 128) < 30
    assert inner_sd(noisy, inside) < 6
    waves = 20 * np.sqrt(2) * np.sin(x / 3)
    assert inner_sd(noisy + waves * inside, inside) == pytest.approx(20, rel=0.15)
    assert np.isnan(inner_sd(noisy, np.zeros_like(inside)))


def test_real_lesions_come_with_measured_ones_first_and_every_other_box_once(sample):
    real = real_lesions.read_lesions(sample)
    assert (real["region"].head(4) == "mediastinum").all() and len(real) == 9
    assert all(path.exists() for path in real["path"])
    first = real.iloc[0]  # row 1 of DL_info.csv: box 226.169, 90.0204, 241.252, 111.977, 1-based
    assert [first.x1, first.y1] == pytest.approx([230.169, 94.0204], abs=1e-3)
    assert real_lesions.read_lesions("").empty


def test_the_figure_says_where_it_shows_phantom_lesions_only(drawn, sample):
    study = SimpleNamespace(card={"synthetic": True, "source": str(drawn)})
    alone = plots.lesions(study)
    assert [axis.get_title()[:7] for axis in alone.axes] == ["phantom"] * 12
    assert "phantom only" in alone.get_suptitle()
    both = plots.lesions(study, sample)
    kinds = [axis.get_title().split(":")[0] for axis in both.axes]
    assert kinds.count("phantom") == 12 and kinds.count("real") == 9
    real = SimpleNamespace(card={"synthetic": False, "source": str(sample)})
    assert not plots.lesions(real).axes[0].images
