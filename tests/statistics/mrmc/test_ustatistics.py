"""U-statistic variances against brute force, against the crossed analysis and by simulation."""

from itertools import product

import numpy as np
import pytest
import simulated_studies
from places import SHARED

from camreader.common.errors import DataError
from camreader.statistics.mrmc import analysis, io, roe_metz
from camreader.statistics.mrmc.figures_of_merit import kernel
from camreader.statistics.mrmc.ustatistics import (
    _all_variances,
    _Moments,
    _pulls,
    _shares,
    u_statistics,
)

VIPER = SHARED / "reader-data" / "viper_mrmc.imrmc"


@pytest.fixture
def study():
    positives, negatives = roe_metz.simulate(1, 3, 5, 4, (0.8, 1.4), seed=11)
    return positives[0], negatives[0]


def holes(positives, negatives):
    """The same study with readings missing: no reader reads everything."""
    positives, negatives = positives.copy(), negatives.copy()
    positives[0, 0, 1] = positives[1, 2, 0] = negatives[0, 1, 2] = negatives[1, 1, 3] = np.nan
    return positives, negatives


def brute_force(positives, negatives, a, b):
    """Covariance of two pooled means: moments and their weights counted one product at a time."""
    success, read1, read0 = kernel(positives, negatives)
    pairs = [
        [x for x in product(*map(range, success[t].shape)) if read1[t, x[0], x[1]]]
        for t in range(2)
    ]
    pairs = [[x for x in pairs[t] if read0[t, x[0], x[2]]] for t in range(2)]
    total, count = np.zeros(8), np.zeros(8)
    for x, y in product(pairs[a], pairs[b]):
        kind = 4 * (x[0] != y[0]) + 2 * (x[1] != y[1]) + (x[2] != y[2])
        total[kind] += success[a][x] * success[b][y]
        count[kind] += 1
    moments = total / count
    return (count / count.sum() * (moments - moments[-1])).sum()


@pytest.mark.parametrize("change", [lambda *x: x, holes])
def test_variances_are_the_brute_force_ones(study, change):
    positives, negatives = change(*study)
    frame = simulated_studies.study_frame(positives, negatives).dropna()
    result = u_statistics(frame)
    expected = [brute_force(positives, negatives, *x) for x in ((0, 0), (1, 1), (0, 1))]
    assert result.modalities["variance"].tolist() == pytest.approx(expected[:2])
    difference = result.differences["variance"].iloc[0]
    assert difference == pytest.approx(expected[0] + expected[1] - 2 * expected[2])


def test_crossed_studies_give_the_unbiased_analysis_of_variance():
    # Gallas 2006 and Obuchowski-Rockette with unbiased covariances are one where Cov2 > Cov3
    positives, negatives = roe_metz.simulate(1, 6, 30, 30, (1, 1.5), roe_metz.structure("HL"), 4)
    frame = simulated_studies.study_frame(positives[0], negatives[0])
    ours, other = u_statistics(frame), analysis.obuchowski_rockette(frame, "unbiased")
    row = ours.differences.iloc[0]
    assert row["variance"] == pytest.approx(other.differences["error"].iloc[0] ** 2)
    assert row["value"] == pytest.approx(other.difference)
    errors = other.modalities["error"] ** 2
    assert ours.modalities["variance"].tolist() == pytest.approx(errors.tolist())
    by_reader = u_statistics(frame, weights="readers").differences.iloc[0]
    assert by_reader["variance"] == pytest.approx(row["variance"])


def test_split_plot_variance_is_right_on_average():
    # two groups of readers, each with its own cases: mean estimate = variance between studies
    values, variances = [], []
    for seed in range(150):
        positives, negatives = (x[0] for x in roe_metz.simulate(1, 4, 8, 8, (1, 1.3), seed=seed))
        for block in (positives, negatives):
            block[:, :2, :4] = np.nan
            block[:, 2:, 4:] = np.nan
        frame = simulated_studies.study_frame(positives, negatives).dropna()
        row = u_statistics(frame).differences.iloc[0]
        values.append(row["value"])
        variances.append(row["variance"])
    # Monte-Carlo error of a variance of 150 values: about 12 %
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.35)


@pytest.mark.skipif(not VIPER.exists(), reason="the VIPER readings are not beside this repository")
def test_a_real_study_that_is_not_crossed():
    result = u_statistics(io.read_imrmc(VIPER))
    assert "not every reader read every case" in result.flags
    row = result.differences.iloc[0]
    assert row["low"] < row["value"] < row["high"]


def test_readers_who_saw_one_modality_each():
    positives, negatives = roe_metz.simulate(1, 4, 12, 15, (1.0, 1.5), seed=3)
    frame = simulated_studies.study_frame(positives[0], negatives[0])
    unpaired = frame[(frame["reader"] + frame["modality"]) % 2 == 0]
    row = u_statistics(unpaired).differences.iloc[0]
    assert np.isfinite(row["variance"])
    assert np.isfinite(row["df"]) or row["variance"] <= 0


def test_too_little_for_a_variance_is_refused(study):
    frame = simulated_studies.study_frame(*study)
    with pytest.raises(DataError, match="One reader"):
        u_statistics(frame[frame["reader"] == 0])
    each_alone = (frame["reader"] == 0) & (frame["modality"] == 0) | (frame["reader"] == 1) & (
        frame["modality"] == 1
    )
    with pytest.raises(DataError, match=r"One reader.*found: 0; expected: two readers"):
        u_statistics(frame[each_alone])
    with pytest.raises(DataError, match=r"One reader.*found: 1"):  # one under 1, all under 0
        u_statistics(frame[(frame["modality"] == 0) | (frame["reader"] == 0)])
    with pytest.raises(DataError, match="Fewer than two cases"):
        u_statistics(frame[frame["truth"] == 1])
    with pytest.raises(DataError, match="no reader read cases of both"):
        u_statistics(frame[~((frame["modality"] == 1) & (frame["truth"] == 1))])


def test_equal_answers_are_flagged(study):
    result = u_statistics(simulated_studies.study_frame(*study).assign(score=1))
    assert any("not above 0" in flag for flag in result.flags)
    assert result.differences["low"].isna().all()


def test_sensitivity_alone_needs_only_diseased_cases(study):
    frame = simulated_studies.study_frame(*study)
    result = u_statistics(frame, metric="sensitivity", threshold=0.8)
    diseased = frame[frame["truth"] == 1]
    expected = (diseased["score"] >= 0.8).groupby(diseased["modality"]).mean()
    assert result.modalities["value"].tolist() == pytest.approx(expected.tolist())


def test_degrees_of_freedom_never_fall_below_the_scarcest_factor():
    """Eight readings of each of four readers, two per modality: the interval stays an interval."""
    positives, negatives = roe_metz.simulate(1, 4, 5, 5, (0.7, 0.6), seed=5)
    frame = simulated_studies.study_frame(positives[0], negatives[0])
    nested = frame[(frame["reader"] % 2) == frame["modality"]]
    result = u_statistics(nested)
    assert (result.modalities["df"] >= 2).all() and (result.differences["df"] >= 2).all()
    row = result.differences.iloc[0]
    assert -1 <= row["low"] <= row["high"] <= 1


def test_an_unbiased_variance_below_zero_is_replaced_in_words():
    """Many small studies with readings missing: every difference has an interval and a p, and a
    note wherever the unbiased variance was not above 0."""
    noted = 0
    for seed in range(60):
        positives, negatives = (x[0] for x in roe_metz.simulate(1, 4, 8, 8, seed=seed))
        rng = np.random.default_rng(seed)
        blocks = [np.where(rng.random(x.shape) < 0.3, np.nan, x) for x in (positives, negatives)]
        try:
            result = u_statistics(simulated_studies.study_arms(*blocks))
        except DataError:
            continue
        row = result.differences.iloc[0]
        assert np.isfinite([row["low"], row["high"], row["p"]]).all()
        if row["note"]:
            noted += 1
            assert "the unbiased variance was -" in row["note"]
            assert any("see the note" in flag for flag in result.flags)
    assert noted > 0


def test_the_v_statistic_is_the_ideal_bootstrap_of_a_crossed_study(study):
    """Its variance over all readers and cases drawn with replacement, by simulation."""
    positives, negatives = study
    parts = kernel(positives, negatives)
    shares = _shares(parts, "pairs")
    found = _Moments(*_all_variances(parts, shares), ("R", "D", "N"), _pulls(parts, shares))
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(6000):
        r, i, j = (rng.integers(n, size=n) for n in parts[0].shape[1:])
        draws.append(parts[0][0][np.ix_(r, i, j)].mean())
    expected = sum(found.c[0, 0] * found.mv[0, 0]) - found.mv[0, 0, -1]
    assert np.var(draws) == pytest.approx(expected, rel=0.1)


def test_three_arms_have_every_pair_and_holm():
    positives, negatives = roe_metz.simulate(1, 4, 20, 20, (1, 1.5, 2), seed=1)
    table = u_statistics(simulated_studies.study_frame(positives[0], negatives[0])).differences
    assert len(table) == 3 and (table["p_holm"] >= table["p"]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "sensitivity"}, "A proportion needs a threshold"),
        ({"level": 95}, "level is out of its range"),
        ({"weights": "cases"}, "weights is one of"),
    ],
)
def test_options_that_mean_nothing_are_refused(study, options, words):
    with pytest.raises(DataError, match=words):
        u_statistics(simulated_studies.study_frame(*study), **options)
