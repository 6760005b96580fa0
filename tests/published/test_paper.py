"""The paper's tables as typed: against the paper's own text, and against bad typing."""

import re
import shutil

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT, SHARED

from camreader.common.errors import DataError
from camreader.published import paper as published

FOLDER = ROOT / "data" / "published"


@pytest.fixture(scope="module")
def paper():
    return published.load(FOLDER)


@pytest.fixture
def copy(tmp_path):
    """A folder of published tables that a test may spoil."""
    return shutil.copytree(FOLDER, tmp_path / "published")


def spoil(folder, name, old, new):
    path = folder / name
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))
    return folder


@pytest.fixture(scope="module")
def article():
    """The paper's text, in which the cells of a table stand on lines of their own."""
    path = SHARED / "paper.txt"
    if not path.exists():
        pytest.skip("the paper's text is not at hand (../shared/paper.txt)")
    return path.read_text()


def test_table_3_is_the_papers_own(paper, article):
    """Every printed cell of rows 1 to 15, and the label of row 16, re-read from the paper."""
    readings, table = paper.readings(), article[article.rindex("Grad-CAM Helpfulness") :]
    rows = re.split(r"\n\t(\d+)\n\t \[image: [^\]]*\]\n\t", table)[1:]
    found = {int(image): cells for image, cells in zip(rows[::2], rows[1::2], strict=True)}
    assert list(found) == list(range(1, 17))
    for image, text in found.items():
        cells = [cell.strip() for cell in text.split("\n\t")]
        assert cells[0] == readings.loc[image, "label"]
        if image == 16:
            assert cells[1:] == []  # cut off
            continue
        reader, _, finding = cells[2].partition(" (")
        expected = readings.loc[image]
        assert (cells[1], reader) == (expected["cnn"], expected["reader"])
        assert finding.rstrip(")") == (expected["finding"] if finding else "")
        assert pd.isna(expected["finding"]) == (not finding)
        assert cells[3].split("\n")[0] == expected["helpfulness"]


def test_table_2_is_the_papers_own(paper, article):
    table = article[article.rindex("Table 2. Classification statistics") :]
    printed = re.findall(r"[\d.]+(?=%)", table[: table.index("Table 3.")])
    values = paper.cells(2)[0].drop(columns="test_images").T.to_numpy().ravel()
    assert printed == [value for value in values]


def test_every_printed_number_of_the_text_stands_in_it(paper, article):
    printed = paper.text.query("status == 'printed'")
    words = {"1": "A qualified clinical radiologist", "20": "20%", "95": "95%"}
    for row in printed.itertuples():
        assert words.get(row.value, row.value) in article, row.quantity


def test_statuses(paper):
    """FACTS section 4: row 16 is printed, inferred and missing cell by cell."""
    status = paper.cells(3)[1]
    assert status.loc[16].to_dict() == {
        "label": "printed",
        "cnn": "inferred",
        "reader": "inferred",
        "finding": "missing",
        "helpfulness": "missing",
    }
    assert (status.drop(index=16) == "printed").all(axis=None)


def test_row_16_by_enumeration(paper):
    """FACTS section 4: only Has/Has/Has fits the counts 12, 12 and 2."""
    frame = published.enumerate_row16(paper)
    assert len(frame) == 4
    only = frame[frame["fits"]].iloc[0]
    assert (only["cnn"], only["reader"], len(frame[frame["fits"]])) == ("Has Tumor",) * 2 + (1,)


def test_helpfulness_of_row_16_stays_open(paper):
    """FACTS section 4: "Yes" is 10 or 11 of 16, "Some" 6 or 5."""
    counts = [
        t["helpfulness"].value_counts() for t in published.completions(paper.readings()).values()
    ]
    assert [(c["Yes"], c["Some"]) for c in counts] == [(11, 5), (10, 6)]


def test_a_wrong_inference_is_noticed(copy):
    spoil(copy, "table3.csv", "16,cnn,Has Tumor", "16,cnn,No Tumor")
    with pytest.raises(DataError, match="Row 16"):
        published.enumerate_row16(published.load(copy))


@pytest.mark.parametrize("percent", ["85.414", "14.586", "98.126"])
def test_no_count_fits(percent):
    """FACTS section 4: no k/n with n <= 400 rounds to these."""
    assert published.matching_counts(percent, 400).empty


@pytest.mark.parametrize(("percent", "k"), [("91.909", 284), ("8.091", 25)])
def test_one_count_fits(percent, k):
    """FACTS section 4: only 284/309 and 25/309."""
    assert published.matching_counts(percent, 400).to_numpy().tolist() == [[k, 309]]


def test_14_errors_force_341_images():
    """FACTS section 4: n = 341, that is 1,701 to 1,709 images in all."""
    counts = published.matching_counts("95.89", 3000)
    assert counts[counts["n"] - counts["k"] == 14].to_numpy().tolist() == [[327, 341]]
    assert published.image_totals(341) == (1701, 1709)


@given(st.integers(1, 400), st.data(), st.integers(0, 3))
def test_a_rounded_share_always_finds_its_own_count(n, data, decimals):
    k = data.draw(st.integers(0, n))
    percent = f"{100 * k / n:.{decimals}f}"
    found = published.matching_counts(percent, n, n)["k"].tolist()
    assert k in found
    assert all(
        abs(100 * other / n - float(percent)) <= 0.5 * 10**-decimals + 1e-9 for other in found
    )


@given(st.integers(1, 3000))
def test_image_totals_agree_with_a_splitter_that_rounds_up(total):
    n_test = -(-total // 5)  # scikit-learn's train_test_split rounds the test part up
    low, high = published.image_totals(n_test)
    assert low <= total <= high


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("table3.csv", "\n4,reader,Has Tumor,printed", "\n4,reader,Has Tumour,printed", "reader"),
        ("table3.csv", "\n4,reader,Has Tumor,printed", "\n4,reader,,printed", "reader"),
        ("table3.csv", "\n4,reader,Has Tumor,printed", "\n4,reader,Has Tumor,guessed", "status"),
        ("table3.csv", "\n4,reader,", "\n4,cnn,", "twice"),
        ("table3.csv", "16,helpfulness,,missing", "16,helpfulness,Yes,missing", "helpfulness"),
        ("table2.csv", "row,column,value", "row,colour,value", "column"),
        ("text.csv", "\nreadings,16,printed", "\nreaders,16,printed", "quantity"),
    ],
)
def test_bad_typing_is_named(copy, name, old, new, words):
    with pytest.raises(DataError, match=words):
        published.load(spoil(copy, name, old, new))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"table1\.csv"):
        published.load(tmp_path)


def test_numbers_of_the_text(paper):
    assert paper.number("final_percent") == 95.89
    for quantity, problem in (("unheard_of", "Unknown"), ("stopping_set", "Not a number")):
        with pytest.raises(DataError, match=problem):
            paper.number(quantity)
    with pytest.raises(DataError, match="missing"):
        paper.number("liver_images")
