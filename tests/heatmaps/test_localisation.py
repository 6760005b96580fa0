"""Do maps point at the lesion: the scores on maps whose answer is known, and their intervals."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import jaccard_score

from camreader.common.errors import DataError
from camreader.heatmaps import localisation

SCORES = list(localisation.SCORES)
UNIT = st.floats(0, 1, width=32)


def disc(y, x, radius=3, size=32):
    rows, columns = np.mgrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def blob(y, x, size=32):
    rows, columns = np.mgrid[:size, :size]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 18).astype(np.float32)


def test_a_map_on_the_lesion_hits_and_one_beside_it_misses():
    masks = np.stack([disc(8, 20), disc(8, 20), disc(8, 20)])
    found = localisation.score(np.stack([blob(8, 20), blob(24, 6), blob(8, 24)]), masks, 2)
    assert found["hit"].tolist() == [1, 0, 0]
    assert found["hit_near"].tolist() == [1, 0, 1]
    assert found["energy"][0] > 0.3 > found["energy"][2] > found["energy"][1]


def test_a_blank_map_is_a_miss_and_a_slice_without_lesion_has_no_score():
    masks = np.stack([disc(8, 20), np.zeros((32, 32), bool)])
    found = localisation.score(np.stack([np.zeros((32, 32)), blob(8, 20)]), masks)
    assert found.loc[0, SCORES].tolist() == [0] * len(SCORES) and found["blank"].tolist() == [1, 0]
    assert found.loc[1, SCORES].isna().all()


def test_tied_maxima_count_by_their_share():
    flat = np.ones((1, 32, 32), np.float32)
    mask = np.zeros((1, 32, 32), bool)
    mask[0, :8] = True
    assert localisation.score(flat, mask)["hit"][0] == 0.25  # a constant map knows nothing


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float32, (2, 6, 6), elements=UNIT), hnp.arrays(bool, (2, 6, 6)))
def test_overlap_is_scikit_learns_and_every_score_is_a_share(maps, masks):
    found = localisation.score(maps, masks)
    for k in range(2):
        if masks[k].any() and maps[k].any():
            expected = jaccard_score(masks[k].ravel(), maps[k].ravel() >= 0.5, zero_division=0)
            assert found["iou_fixed"][k] == pytest.approx(expected)
    scores = found[SCORES].to_numpy()
    assert np.isnan(scores).all(1).tolist() == (~masks.any((1, 2))).tolist()
    assert ((scores >= 0) & (scores <= 1 + 1e-6) | np.isnan(scores)).all()
    assert (found["iou_best"].mean() >= found["iou_fixed"].mean() - 1e-9) or not masks.any()


def test_maps_and_masks_must_fit():
    with pytest.raises(DataError, match="differ in shape"):
        localisation.score(np.zeros((2, 4, 4)), np.zeros((1, 4, 4), bool))


def test_exact_masks_are_reduced_by_half_and_small_lesions_stay(tmp_path):
    folder = tmp_path / "Masks_png" / "000001_01_01"
    folder.mkdir(parents=True)
    labels = np.zeros((512, 512), np.uint8)
    labels[100:200, 300:340] = 2
    cv2.imwrite(str(folder / "010.png"), labels)
    small = np.zeros((512, 512), np.uint8)
    small[41, 41] = 1
    cv2.imwrite(str(folder / "011.png"), small)
    paths = [f"Images_png/000001_01_01/{n}.png" for n in ("010", "011", "012")]
    masks = localisation.exact_masks(pd.DataFrame({"image_path": paths}), tmp_path, 128)
    assert masks[0].sum() == 25 * 10 and masks[0, 25:50, 75:85].all()
    assert masks[1].sum() == 1 and masks[1, 10, 10]
    assert not masks[2].any()
    assert localisation.exact_masks(pd.DataFrame({"image_path": paths}), folder, 128) is None
    (folder / "010.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"010\.png"):
        localisation.exact_masks(pd.DataFrame({"image_path": paths}), tmp_path, 128)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(UNIT, st.integers(0, 4)), min_size=6, max_size=40))
def test_the_interval_is_students_of_patients_sums(rows):
    """Against the variance of a ratio written out patient by patient."""
    values, groups = np.array([v for v, _ in rows]), np.array([g for _, g in rows])
    names = np.unique(groups)
    if len(names) < 2 or len(set(values)) == 1 or set(values) <= {0, 1}:
        return
    mean = values.mean()
    sums = np.array([(values[groups == g] - mean).sum() for g in names])
    error = np.sqrt(len(names) / (len(names) - 1) * (sums**2).sum()) / len(values)
    reach = stats.t.ppf(0.975, len(names) - 1) * error
    if error > 1e-9:
        expected = max(mean - reach, 0), min(mean + reach, 1)
        np.testing.assert_allclose(localisation.patient_interval(values, groups), expected)


def frame_of(hits, patients, method="gradcam"):
    names = [f"s{i}" for i in range(len(hits))]
    return pd.DataFrame(
        {"method": method, "slice_id": names, "patient_id": patients, "hit": hits, "blank": False}
    )


def test_intervals_are_of_patients_and_never_of_zero_width():
    alike = frame_of([1.0] * 8, list("aabbccdd"))
    row = localisation.summarise(alike, scores=["hit"]).iloc[0]
    assert row["n"] == 8 and row["patients"] == 4 and row["hit"] == 1
    assert row["hit_low"] == pytest.approx(0.5101, abs=1e-4)  # Wilson, 4 of 4 patients
    wide = localisation.summarise(frame_of([1.0, 1, 0, 0] * 5, list("aabb") * 5), scores=["hit"])
    narrow = localisation.summarise(
        frame_of([1.0, 1, 0, 0] * 5, [str(i) for i in range(20)]), scores=["hit"]
    )
    width = [table["hit_high"][0] - table["hit_low"][0] for table in (wide, narrow)]
    assert width[0] > 1.5 * width[1]  # slices of one patient are not independent


def test_a_method_that_always_loses_is_mirrored_by_one_that_always_wins():
    patients = list("aabbccdd")
    frame = pd.concat([frame_of([0.0] * 8, patients), frame_of([1.0] * 8, patients, "hirescam")])
    won, lost = (
        localisation.compare(frame, reference).iloc[0] for reference in ("gradcam", "hirescam")
    )
    assert (won["difference"], won["low"], won["high"]) == pytest.approx((1, 0.5101, 1), abs=1e-4)
    assert (lost["difference"], lost["low"], lost["high"]) == (-1, -won["high"], -won["low"])


@pytest.mark.parametrize(("hits", "words"), [([], "no test slice"), ([1.0, 0.0], "2 patients")])
def test_a_missing_interval_is_explained_in_words(hits, words):
    table = localisation.summarise(frame_of(hits, ["a"] * len(hits)), scores=["hit"])
    if not hits:
        table = localisation.summarise(frame_of([], []), scores=["hit"], methods=["gradcam"])
    assert words in table["note"][0] and np.isnan(table["hit_low"][0])


def test_methods_are_compared_on_the_slices_both_have():
    patients = [str(i) for i in range(40)]
    good, poor = frame_of([1.0] * 30 + [0.0] * 10, patients), frame_of([0.0] * 40, patients)
    part = frame_of([1.0] * 10, patients[:10], "occlusion")
    frame = pd.concat([good, poor.assign(method="random"), part])
    table = localisation.compare(frame).set_index("method")
    assert table.loc["random", "difference"] == -0.75 and table.loc["random", "high"] < 0
    same = table.loc["occlusion"]  # 0 on its 10 slices, with room on both sides
    assert same["difference"] == 0 and same["low"] == -same["high"] < 0
