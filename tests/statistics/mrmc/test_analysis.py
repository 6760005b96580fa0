"""Obuchowski-Rockette against the published Van Dyke analyses, and the behaviour on bad input."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import simulated_studies
from hypothesis import given, settings
from hypothesis import strategies as st
from places import SHARED
from statsmodels.stats.multitest import multipletests

from camreader.common.errors import DataError
from camreader.statistics.mrmc import analysis, io, roe_metz
from camreader.statistics.mrmc.anova import holm
from camreader.statistics.mrmc.io import COLUMNS

READERS = SHARED / "reader-data"
needs_data = pytest.mark.skipif(
    not (READERS / "vandyke.csv").exists(),
    reason="the Van Dyke and VIPER readings are not beside this repository (../shared)",
)


@pytest.fixture(scope="module")
def vandyke():
    return io.read_csv(READERS / "vandyke.csv")


@pytest.fixture
def study():
    """A small crossed study: 2 modalities, 4 readers, 12 + 15 cases."""
    positives, negatives = roe_metz.simulate(1, 4, 12, 15, (1.0, 1.5), seed=3)
    return simulated_studies.study_frame(positives[0], negatives[0])


@needs_data
def test_vandyke_accuracies_are_the_published_ones(vandyke):
    # MRMCaov user guide (Smith & Hillis), Van Dyke example, empirical (Wilcoxon) AUC
    result = analysis.obuchowski_rockette(vandyke)
    first = [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066]
    second = [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169]
    np.testing.assert_allclose(result.auc.to_numpy(), [first, second], atol=5e-9)
    np.testing.assert_allclose(result.modalities["value"], [0.89703704, 0.94083736], atol=5e-9)
    assert result.difference == pytest.approx(-0.04380032, abs=5e-9)
    assert result.components.ms_t == pytest.approx(0.00479617, abs=5e-9)
    assert result.components.ms_tr == pytest.approx(0.00055103, abs=5e-9)
    assert not result.flags


@needs_data
@pytest.mark.parametrize(
    ("covariance", "f", "ddf", "p", "low", "high"),
    [  # jackknife: RJafroc; DeLong and unbiased: MRMCaov, printed digits
        ("jackknife", (4.4563, 4), (15.260, 3), (0.051666, 6), -0.08796, 0.00036),
        ("delong", (4.484854, 6), (15.06611, 5), (0.05123303, 8), -0.08787, 0.00027),
        ("unbiased", (4.489614, 6), (15.03418, 5), (0.0511618, 7), -0.08785, 0.00025),
    ],
)
def test_vandyke_random_readers_and_cases(vandyke, covariance, f, ddf, p, low, high):
    result = analysis.obuchowski_rockette(vandyke, covariance=covariance)
    for value, (published, digits) in ((result.f, f), (result.ddf, ddf), (result.p, p)):
        assert round(value, digits) == published
    assert tuple(round(x, 5) for x in result.ci) == (low, high)


@needs_data
def test_vandyke_components_fixed_readers_and_fixed_cases(vandyke):
    # RJafroc, dataset02, Wilcoxon: variance components and the two restricted analyses
    part = analysis.obuchowski_rockette(vandyke).components
    found = [round(x, 8) for x in (part.var, part.cov1, part.cov2, part.cov3)]
    assert found == [0.00080229, 0.00034661, 0.00034407, 0.00023903]
    readers = analysis.obuchowski_rockette(vandyke, readers="fixed")
    assert (round(readers.f, 5), readers.ddf, round(readers.p, 4)) == (5.47595, np.inf, 0.0193)
    cases = analysis.obuchowski_rockette(vandyke, cases="fixed")
    assert (round(cases.f, 2), cases.ddf, round(cases.p, 4)) == (8.70, 4, 0.0420)


@needs_data
def test_imrmc_and_csv_hold_the_same_study(vandyke):
    other = io.read_imrmc(READERS / "vandyke.imrmc")
    pd.testing.assert_frame_equal(
        vandyke.sort_values(COLUMNS[:3], ignore_index=True),
        other.sort_values(COLUMNS[:3], ignore_index=True),
    )


@needs_data
def test_viper_says_what_kind_of_data_it_is():
    frame = io.read_imrmc(READERS / "viper_mrmc.imrmc")
    assert frame.groupby("truth")["case"].nunique().to_dict() == {0: 347, 1: 72}
    result = analysis.obuchowski_rockette(frame)
    assert result.auc.shape == (2, 20)
    assert any("not every reader read every case" in flag for flag in result.flags)
    assert any("without disease has the same score" in flag for flag in result.flags)


@pytest.mark.parametrize("covariance", ["jackknife", "delong", "unbiased"])
def test_one_reader_is_the_paired_z_test(study, covariance):
    # with one reader the analysis is DeLong's test (1988) of two correlated AUCs
    one = study[study["reader"] == 0]
    result = analysis.obuchowski_rockette(one, covariance=covariance)
    part = result.components
    z = result.difference / np.sqrt(2 * (part.var - part.cov1))
    assert result.f == pytest.approx(z**2)
    assert any("one reader" in flag for flag in result.flags)
    with pytest.raises(DataError, match="Nothing varies"):
        analysis.obuchowski_rockette(one, cases="fixed")


def test_proportions_are_the_paired_analysis_of_marks(study):
    # sensitivity of one reader: variance of the mean difference of 0/1 marks
    one = study[(study["reader"] == 0) & (study["truth"] == 1)]
    result = analysis.obuchowski_rockette(
        study[study["reader"] == 0], metric="sensitivity", threshold=1
    )
    marks = (one.pivot(index="case", columns="modality", values="score") >= 1).astype(float)
    difference = marks[0] - marks[1]
    assert result.difference == pytest.approx(difference.mean())
    part = result.components
    assert 2 * (part.var - part.cov1) == pytest.approx(difference.var() / len(difference))


def test_specificity_is_sensitivity_with_the_classes_exchanged(study):
    mirrored = study.assign(truth=1 - study["truth"], score=-study["score"])
    specificity = analysis.obuchowski_rockette(study, metric="specificity", threshold=0.25)
    sensitivity = analysis.obuchowski_rockette(mirrored, metric="sensitivity", threshold=-0.25)
    assert specificity.f == pytest.approx(sensitivity.f)
    assert specificity.ci == pytest.approx(sensitivity.ci)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_order_and_monotone_scores_change_nothing(seed, order):
    positives, negatives = roe_metz.simulate(1, 4, 8, 9, seed=seed)
    frame = simulated_studies.study_frame(positives[0], negatives[0])
    plain = analysis.obuchowski_rockette(frame)
    shuffled = frame.sample(frac=1, random_state=seed).sort_values("modality", kind="stable")
    shuffled["reader"] = shuffled["reader"].map(dict(enumerate(order)))
    shuffled["score"] = np.exp(shuffled["score"])
    other = analysis.obuchowski_rockette(shuffled)
    assert other.f == pytest.approx(plain.f)
    assert other.ci == pytest.approx(plain.ci)


def test_three_modalities_give_every_pair_and_one_gives_words():
    positives, negatives = roe_metz.simulate(1, 4, 10, 10, (1, 1.5, 2), seed=1)
    frame = simulated_studies.study_frame(positives[0], negatives[0])
    assert len(analysis.obuchowski_rockette(frame).differences) == 3
    single = analysis.obuchowski_rockette(frame[frame["modality"] == 0])
    assert np.isnan(single.p)
    assert any("one modality" in flag for flag in single.flags)
    assert single.modalities["low"].notna().all()


def test_three_modalities_in_a_row_of_a_table_are_the_first_pair():
    """The third modality is far off: its p must not stand beside the first pair's difference."""
    positives, negatives = roe_metz.simulate(1, 5, 40, 40, (1.5, 1.4, 0.5), seed=2)
    result = analysis.obuchowski_rockette(simulated_studies.study_frame(positives[0], negatives[0]))
    row, pair = result.summary().iloc[0], result.differences.iloc[0]
    assert result.p < 0.001 < 0.5 < row["p"]
    assert (row["p"], row["low"], row["ddf"]) == (pair["p"], pair["low"], pair["ddf"])
    assert (
        row["f"] == pytest.approx(pair["t"] ** 2) and "3 modalities, all equal: p" in row["flags"]
    )


def test_readers_who_change_alike_leave_no_test_of_these_cases(study):
    """Three copies of one reader: MS(TR) is 0 but for rounding, which gave F = 1e30, p = 7e-31."""
    one = study[study["reader"] == 0]
    copies = pd.concat([one.assign(reader=k) for k in range(3)], ignore_index=True)
    result = analysis.obuchowski_rockette(copies, cases="fixed")
    assert result.components.ms_tr == 0 and np.isnan(result.p) and np.isnan(result.ci[0])
    assert any("no variance above 0" in flag for flag in result.flags)
    assert analysis.obuchowski_rockette(copies).ddf == np.inf


def test_equal_means_with_readers_who_differ_are_no_difference(study):
    """F = 0 and p = 1: half of the readers gain what the other half loses."""
    even = study[study["reader"] % 2 == 0]
    odd = even.assign(reader=even["reader"] + 1, modality=1 - even["modality"])
    result = analysis.obuchowski_rockette(pd.concat([even, odd], ignore_index=True))
    assert result.components.ms_tr > 0 and result.difference == pytest.approx(0)
    assert result.f == 0 and result.p == 1
    assert "the modalities' means are equal" in result.flags


def test_equal_answers_are_flagged_not_silent(study):
    result = analysis.obuchowski_rockette(study.assign(score=1.0))
    assert np.isnan(result.p)
    assert any("all answers equal" in flag for flag in result.flags)
    assert any("no variance at all" in flag for flag in result.flags)


def test_missing_readings_are_flagged(study):
    study.loc[5, "score"] = np.nan
    result = analysis.obuchowski_rockette(study)
    assert any("1 readings without a score left out (first: row 5)" in f for f in result.flags)
    assert any("not every reader read every case" in f for f in result.flags)
    assert np.isfinite(result.p)


def test_a_reader_without_a_modality_is_left_out_in_words(study):
    partial = study[~((study["reader"] == 2) & (study["modality"] == 1))]
    result = analysis.obuchowski_rockette(partial)
    assert list(result.auc.columns) == [0, 1, 3]
    assert any("left out" in flag and "2" in flag for flag in result.flags)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f[f["truth"] == 1], "without disease"),
        (lambda f: f[f["truth"] == 0], "with disease"),
        (lambda f: pd.concat([f, f.iloc[[7]]], ignore_index=True), "Duplicate reading.*row: 216"),
        (lambda f: f.drop(columns="reader"), "Column missing"),
    ],
)
def test_broken_studies_are_refused(study, change, words):
    with pytest.raises(DataError, match=words):
        analysis.obuchowski_rockette(change(study))


@pytest.mark.parametrize(
    "options",
    [
        {"covariance": "bootstrap"},
        {"readers": "both"},
        {"readers": "fixed", "cases": "fixed"},
        {"metric": "sensitivity"},
    ],
)
def test_unknown_options_are_refused(study, options):
    with pytest.raises(
        ValueError, match=r"one of|random or fixed|nothing varies|needs a threshold"
    ):
        analysis.obuchowski_rockette(study, **options)


# Clusters, several pairs, nested readers


def clustered_study(seed=1, mixed=False):
    *blocks, clusters = simulated_studies.simulate_clustered(1, 4, 14, 3, mixed=mixed, seed=seed)
    return simulated_studies.study_frame(*(block[0] for block in blocks), clusters)


def test_patients_that_repeat_are_the_unit_without_being_asked():
    frame = clustered_study()
    found = analysis.obuchowski_rockette(frame)
    assert (found.unit, found.units) == ("patients", 14)
    assert "42 cases of 14 patients: patients are the unit" in found.flags
    assert any("7 % false alarms" in flag for flag in found.flags)
    named = analysis.obuchowski_rockette(frame.rename(columns={"cluster": "wsi"}), cluster="wsi")
    assert named.p == found.p
    alone = analysis.obuchowski_rockette(frame, cluster=False)
    assert alone.p == analysis.obuchowski_rockette(frame.drop(columns="cluster")).p != found.p
    assert "cases of one patient are taken for independent, as asked" in alone.flags


def test_the_jackknife_of_patients_leaves_each_out_with_all_its_cases():
    """Against the accuracies computed anew without each patient."""
    frame = clustered_study(mixed=True)
    left = [
        analysis.obuchowski_rockette(frame[frame["cluster"] != k]).auc.to_numpy().ravel()
        for k in range(14)
    ]
    gaps = np.array(left).T - np.mean(left, 0)[:, None]
    matrix = 13 / 14 * gaps @ gaps.T
    part = analysis.obuchowski_rockette(frame).components
    assert part.var == pytest.approx(np.diag(matrix).mean())


def test_what_cannot_be_clustered_is_said():
    frame = clustered_study()
    with pytest.raises(DataError, match="takes cases of one patient for independent"):
        analysis.obuchowski_rockette(frame, "unbiased")
    with pytest.raises(DataError, match=r"Column missing.*column: cluster"):
        analysis.obuchowski_rockette(frame.drop(columns="cluster"), cluster="cluster")
    with pytest.raises(DataError, match=r"Column missing.*column: ward"):
        analysis.obuchowski_rockette(frame, cluster="ward")
    one = frame.assign(cluster=lambda t: np.where(t["truth"] == 1, "p1", t["cluster"].astype(str)))
    with pytest.raises(DataError, match="No reader has two patients of each class"):
        analysis.obuchowski_rockette(one)


def test_sensitivity_of_clustered_cases_is_the_ratio_of_patients_sums():
    """One reader, one modality: the jackknife of a ratio, written out."""
    frame = clustered_study()
    one = frame[(frame["reader"] == 0) & (frame["modality"] == 0) & (frame["truth"] == 1)]
    hits = (one["score"] >= 1).groupby(one["cluster"]).agg(["sum", "count"])
    total = hits.sum()
    left = (total["sum"] - hits["sum"]) / (total["count"] - hits["count"])
    k = len(left)
    whole = frame[(frame["reader"] == 0) & (frame["modality"] == 0)]
    found = analysis.obuchowski_rockette(whole, metric="sensitivity", threshold=1)
    gaps = left - left.mean()
    stands_in = found.components.var
    assert stands_in == pytest.approx((k - 1) / k * (gaps**2).sum(), rel=0.35)


def test_holm_is_that_of_statsmodels():
    p = np.array([0.04, 0.011, 0.9, 0.02, np.nan, 0.011])
    known = ~np.isnan(p)
    expected = multipletests(p[known], method="holm")[1]
    np.testing.assert_allclose(holm(p)[known], expected)
    assert np.isnan(holm(p)[4])


def test_every_pair_of_arms_has_a_row_and_an_adjusted_p():
    positives, negatives = roe_metz.simulate(1, 4, 20, 20, (1, 1.5, 2), seed=1)
    result = analysis.obuchowski_rockette(simulated_studies.study_frame(positives[0], negatives[0]))
    table = result.summary()
    assert table["pair"].tolist() == ["0 minus 1", "0 minus 2", "1 minus 2"]
    assert (table["p_holm"] >= table["p"]).all() and (table["p_holm"] <= 1).all()


def test_one_reader_of_three_arms_is_compared_pair_by_pair():
    """Each pair by its own variance, as DeLong's test of those two arms alone."""
    positives, negatives = roe_metz.simulate(1, 1, 40, 40, (1.0, 1.5, 2.5), seed=3)
    frame = simulated_studies.study_frame(positives[0], negatives[0])
    every = analysis.obuchowski_rockette(frame, "delong").differences
    for a, b in ((0, 1), (0, 2), (1, 2)):
        two = analysis.obuchowski_rockette(frame[frame["modality"].isin([a, b])], "delong")
        row = every[(every["first"] == a) & (every["second"] == b)].iloc[0]
        assert row["p"] == pytest.approx(two.differences["p"][0])


def test_readers_of_one_modality_each_are_analysed_as_such(study):
    nested = study[(study["reader"] % 2) == study["modality"]]
    for convention in ("rjafroc", "hillis"):
        found = analysis.obuchowski_rockette(nested, convention=convention)
        assert np.isfinite(found.p) and "each reader read one modality only" in found.flags
        assert found.difference == pytest.approx(-np.diff(found.modalities["value"])[0])
    narrow, wide = (
        np.diff(analysis.obuchowski_rockette(nested, convention=c).ci)[0]
        for c in ("hillis", "rjafroc")
    )
    assert narrow < wide
    with pytest.raises(DataError, match="must be random"):
        analysis.obuchowski_rockette(nested, cases="fixed")
    single = nested[nested["reader"].isin([0, 1])]
    with pytest.raises(DataError, match="A modality with one reader"):
        analysis.obuchowski_rockette(single)


def test_no_interval_of_a_difference_leaves_its_range():
    """Two readers of eight cases, many times: cut to -1..1, and said where it tells nothing."""
    wide = 0
    for seed in range(30):
        blocks = roe_metz.simulate(1, 2, 4, 4, (0.2, 1.2), roe_metz.structure("LH"), seed)
        result = analysis.obuchowski_rockette(simulated_studies.study_arms(*(x[0] for x in blocks)))
        if np.isnan(result.ci[0]):
            assert any("no variance above 0" in flag for flag in result.flags)
            continue
        assert -1 <= result.ci[0] <= result.ci[1] <= 1
        if result.ci[1] - result.ci[0] > 1:
            wide += 1
            assert any("wider than 1" in flag for flag in result.flags)
    assert wide > 0
    with pytest.raises(DataError, match="A table of readings or Marks is needed"):
        analysis.obuchowski_rockette([1, 2, 3])


def test_the_statistics_need_numpy_scipy_and_pandas_alone():
    """A fresh interpreter without the packages of the rest of the workbook can import them."""
    code = (
        "import sys\n"
        "from camreader.statistics import mrmc\n"
        "from camreader.statistics.mrmc import power, standalone, roe_metz\n"
        "others = ('matplotlib', 'torch', 'sklearn', 'pandera', 'statsmodels', 'openpyxl')\n"
        "sys.exit(' '.join(name for name in others if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.stderr.strip()


def test_a_scale_the_other_way_round_is_asked_about():
    rng = np.random.default_rng(3)
    rows = [
        (r, m, f"c{truth}-{k}", truth, rng.normal(-2.0 * truth))
        for r in "abc"
        for m in "AB"
        for truth in (0, 1)
        for k in range(12)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    words = "higher score mean more suspicious"
    assert words in "; ".join(analysis.obuchowski_rockette(frame).flags)
    frame["score"] = -frame["score"]
    assert words not in "; ".join(analysis.obuchowski_rockette(frame).flags)
