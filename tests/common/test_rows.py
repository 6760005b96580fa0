"""Tables as people's programs write them: the same rows, or a refusal that names row and column."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camreader.common.errors import DataError
from camreader.common.rows import (
    Cell,
    is_shortened,
    plain_name,
    plain_number,
    read_rows,
    yes_or_no,
)

COLUMNS = ("name", "score")


def read(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_rows(path, COLUMNS, "the table", **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


WORDS = st.text("abcXYZäß漢 '#;,|.-\"", min_size=1, max_size=6).filter(lambda t: t.strip() == t)
NUMBERS = st.decimals(-999, 999, places=2)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(WORDS, NUMBERS, st.sampled_from(["", "x"])), min_size=1, max_size=6),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    comma=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1250"]),
    end=st.sampled_from(["\n", "\r\n"]),
    index=st.sampled_from([None, "", "Unnamed: 0"]),
    blanks=st.sampled_from(["", " ", "\u00a0"]),
    trailing=st.sampled_from(["", "sep", "lines"]),
    say=st.booleans(),
)
def test_a_table_in_any_dress_is_the_same_table_or_is_refused_by_row(
    path, rows, separator, comma, encoding, end, index, blanks, trailing, say
):
    """Written by the csv module as spreadsheets and pandas do, in every combination."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=end)
    if say:
        out.write(f"sep={separator}{end}")
    head = [f"{blanks}Name", f"SCORE{blanks}", "note"]
    writer.writerow(([index] if index is not None else []) + head)
    for number, (name, score, note) in enumerate(rows):
        text = str(score).replace(".", ",") if comma else str(score)
        cells = [blanks + name + blanks, text, note] + ([""] if trailing == "sep" else [])
        writer.writerow(([str(number)] if index is not None else []) + cells)
    if trailing == "lines":
        out.write(end + separator * 2 + end)
    try:
        content = out.getvalue().encode(encoding)
    except UnicodeEncodeError:
        return
    try:
        table = read(path, content)
    except DataError as error:
        places = error.places
        assert places["file"] == path and "row" in places
        strange = encoding in ("latin-1", "cp1250") and not content.isascii()
        assert strange or (comma and separator == ",")  # two cells' worth in one, by quotes
        return
    found = []
    try:
        found = [(c.text("name"), c.numbers("score", 1)[0]) for c in table.cells()]
    except DataError as error:  # a quoted "0,35" in a table of commas: not guessed
        assert comma and separator == "," and error.places["column"] == "score"
        return
    missing = ("?", "-", "--", ".")
    assert found == [("" if n in missing else n, float(s)) for n, s, _ in rows]
    assert table.unread == ((() if index is None else (index or "column 1",)) + ("note",))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_a_table_of_a_western_code_page_is_read_with_a_word(path, encoding):
    content = "name;score;größe\nMüller, José;1,5;2\nd’Été;2;3\n"
    content = content if encoding == "cp1252" else content.replace("’", "'")
    with pytest.warns(UserWarning, match="Windows-1252 .*größe"):
        table = read(path, content.encode(encoding))
    names = [cell.text("name") for cell in table.cells()]
    assert names == ["Müller, José", content.split("\n")[2].split(";")[0]]
    assert table.unread == ("größe",) and table.western == "größe"


def test_tables_written_by_pandas(path):
    frame = pd.DataFrame({"name": ["a", "b c"], "score": [1.5, -2.25]})
    for options in ({}, {"index": False}, {"sep": ";", "decimal": ","}, {"sep": "\t"}):
        frame.to_csv(path, **options)
        table = read_rows(path, COLUMNS, "the table")
        found = [(c.text("name"), c.numbers("score", 1)[0]) for c in table.cells()]
        assert found == [("a", 1.5), ("b c", -2.25)]


R_TABLES = {  # printed by R 4.3: write.table(d), write.csv(d), write.csv2(d, row.names = FALSE)
    "write.table": '"name" "score"\n"1" "a" 1.5\n"2" "b c" -2.25\n',
    "write.csv": '"","name","score"\n"1","a",1.5\n"2","b c",-2.25\n',
    "write.csv2": '"name";"score"\n"a";1,5\n"b c";-2,25\n',
}


@pytest.mark.parametrize("how", R_TABLES)
def test_tables_written_by_r(path, how):
    table = read(path, R_TABLES[how])
    found = [(c.text("name"), c.numbers("score", 1)[0]) for c in table.cells()]
    assert found == [("a", 1.5), ("b c", -2.25)]


REFUSED = {  # content, row, words
    "a comma too many": ("name,score\na,0,35\n", 2, "3 cells"),
    "a cell missing": ("name,score\na,1\nb\n", 3, "1 cells"),
    "two of a name": ("name,score,Score\na,1,2\n", 1, "twice"),
    "no such column": ("name,points\na,1\n", 1, "columns name, points"),
    "an eastern code page": ("name,score\nStanisław,1\n".encode("cp1250"), 2, "CSV UTF-8"),
    "a name in a DOS code page": ("name,score,größe\na,1,2\n".encode("cp437"), 1, "CSV UTF-8"),
    "two encodings": ("name,score\nä,1\n".encode() + "ö,2\n".encode("cp1252"), 3, "CSV UTF-8"),
    "a byte of no sign": (b"name,score\n\x81,1\n", 2, "CSV UTF-8"),
    "comma and point": ("name;score\na;1,5\nb;1.5\n", 3, "decimal"),
    "bytes": (b"name,score\na,1\n\0\0,2\n", 3, "no text"),
    "an open quote": ('name,score\na,1\n"b,2\n', 3, "damaged"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_by_row(path, kind):
    content, row, words = REFUSED[kind]
    with pytest.raises(DataError, match=words) as raised:
        read(path, content)
    assert raised.value.places["file"] == path and raised.value.places["row"] == row


def test_a_workbook_and_an_empty_file_are_named(path):
    with pytest.raises(DataError, match="no readable workbook"):
        read(path, b"PK\x03\x04 and so on")
    with pytest.raises(DataError, match="spreadsheet of an old kind"):
        read(path, b"\xd0\xcf\x11\xe0 and so on")
    with pytest.raises(DataError, match="empty"):
        read(path, "\n,,\n")
    with pytest.raises(DataError, match="not found"):
        read_rows(path.with_name("none.csv"), COLUMNS, "the table")


def test_synonyms_and_comments_and_what_is_not_read(path):
    text = "# made by hand\nSubject;score;colour;\n a ;1,5;red;\n"
    table = read(path, text, synonyms={"name": ("subject",)})
    assert table.rows == [(3, {"name": "a", "score": "1,5"})] and table.unread == ("colour",)
    with pytest.raises(DataError, match="twice"):
        read(path, "Subject,who,score\na,b,1\n", synonyms={"name": ("subject", "who")})
    table = read(path, "who,name,score\nz,a,1\n", synonyms={"name": ("who",)})
    assert table.rows[0][1]["name"] == "a" and table.unread == ("who",)


def test_words_for_a_missing_value():
    for word in ("NA", "nan", "?", " - ", "None", "unknown", "\u00a0"):
        assert Cell("t", 2, {"a": word}).text("a") == ""
    assert Cell("t", 2, {"a": " Nancy "}).text("a") == "Nancy"


@pytest.mark.parametrize("text", ["nan", "1_0", "inf", "0x1", "1,5", "", "１"])
def test_only_plain_numbers_are_numbers(text):
    with pytest.raises(ValueError):
        plain_number(text)
    assert plain_number(" -1.5e3 ") == -1500


# Inputs thought up by an adversary of the kinds that public reports named


@pytest.mark.parametrize("word", ["#N/A", "#NV", "#REF!", "k.A.", "missing", "(null)", "Anonymous"])
def test_what_spreadsheets_write_for_nothing_is_nothing(path, word):
    cells = list(read(path, f"name;score\n{word};1\nMissingham;2\n").cells())
    assert [cell.text("name") for cell in cells] == ["", "Missingham"]


def test_a_comma_that_may_part_thousands_is_asked_about(path):
    with pytest.raises(DataError, match=r"row: 2; column: score.*1250 or 1\.250"):
        read(path, "name;score\na;1,250\nb;2,375\n")
    for told in ("name;score\na;1,250\nb;0,375\n", "name;score;x\na;1,250;0,5\n"):
        assert next(read(path, told, keep=True).cells()).numbers("score", 1) == (1.25,)


def test_exponents_with_a_decimal_comma(path):
    table = read(path, "name;score\na;4,11e-05\nb;-2,5E+3\n")
    assert [cell.numbers("score", 1)[0] for cell in table.cells()] == [4.11e-05, -2500.0]


def test_names_that_look_the_same_are_the_same():
    spelt = ["Mu\u0308ller A", "M\u00fcller\u00a0A", "M\u00fc\u00adller A "]
    spelt.append("\u200bM\u00fcll\u2060er A")
    assert {plain_name(name) for name in spelt} == {"Müller A"}
    assert is_shortened("1.23457E+17") and is_shortened("9,1E+12")
    assert not any(map(is_shortened, ("E+17", "12.5E+3", "1.5E-17", "P1E+17", "1E5")))


def test_true_and_false_in_words():
    assert yes_or_no(" WAHR\u00a0") is True and yes_or_no("faux") is False
    assert yes_or_no("perhaps") is None and yes_or_no("") is False
