"""The claims ledger: complete, computed, and moving with the data it rests on."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from places import ROOT

from camreader.__main__ import main
from camreader.common.errors import DataError
from camreader.published import claims, numbers
from camreader.published import paper as published
from camreader.published import plots as draw
from camreader.statistics.intervals import wilson

FOLDER = ROOT / "data" / "published"


@pytest.fixture(scope="module")
def paper():
    return published.load(FOLDER)


@pytest.fixture(scope="module")
def listed():
    return claims.read_claims(FOLDER)


@pytest.fixture(scope="module")
def ledger(paper, listed):
    return claims.ledger(paper, listed).set_index("id")


def verdicts(paper, listed):
    return claims.ledger(paper, listed).set_index("id")["verdict"]


def with_cells(paper, table, changes):
    """The paper with some cells of a table changed: {(row, column): value}."""
    cells = getattr(paper, table).copy()
    for (row, column), value in changes.items():
        here = (cells["row"] == str(row)) & (cells["column"] == column)
        assert here.sum() == 1
        cells.loc[here, ["value", "status"]] = value, "printed"
    return dataclasses.replace(paper, **{table: cells})


def with_text(paper, **changes):
    text = paper.text.copy()
    for quantity, value in changes.items():
        assert (text["quantity"] == quantity).sum() == 1
        text.loc[text["quantity"] == quantity, ["value", "status"]] = value, "printed"
    return dataclasses.replace(paper, text=text)


# What the ledger must hold


def test_it_is_long_enough_and_every_claim_is_decided(ledger):
    assert len(ledger) >= 25
    kinds = set(ledger["verdict"].map(claims.kind))
    assert kinds <= set(draw.VERDICTS)
    assert ledger["reason"].str.len().min() > 20 and ledger["recomputed"].ne("").all()
    known = ledger.dropna(subset=["low"])
    assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all()


def test_no_verdict_is_typed(listed):
    """data/published/claims.csv has neither a verdict column nor a verdict word."""
    assert "verdict" not in listed
    text = (FOLDER / "claims.csv").read_text()
    assert not any(word in text for word in draw.VERDICTS)


@pytest.mark.parametrize(
    ("claim", "recomputed"),
    [
        ("differ-images", "6, 11, 13, 14"),
        ("differ-sum", "12 + 3 of 16"),
        ("single-error", "6, 15"),
        ("accuracy-unseen", "stopped on the test set"),
        ("cited-best", "2 of 3"),
        ("heatmap-set", "testing data"),
    ],
)
def test_each_contradiction_of_facts_section_4(ledger, claim, recomputed):
    assert ledger.loc[claim, "verdict"] == "contradicted"
    assert ledger.loc[claim, "recomputed"].startswith(recomputed)


@pytest.mark.parametrize("claim", ["accuracy-1", "test-error-1", "accuracy-2", "test-error-2"])
def test_what_is_no_count_may_be_a_mean_of_batches(ledger, claim):
    """FACTS section 12: of batch sizes 2 to 340 only 128 and 194 fit both percentages."""
    row = ledger.loc[claim]
    assert row["verdict"] == "no count of the 341 images; fits averages over batches of 128"
    assert claims.kind(row["verdict"]) == "no count of the images"
    assert "batches of 128 and 194" in row["reason"]


def test_the_batches_are_those_written_out_by_hand():
    """(203/128 + 83/85)/3 and (243/128 + 73/85)/3, FACTS section 12."""
    for whole, rest, percent in ((203, 83, "85.414"), (243, 73, "91.909")):
        assert f"{100 * (whole / 128 + rest / 85) / 3:.3f}" == percent
        assert 128 in published.batch_sizes([percent], 341)
    assert published.batch_sizes(["85.414", "91.909"], 341) == [128, 194]
    assert published.batch_sizes(["85.337"], 341) != []  # 291 of 341, and of many batch sizes


def test_lung_has_a_set_of_its_own_and_cannot_be_small(ledger):
    assert ledger.loc["accuracy-lung", "recomputed"] == "no count up to 426, first 419 of 427"
    assert ledger.loc["region-small", "recomputed"] == "427 images or more"
    kinds = ledger.loc[["accuracy-lung", "region-small"], "verdict"].map(claims.kind)
    assert set(kinds) == {"no count of the images"}


def test_helpful_is_taken_by_the_papers_own_words_and_more_strictly(ledger):
    """15 of 15 known, Wilson .796 to 1; a plain Yes 10 or 11 of 16."""
    row = ledger.loc["helpful-overall"]
    assert row["recomputed"] == "15 of 15 (1 unknown)" and round(row["low"], 3) == 0.796
    assert row["verdict"] == "reproduced"
    assert ledger.loc["helpful-yes", ["basis", "verdict"]].tolist() == [
        "our reading",
        "not supported at n = 16",
    ]


def test_false_negatives_against_positives_by_the_images_that_are_named(ledger):
    """1 of 1 against 0 of 2, p .333; with image 13 p 1.000 (FACTS section 12)."""
    row = ledger.loc["fn-fp-label"]
    assert row["recomputed"].endswith("1 of 1 against 0 of 2") and row["basis"] == "our reading"
    assert "p = 0.333" in row["reason"] and "1 of 1 against 1 of 3, p = 1.000" in row["reason"]


def test_quotes_are_the_papers_and_short(listed):
    path = ROOT.parent / "shared" / "paper.txt"
    if not path.exists():
        pytest.skip("the text of the paper is not beside this repository (../shared/paper.txt)")
    text = " ".join(path.read_text().split())
    assert [q for q in listed["quote"] if q not in text] == []
    assert listed["quote"].str.split().str.len().max() <= 20


def test_facts_are_counted_once_and_only_where_the_paper_states_them(ledger):
    facts = claims.by_fact(ledger.reset_index())
    assert facts["fact"].is_unique and set(facts["basis"]) == {"stated"}
    assert not {"sum-1", "equation-2", "accuracy-true", "test-error-2"} <= set(facts["id"])
    assert len(facts) < len(ledger) - 15


def test_what_facts_section_4_calls_uncheckable(ledger):
    """No negative call among the 16; no unaided reading."""
    for claim in ("fn-fp-network", "fewer-false", "potential"):
        assert ledger.loc[claim, "verdict"] == "cannot be checked"
    assert ledger.loc["fn-fp-network", "recomputed"].startswith("0 negative calls")
    assert "before the heat-map" in ledger.loc["fewer-false", "reason"]


def test_the_final_accuracy(ledger):
    """FACTS section 4: n = 341, Wilson .932 to .975; 1,701 to 1,709 images in all."""
    row = ledger.loc["accuracy-final"]
    assert (row["n"], round(row["low"], 3), round(row["high"], 3)) == (341, 0.932, 0.975)
    assert ledger.loc["images", ["low", "high"]].tolist() == [1701, 1709]


def test_the_counts_of_the_discussion(ledger):
    """FACTS section 4: 12/16 (.505 to .898) twice, and two images."""
    for claim in ("reader-label", "reader-cnn"):
        row = ledger.loc[claim]
        assert (row["recomputed"], row["verdict"]) == ("12 of 16", "reproduced")
        assert (round(row["low"], 3), round(row["high"], 3)) == (0.505, 0.898)
        assert "11 of 15" in row["reason"]  # what the printed rows alone give
    assert ledger.loc["cnn-label", "recomputed"] == "2 of 16"


def test_helpfulness_and_agreement(ledger):
    row = ledger.loc["helpful-agreement"]
    assert row["verdict"] == "not supported at n = 16"
    assert "0.118 or 0.063" in row["reason"] and row["recomputed"].startswith("9 or 10 of 12")


def test_a_missing_cell_is_not_counted_as_agreement(ledger):
    assert ledger.loc["all-helpful", "verdict"] == "consistent, one cell missing"
    assert ledger.loc["all-helpful", "n"] == 15


# The verdicts move


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        (
            {(13, "reader"): "Has Tumor"},
            {"differ-images": "reproduced", "reader-label": "contradicted"},
        ),
        ({(6, "label"): "Has Tumor"}, {"single-error": "reproduced", "cnn-label": "contradicted"}),
        (
            {(6, "helpfulness"): "No"},
            {"side-helpful": "contradicted", "none-unhelpful": "contradicted"},
        ),
        (
            {(16, "helpfulness"): "Some"},
            {"all-helpful": "reproduced", "none-unhelpful": "reproduced"},
        ),
        ({(14, "finding"): "Cyst"}, {"image-14": "contradicted"}),
        (
            {(3, "cnn"): "No Tumor"},
            {"both-errors": "reproduced", "fn-fp-network": "not supported at n = 1"},
        ),
        (
            {(i, "reader"): "Has Tumor" for i in (11, 13, 14)} | {(6, "label"): "Has Tumor"},
            {"differences": "contradicted", "fn-fp-label": "cannot be checked"},
        ),
        ({(i, "helpfulness"): "Yes" for i in (1, 9, 14, 15)}, {"helpful-yes": "reproduced"}),
        ({(i, "helpfulness"): "Some" for i in range(1, 16)}, {"helpful-yes": "contradicted"}),
        ({(i, "helpfulness"): "No" for i in range(1, 16)}, {"helpful-overall": "contradicted"}),
        (
            {(13, "helpfulness"): "Some", (1, "helpfulness"): "Yes"},
            {"helpful-agreement": "reproduced"},
        ),
    ],
)
def test_verdicts_move_with_table_3(paper, listed, ledger, changes, moved):
    found = verdicts(with_cells(paper, "table3", changes), listed)
    for claim, verdict in moved.items():
        assert ledger.loc[claim, "verdict"] != verdict
        assert found[claim] == verdict, claim


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"stopping_set": "validation"}, {"accuracy-unseen": "reproduced"}),
        ({"heatmap_set_method": "test"}, {"heatmap-set": "reproduced"}),
        ({"lung_percent": "98.240"}, {"accuracy-lung": "reproduced"}),
        ({"cyst_label": "1"}, {"cysts-labels": "contradicted"}),
        ({"liver_images": "40"}, {"accuracy-liver": "reproduced"}),
        (
            {"threshold_percent": "98"},
            {"threshold": "contradicted", "accuracy-true": "contradicted"},
        ),
        ({"threshold_percent": "93"}, {"accuracy-true": "reproduced"}),
        ({"images_about": "2500"}, {"images": "contradicted", "split": "contradicted"}),
    ],
)
def test_verdicts_move_with_the_text(paper, listed, ledger, changes, moved):
    changed = with_text(paper, **changes)
    keep = listed[listed["id"].isin(moved)]
    for claim, verdict in moved.items():
        assert ledger.loc[claim, "verdict"] != verdict
        assert verdicts(changed, keep)[claim] == verdict, claim


def test_verdicts_move_with_table_2(paper, listed):
    """287 and 327 of 341, as whole counts of the same test set."""
    cells = {("first", "accuracy_percent"): "84.164", ("second", "accuracy_percent"): "95.894"}
    found = verdicts(with_cells(paper, "table2", cells), listed)
    assert found["accuracy-1"] == found["accuracy-2"] == found["run-2-better"] == "reproduced"
    assert found["sum-1"] == "contradicted"


def test_what_is_recorded_after_all_needs_a_check_of_its_own(paper, listed):
    with pytest.raises(DataError, match="recorded"):
        verdicts(with_text(paper, acceptance="0.5"), listed[listed["id"] == "acceptance"])


def test_a_test_set_that_is_not_determined_is_an_error(paper):
    with pytest.raises(DataError, match="not determined"):
        numbers.final_test(with_text(paper, final_percent="95.9"))


def test_the_images_that_would_be_needed(ledger):
    """90 of 90: the first whose lower limit passes 327 of 341."""
    assert "90 of 90" in ledger.loc["accuracy-liver", "reason"]
    assert wilson(90, 90).low > 327 / 341 > wilson(89, 89).low


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            ",count,reader_equals_label",
            ",guess,reader_equals_label",
            "row: reader-label; column: check",
        ),
        (",count,reader_equals_label", ",_images,reader_equals_label", "Unknown check"),
        (",count,reader_equals_label", ",wilson,reader_equals_label", "Unknown check"),
        (",count,reader_equals_label", ",final_test,reader_equals_label", "Unknown check"),
        ("reader-cnn,", "reader-label,", "column: id"),
    ],
)
def test_a_bad_list_of_claims_is_named(tmp_path, old, new, words):
    folder = shutil.copytree(FOLDER, tmp_path / "published")
    text = (folder / "claims.csv").read_text()
    assert old in text
    (folder / "claims.csv").write_text(text.replace(old, new))
    with pytest.raises(DataError, match=words):
        claims.read_claims(folder)


def test_an_argument_that_no_check_knows_is_named(paper, listed):
    for claim, argument in (("reader-label", "reader_equals_lable"), ("sum-1", "third")):
        changed = listed[listed["id"] == claim].assign(argument=argument)
        with pytest.raises(DataError, match=f"row: {claim}; column: argument; found: {argument}"):
            claims.ledger(paper, changed)


def test_what_was_not_printed_is_not_held_against_the_paper(ledger):
    """Which images beyond the 16 were shown is unknown: with errors of both kinds, perhaps."""
    row = ledger.loc["both-errors"]
    assert row["verdict"] == "cannot be checked" and row["recomputed"].startswith("2 false pos")
    for claim in ("run-2-better", "final-better"):  # n unknown: the printed difference, no interval
        row = ledger.loc[claim]
        assert row["verdict"] == "cannot be checked" and np.isnan(row["low"]) and pd.isna(row["n"])
        assert f"{100 * row['value']:+.3f} points" == row["recomputed"] == row["published"]


def test_incomplete_labels_are_those_beside_the_key_slices(paper, listed, ledger):
    """FACTS section 1: 59 % of any non-key slice; key slices hold a lesion by definition."""
    assert ledger.loc["labels-incomplete", "value"] == pytest.approx(0.59)
    found = verdicts(with_text(paper, hidden_percent="0"), listed)
    assert found["labels-incomplete"] == "contradicted"


# What this run measured


def measured(folder):
    """Tables as the other notebooks write them: two of four, one with a gap."""
    folder.mkdir(parents=True)
    rows = [("paper", "final", "accuracy", 0.96, 0.93, 0.98, 341, "")]
    rows += [
        ("sound", "final", "accuracy", np.nan, np.nan, np.nan, 0, "3 patients needed, 1 found")
    ]
    names = ["protocol", "run", "metric", "value", "low", "high", "n", "note"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "03_metrics.csv", index=False)
    row = {
        "kind": "all",
        "method": "gradcam",
        "hit": 0.5,
        "hit_low": 0.4,
        "hit_high": 0.6,
        "n": 200,
    }
    part = {**row, "kind": "region", "hit": 0.9}
    pd.DataFrame([part, row]).to_csv(folder / "04_localisation.csv", index=False)
    return folder


def test_this_run_is_read_where_it_exists(ledger, tmp_path):
    folder = measured(tmp_path / "tables")
    said = claims.with_this_run(ledger.reset_index(), folder).set_index("id")["this_run"]
    assert said["accuracy-final"] == "paper: 96.0 % (93.0–98.0, n = 341)"
    assert said["cited-ms"].startswith("Grad-CAM on the lesion: 50.0 % (40.0–60.0, n = 200)")
    assert "3 patients needed, 1 found" in said["accuracy-unseen"]
    assert said["accuracy-1"].startswith("first run: not measured in this run: 03_metrics has no")
    assert said["accuracy-lung"] == said["image-6"] == claims.NOT_MEASURED


def test_a_claim_compares_numbers_of_one_protocol(ledger):
    """Lung and liver against all, each protocol for itself: three numbers twice."""
    for name, measure in claims.MEASURED["region-higher"].items():
        assert measure.where["protocol"] == name.split(", ")[0]
    assert len(claims.MEASURED["region-higher"]) == 6


def test_every_measured_claim_is_a_claim(ledger):
    assert set(claims.MEASURED) <= set(ledger.index)


def test_the_program_adds_this_run(ledger, tmp_path):
    folder = measured(tmp_path / "tables")
    ledger.reset_index().to_csv(folder / "claims_published.csv", index=False)
    assert main(["claims", "--reports", str(tmp_path)]) == 0
    written = pd.read_csv(folder / "claims.csv")
    assert len(written) == len(ledger) and written["this_run"].notna().all()
