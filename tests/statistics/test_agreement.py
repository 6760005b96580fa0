"""Agreement statistics against published worked examples and independent implementations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from places import ROOT
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from camreader.common.errors import DataError
from camreader.published import paper as published
from camreader.published import tables as reading_results
from camreader.statistics import agreement
from camreader.statistics.intervals import newcombe, newcombe_paired

# The example of the irrCAC vignette (K. L. Gwet, CRAN 2019): two abstractors, 100 pregnancies
ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
X = np.nan
# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C: 4 observers, 12 units
KRIPPENDORFF = pd.DataFrame(
    {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
        "C": [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
    }
)
# distrib.6raters of the irrCAC vignette: 15 patients, 6 psychiatrists, 5 diagnoses
DIAGNOSES = """00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050
02031"""


@pytest.fixture(scope="module")
def paper():
    return published.load(ROOT / "data" / "published")


@pytest.fixture(scope="module")
def results(paper):
    return reading_results.agreement(paper).set_index(["pair", "statistic"])


def psychiatrists():
    rows = [np.repeat(range(5), [int(c) for c in text]) for text in DIAGNOSES.split()]
    return pd.DataFrame(rows)


def expand(table, names):
    """Answers of two raters that give this table of counts."""
    rows = [
        (a, b) for i, a in enumerate(names) for j, b in enumerate(names) for _ in range(table[i][j])
    ]
    return tuple(pd.Series(x) for x in zip(*rows, strict=True))


# The paper's numbers: FACTS section 4


def test_reader_against_label(results):
    row = results.loc["radiologist and label"].round(3)
    assert row.loc["raw agreement", ["value", "low", "high"]].tolist() == [0.75, 0.505, 0.898]
    kappa = row.loc["Cohen's kappa"]
    assert [round(x, 2) for x in kappa[["value", "low", "high"]]] == [0.20, -0.33, 0.73]
    assert round(row.loc["Gwet's AC1", "value"], 2) == 0.64


def test_reader_against_network(results):
    row = results.loc["radiologist and network"]
    assert row.loc["raw agreement", "value"] == 12 / 16
    kappa = row.loc["Cohen's kappa"]
    assert kappa["value"] == 0 and "degenerate" in kappa["note"] and np.isnan(kappa["low"])
    assert round(row.loc["Gwet's AC1", "value"], 2) == 0.68


def test_sensitivity_and_specificity_of_the_reader(results):
    row = results.loc["radiologist against label"]
    assert row.loc["sensitivity", ["value", "n"]].tolist() == [11 / 14, 14]
    assert row.loc["specificity", ["value", "n"]].tolist() == [1 / 2, 2]


def test_who_is_right_more_often(paper):
    t = paper.readings()
    test = agreement.compare_correct(t["cnn"], t["reader"], t["label"])
    assert (test["first_only"], test["second_only"], test["p"]) == (3, 1, 0.625)


def test_helpfulness_against_agreement(paper):
    """9 or 10 of 12 where reader = CNN, else 1 of 4: Fisher p = .118 or .063."""
    frame = reading_results.helpfulness(paper).set_index("image_16")
    assert frame.loc["Some", ["yes_agree", "n_agree", "yes_differ", "n_differ"]].tolist() == [
        9,
        12,
        1,
        4,
    ]
    assert frame.loc["Yes", "yes_agree"] == 10
    assert frame["p"].round(3).to_dict() == {"Yes": 0.063, "Some": 0.118}


# Published worked examples


def test_kappa_of_the_irrcac_vignette():
    """Vignette: 0.7964094 with standard error 0.05891072 (SAS divides by n, irrCAC by n - 1)."""
    kappa = agreement.cohen_kappa(ABSTRACTORS)
    assert kappa.value == pytest.approx(0.7964094, abs=5e-8)
    half = stats.norm.ppf(0.975) * 0.05891072
    assert (kappa.high - kappa.low) / 2 == pytest.approx(half, rel=0.01)


def test_kappa_of_sexual_fun():
    """Agresti 1990 (SexualFun in R's vcd): kappa 0.1293, asymptotic standard error 0.06860."""
    table = [[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]]
    kappa = agreement.cohen_kappa(table)
    assert round(kappa.value, 4) == 0.1293
    assert (kappa.high - kappa.value) / stats.norm.ppf(0.975) == pytest.approx(0.06860, abs=5e-6)


def test_ac1_of_the_irrcac_vignette():
    """Vignette: 0.8493305, standard error 0.04321747, interval (0.764, 0.935)."""
    ac1 = agreement.gwet_ac1(ABSTRACTORS)
    assert ac1.value == pytest.approx(0.8493305, abs=5e-8)
    assert (round(ac1.low, 3), round(ac1.high, 3)) == (0.764, 0.935)
    error = (ac1.high - ac1.value) / stats.t.ppf(0.975, 99)
    assert error == pytest.approx(0.04321747, rel=1e-6)


def test_the_kappa_paradox():
    """Gwet 2002: 118 of 125 agreed, yet kappa is -0.0234; AC1 is 0.9408."""
    table = [[118, 5], [2, 0]]
    assert round(agreement.cohen_kappa(table).value, 4) == -0.0234
    assert round(agreement.gwet_ac1(table).value, 4) == 0.9408


def test_fleiss_kappa_of_the_irrcac_vignette():
    """Vignette, distrib.6raters: 0.4139265."""
    assert agreement.fleiss_kappa(psychiatrists()).value == pytest.approx(0.4139265, abs=5e-8)


def test_alpha_of_the_irrcac_vignette():
    """Vignette, distrib.6raters: 0.4204384."""
    assert agreement.krippendorff_alpha(psychiatrists()).value == pytest.approx(0.4204384, abs=5e-8)


@pytest.mark.parametrize(
    ("metric", "alpha"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_of_krippendorffs_own_example(metric, alpha):
    """Krippendorff 2011, section C: nominal .743, ordinal .815, interval .849, ratio .797."""
    assert round(agreement.krippendorff_alpha(KRIPPENDORFF, metric).value, 3) == alpha


def test_alpha_of_two_observers_and_two_values():
    """Krippendorff 2011, section A: 10 units, alpha .095."""
    ratings = pd.DataFrame(
        {"A": [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], "B": [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]}
    )
    assert round(agreement.krippendorff_alpha(ratings).value, 3) == 0.095


@pytest.mark.parametrize(
    ("counts", "limits"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_newcombe_unpaired(counts, limits):
    """Newcombe 1998, Stat Med 17:873, table II, method 10."""
    found = newcombe(*counts)
    assert (round(found.low, 4), round(found.high, 4)) == limits


def test_newcombe_paired():
    """R package contingencytables (Fagerland, Lydersen & Laake 2017, ch. 8), tests of Cavo 2012."""
    found = newcombe_paired(59, 6, 16, 80)
    assert [round(x, 4) for x in (found.value, found.low, found.high)] == [
        -0.0621,
        -0.1186,
        -0.0046,
    ]


def test_indices_of_byrt():
    """Byrt, Bishop & Carlin 1993: PI = (a - d) / n, BI = (b - c) / n, PABAK = 2 po - 1."""
    found = agreement.indices([[80, 5], [10, 5]])
    assert found == pytest.approx({"prevalence": 0.75, "bias": -0.05, "pabak": 0.7})


# Independent implementations

tables = st.lists(st.integers(0, 30), min_size=4, max_size=4).map(lambda x: np.reshape(x, (2, 2)))


@given(tables)
@settings(max_examples=60, deadline=None)
def test_kappa_is_scikit_learns_and_the_intervals_hold_their_value(table):
    assume(table.sum() > 1)
    found = agreement.cohen_kappa(table)
    if not found.note:
        assert found.value == pytest.approx(cohen_kappa_score(*expand(table, "ab")))
    for row in (found, agreement.gwet_ac1(table), agreement.raw_agreement(table)):
        assert row.note or row.low <= row.value <= row.high
        assert row.note or not np.isnan([row.value, row.low, row.high]).any()


@given(tables)
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_a_binomial_test_and_symmetric(table):
    assume(table.sum() > 0)
    test, turned = agreement.mcnemar(table), agreement.mcnemar(table.T)
    b, c = table[0, 1], table[1, 0]
    assert test["p"] == pytest.approx(stats.binomtest(int(b), int(b + c)).pvalue if b + c else 1)
    assert test["difference"].value == pytest.approx(-turned["difference"].value)
    assert test["difference"].low == pytest.approx(-turned["difference"].high)


@given(st.lists(st.integers(0, 3), min_size=12, max_size=40), st.randoms())
@settings(max_examples=40, deadline=None)
def test_alpha_by_its_definition(answers, random):
    """Over all pairs: 1 - observed / expected disagreement, the slow way."""
    ratings = pd.DataFrame(np.reshape(answers[: len(answers) // 3 * 3], (-1, 3))).astype(float)
    ratings.iloc[random.randrange(len(ratings)), random.randrange(3)] = np.nan
    found = agreement.krippendorff_alpha(ratings, "interval").value
    units = [unit[~np.isnan(unit)] for unit in ratings.to_numpy()]
    pooled = np.concatenate([unit for unit in units if len(unit) > 1])
    inside = sum(
        np.subtract.outer(u, u).__pow__(2).sum() / (len(u) - 1) for u in units if len(u) > 1
    )
    expected = np.subtract.outer(pooled, pooled).__pow__(2).sum() / (len(pooled) - 1)
    if expected:
        assert found == pytest.approx(1 - inside / expected)
    else:
        assert np.isnan(found)


# Degenerate and bad input: a note or a clear error, never NaN without a word


@pytest.mark.parametrize(
    "table", [[[16, 0], [0, 0]], [[12, 4], [0, 0]], [[0, 7], [0, 0]], [[9, 0], [0, 4]]]
)
def test_degenerate_tables_are_noted(table):
    kappa = agreement.cohen_kappa(table)
    assert "0/0" in kappa.note or "degenerate" in kappa.note


def test_ac1_survives_what_kappa_does_not():
    assert agreement.gwet_ac1([[16, 0], [0, 0]]).value == 1
    assert "one category" in agreement.gwet_ac1([[16]]).note
    assert "one case" in agreement.gwet_ac1([[1, 0], [0, 0]]).note


def test_empty_groups_are_noted():
    never = pd.Series([False, False])
    assert "empty" in agreement.two_groups(pd.Series([True, False]), never)["note"]
    assert agreement.mcnemar([[3, 0], [0, 4]])["note"]
    assert agreement.sensitivity_specificity(["a"], ["b"], "a")[0].note == "no positive case"
    assert newcombe(0, 0, 1, 2).note and newcombe_paired(0, 0, 0, 0).note


def test_several_raters_degenerate():
    same = pd.DataFrame({"A": [1, 1, 1], "B": [1, 1, 1]})
    alone = pd.DataFrame({"A": [1, X, 2], "B": [X, 1, X]})
    for found in (agreement.fleiss_kappa(same), agreement.krippendorff_alpha(same)):
        assert np.isnan(found.value) and "all answers equal" in found.note
    assert "two readings" in agreement.krippendorff_alpha(alone).note
    assert "all answers equal" in agreement.case_bootstrap(same, draws=20).note
    assert (
        "too few cases" in agreement.case_bootstrap(KRIPPENDORFF.head(1).assign(A=3), draws=20).note
    )


def test_bootstrap_counts_undefined_draws_and_repeats():
    ratings = pd.DataFrame({"A": [0, 0, 0, 1], "B": [0, 0, 0, 1]})
    found = agreement.case_bootstrap(ratings, draws=200, seed=1)
    assert "of 200 draws" in found.note and found.value == 1
    assert agreement.case_bootstrap(KRIPPENDORFF, draws=50) == agreement.case_bootstrap(
        KRIPPENDORFF, draws=50
    )


def test_bootstrap_holds_the_value():
    found = agreement.case_bootstrap(psychiatrists(), agreement.fleiss_kappa, draws=200)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.0812, rel=0.35)  # vignette's error


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (["a"], ["a", "b"], "different cases"),
        ([], [], "No case"),
        (["a", None], ["a", "b"], "row: 1; column: first"),
        (["a", "b"], ["a", "c"], "row: 1; column: second; found: c"),
    ],
)
def test_bad_pairs(first, second, words):
    with pytest.raises(DataError, match=words):
        agreement.cross_table(first, second, ["a", "b"])


def test_text_where_a_score_belongs():
    frame = KRIPPENDORFF.astype(object)
    frame.loc[3, "B"] = "high"
    with pytest.raises(DataError, match="row: 3; column: B; found: high"):
        agreement.krippendorff_alpha(frame, "ordinal")
    with pytest.raises(DataError, match="krippendorff_alpha"):
        agreement.fleiss_kappa(KRIPPENDORFF)
    with pytest.raises(DataError, match="Unknown metric"):
        agreement.krippendorff_alpha(KRIPPENDORFF, "cosine")
    with pytest.raises(DataError, match="Two answers"):
        agreement.indices(ABSTRACTORS)


def test_a_missing_answer_is_no_answer():
    with pytest.raises(DataError, match="row: 1; column: calls"):
        agreement.sensitivity_specificity(["y", None, "n"], ["y", "y", "n"], "y")
    with pytest.raises(DataError, match="row: 2; column: truth"):
        agreement.sensitivity_specificity(["y", "y", "n"], ["y", "y", np.nan], "y")


@pytest.mark.parametrize("metric", ["ordinal", "interval", "ratio"])
def test_numbers_read_from_a_file_as_text_keep_their_order(metric):
    numbers = pd.DataFrame({"a": [1, 2, 10, 10, 1], "b": [1, 10, 10, 2, np.nan]})
    text = numbers.map(lambda x: x if np.isnan(x) else f"{x:g}").astype(object)
    assert agreement.krippendorff_alpha(text, metric) == agreement.krippendorff_alpha(
        numbers, metric
    )
