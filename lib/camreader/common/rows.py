"""A table that a person or another program wrote: read rightly, or refused by row and column.

Spreadsheets, pandas and R write the same table in many ways. What is told apart here without
guessing is read; whatever could be read in two ways is refused. Rows count as in a spreadsheet,
the header being row 1. Every table of the study's users comes in through `read_rows`.
"""

import csv
import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camreader.common import workbooks
from camreader.common.errors import DataError
from camreader.common.text import counted

SEPARATORS = (",", ";", "\t", "|", " ")
MISSING = frozenset(
    ("", "nan", "na", "n/a", "<na>", "none", "null", "nil", "nat", "?", "-", "--", ".", "unknown")
).union(  # what spreadsheets, data bases and people write for a value that is not there
    ("#n/a", "#na", "#nv", "#name?", "#ref!", "#value!", "#div/0!", "#null!", "#num!", "#bezug!"),
    ("#wert!", "n.a.", "k.a.", "(null)", "(blank)", "(leer)", "undefined", "missing"),
    ("not available", "not known", "unbekannt", "inconnu", "tbd", "anonymous", "anonymized"),
    ("anonymised", "anonym"),
)
YES = frozenset(  # TRUE also as spreadsheets of other languages write it
    ("true", "t", "yes", "y", "1", "1.0", "ja", "oui", "si", "sí", "sim", "wahr", "vrai", "vero")
).union(("verdadero", "verdadeiro", "simulated"))
NO = frozenset(
    ("", "false", "f", "no", "n", "0", "0.0", "nein", "non", "falsch", "faux", "falso", "recorded")
)
BLANKS = " \t\r\n\f\v\u00a0\u2007\u202f\u200b\ufeff"  # also those that look like nothing
WESTERN_SIGNS = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœŸ’°µ§«»\u00a0")
_MARKS = (  # byte order marks; UTF-32 first, whose mark begins as that of UTF-16
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?")
_WITH_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+([eE][-+]?[0-9]{1,3})?")
_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")
_SHORTENED = re.compile(r"[0-9]([.,][0-9]+)?[eE]\+[0-9]{2,}")
_UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff]")  # signs that have no width
_WITH_POINT = re.compile(r"[-+]?[0-9]+\.[0-9]+([eE][-+]?[0-9]{1,3})?")


def _wrong(
    words: str, path: str | Path, row: int, column: str | None, found: str, expected: Any = None
) -> DataError:
    """The DataError for one cell, or for a whole row."""
    return DataError(words, file=path, row=row, column=column, found=found, expected=expected)


class Cell:
    """Parses cells of one row; every failure is a DataError naming file, row and column."""

    def __init__(
        self, path: str | Path, row: int, cells: Mapping[str, str], comma: bool = False
    ) -> None:
        self.path, self.row, self.cells, self.comma = path, row, cells, comma

    def wrong(self, column: str, expected: str) -> DataError:
        """The DataError for this row's `column`."""
        found = repr(self.cells[column])
        return _wrong("Bad value", self.path, self.row, column, found, expected)

    def text(self, column: str) -> str:
        """The cell's text; empty where it says in one word that there is none (NA, nan, ?)."""
        text = self.cells.get(column, "").strip(BLANKS)
        return "" if text.lower() in MISSING else text

    def numbers(
        self, column: str, count: int, low: float = -1e6, high: float = 1e6
    ) -> tuple[float, ...]:
        """A tuple of `count` finite numbers between low and high, separated by commas."""
        expected = f"{counted(count, 'number')} between {low:g} and {high:g}"
        text = self.cells[column].strip(BLANKS)
        if count == 1:
            text = point_for_comma(text, self.comma)
        try:
            values = tuple(plain_number(part) for part in text.split(","))
        except ValueError:
            raise self.wrong(column, expected) from None
        if len(values) != count or not all(low <= value <= high for value in values):
            raise self.wrong(column, expected)
        return values

    def integer(self, column: str, low: int, high: int) -> int:
        """A whole number between low and high."""
        text = self.cells[column].strip(BLANKS)
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise self.wrong(column, f"a whole number {low} to {high}")
        return int(text)

    def one_of(self, column: str, choices: Sequence[str]) -> str:
        """One of the given words."""
        text = self.cells[column].strip(BLANKS)
        if text not in choices:
            raise self.wrong(column, "one of " + ", ".join(repr(choice) for choice in choices))
        return text


@dataclass(frozen=True)
class Table:
    """Rows of a person's table: (row as a spreadsheet counts, {column: text}).

    Columns bear the names that were asked for; `unread` are the file's other columns. `comma` is
    true where a comma in a number can only be a decimal comma. `notes` are the comment lines that
    stand above the header. `taken` says of each column that bears another name in the file what it
    was taken for. `western` is the first word that was read as Windows-1252, where one was.
    """

    path: Path
    rows: list[tuple[int, dict[str, str]]]
    unread: tuple[str, ...]
    comma: bool
    notes: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    western: str = ""

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        return iter(self.rows)

    def cells(self) -> Iterator[Cell]:
        """One `Cell` per row."""
        return (Cell(self.path, number, cells, self.comma) for number, cells in self.rows)


def read_rows(
    path: str | Path,
    columns: Sequence[str],
    what: str,
    optional: Sequence[str] = (),
    synonyms: Mapping[str, Sequence[str]] | None = None,
    keep: bool = False,
) -> Table:
    """The `columns`, and of the `optional` those that are there, of a table called `what`.

    keep: the file's other columns come along too, under their own names.

    Understood: the one sheet of an .xlsx; UTF-8, UTF-16 and, with a warning, Windows-1252 as old
    spreadsheets of western Europe write it; comma, semicolon, tab, | or blank
    between cells, with or without a line "sep="; decimal commas where the comma separates nothing;
    names in any case and by `synonyms` {column: other names}; R's row names and unnamed index
    columns; separators and blank lines at the ends. Refused by DataError: bytes that are neither,
    rows of another length, columns that are absent or there twice, decimal comma and point in one
    column.
    """
    path = Path(path)
    text, western = _western(read_text(path, what))
    if western:
        warnings.warn(western_words(path, western), stacklevel=2)
    separator, records, notes = _records(text, path, what, columns, synonyms or {})
    while records and not any(cell.strip(BLANKS) for cell in records[-1][1]):
        del records[-1]
    if not records:
        raise DataError(f"{what} is empty", file=path, expected=", ".join(columns))
    (_, header), body = records[0], records[1:]
    header = [_clean(name) for name in header]
    while header and not header[-1]:
        if not all(
            len(cells) < len(header) or not cells[len(header) - 1].strip() for _, cells in body
        ):
            break
        del header[-1]
    header = [_cell(name, path, records[0][0], f"number {k + 1}") for k, name in enumerate(header)]
    places, unread = _places(header, path, what, columns, optional, synonyms or {})
    if keep:
        others = [k for k, name in enumerate(header) if name and k not in places.values()]
        places |= {header[k]: k for k in others if header[k] not in places}
    body = _squared(body, len(header), path, text)
    rows = [
        (number, {name: _cell(cells[place], path, number, name) for name, place in places.items()})
        for number, cells in body
    ]
    taken = tuple(
        f"{_printable(header[place])} as {name}"
        for name, place in places.items()
        if _key(header[place]) != _key(name)
    )
    table = Table(path, rows, unread, separator != ",", notes, taken, western)
    _one_decimal_sign(table)
    return table


def read_text(path: str | Path, what: str) -> str:
    """The file's text; bytes that are no UTF-8 stay as lone surrogates, told by their cell."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{what} not found", file=path) from None
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror}", file=path) from None
    if data.startswith(b"PK\x03\x04"):
        return workbooks.text_of(data, path, what)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DataError(
            f"{what} is a spreadsheet of an old kind", file=path, expected=".xlsx, or CSV UTF-8"
        )
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and len(data) > 3 and b"\0" in data[:4]:
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    try:
        text = data.decode(encoding or "utf-8", "strict" if encoding else "surrogateescape")
    except UnicodeDecodeError:
        try:
            text = data.decode("utf-8-sig", "surrogateescape")
        except UnicodeDecodeError as error:
            raise DataError(f"{what} is not readable text: {error.reason}", file=path) from None
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{what} holds bytes that are no text", file=path, row=row)
    return text


def western_words(path: Path, word: str) -> str:
    """What is said of a table that was read as Windows-1252, `word` being the first that was."""
    read = "It was read as Windows-1252 (western Europe)"
    return f"{path.name} is not UTF-8. {read}, such as {word!r}: check it"


def _western(text: str) -> tuple[str, str]:
    """(text, the first word with such a letter), read as Windows-1252 where it can be that.

    Every byte beyond ASCII must then be a letter of western Europe, or a sign that is typed there;
    one that is rare there and a letter in the code pages of the east or of DOS is not guessed, nor
    is a file in which some of the text is UTF-8.
    """
    strange = {sign for sign in text if not sign.isascii()}
    if not strange or not all("\udc80" <= sign <= "\udcff" for sign in strange):
        return text, ""
    read = text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    if not {sign for sign in read if not sign.isascii()} <= WESTERN_SIGNS:
        return text, ""
    return read, next((w for w in re.split(r"[\s,;|\"]+", read) if not w.isascii()), "a blank")


def _records(
    text: str,
    path: Path,
    what: str,
    columns: Sequence[str],
    synonyms: Mapping[str, Sequence[str]],
) -> tuple[str, list[tuple[int, list[str]]], tuple[str, ...]]:
    """(separator, numbered records from the header on, comments above it) of a table's text."""
    lines = text.splitlines(keepends=True)
    skip = 0
    names = {_key(name) for name in columns}
    while skip < len(lines) and _no_header(lines[skip], names):
        skip += 1
    notes = tuple(line.strip() for line in lines[:skip] if line.strip(BLANKS + ",;\t|"))
    said = re.fullmatch(r'"?sep=(.)"?\s*', lines[skip], re.I) if skip < len(lines) else None
    if said:
        tries, skip = [said[1]], skip + 1
    else:
        tries = list(SEPARATORS)
    body = "".join(lines[skip:])
    others = {_key(name) for c in columns for name in synonyms.get(c, ())}

    def fits(separator: str) -> int:
        """How much the first row looks like a header, its cells parted so."""
        try:
            header = next(csv.reader(io.StringIO(body, newline=""), delimiter=separator), [])
        except csv.Error:
            return -10
        named = {_key(name) for name in header}
        found = len(named & names) * 100 + len(named & others) * 10 + min(len(header), 9)
        return found - 9 * (separator == " ")  # a header of words with blanks in them

    separator = max(tries, key=fits)
    return separator, _parse(body, separator, skip, path, what), notes


def _no_header(line: str, names: set[str]) -> bool:
    """True for a blank line, and for a comment that names none of the columns."""
    comment = line.startswith("#") and not names & {
        _key(w.strip('"#')) for w in re.split("[,;\t|]", line)
    }
    return comment or not line.strip(BLANKS + ",;\t|")


def _parse(body: str, separator: str, skip: int, path: Path, what: str) -> list:
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    records = []
    try:
        for number, cells in enumerate(reader, start=skip + 1):
            records.append((number, cells))
    except csv.Error as error:
        raise DataError(
            f"{what}: row is cut short or damaged: {error}", file=path, row=skip + reader.line_num
        ) from None
    return records


def _clean(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip(BLANKS))


def _key(name: str) -> str:
    """A column's name as it is compared: case, blanks, hyphens and underscores do not matter."""
    return re.sub(r"[\s_\-.]+", "_", _clean(name).casefold()).strip("_")


def _places(
    header: list[str],
    path: Path,
    what: str,
    columns: Sequence[str],
    optional: Sequence[str],
    synonyms: Mapping[str, Sequence[str]],
) -> tuple[dict[str, int], tuple[str, ...]]:
    """{column: place in the row} of the known columns, and the names of the other ones."""
    keys, places = [_key(name) for name in header], {}
    for column in (*columns, *optional):
        found = [place for place, key in enumerate(keys) if key == _key(column)]
        if not found:
            others = {_key(name) for name in synonyms.get(column, ())}
            found = [place for place, key in enumerate(keys) if key in others]
        if len(found) > 1 or (not found and column in columns):
            twice = f"twice: {' and '.join(repr(header[place]) for place in found)}"
            there = twice if found else f"columns {', '.join(header)}"[:200]
            raise _wrong(f"{what} needs column {column} once", path, 1, column, there)
        if found:
            places[column] = found[0]
    taken = set(places.values())
    unread = [name or f"column {k + 1}" for k, name in enumerate(header) if k not in taken]
    return places, tuple(_printable(name) for name in unread)


def _squared(body: list, width: int, path: Path, text: str) -> list:
    """Rows of equal length: R's row names and separators at the ends of rows taken off."""
    if body and all(len(cells) == width + 1 for _, cells in body):
        blank_end = all(not cells[-1].strip(BLANKS) for _, cells in body)
        quoted = all(line.startswith('"') for line in text.splitlines()[1:] if line.strip())
        names = [cells[0] for _, cells in body]
        if quoted and len(set(names)) == len(names) and not blank_end:
            return [(number, cells[1:]) for number, cells in body]
    squared = []
    for number, cells in body:
        spare = cells[width:]
        if len(cells) < width or any(cell.strip(BLANKS) for cell in spare):
            words = "Row is cut short or has stray cells"
            expected = f"{width} cells; is the separator also used inside a cell?"
            raise _wrong(words, path, number, None, f"{len(cells)} cells", expected)
        squared.append((number, cells[:width]))
    return squared


def _cell(text: str, path: Path, row: int, column: str) -> str:
    """A cell without blanks around it; DataError where its bytes are no UTF-8."""
    if _printable(text) != text:
        expected = "the table saved as CSV UTF-8"
        raise _wrong("Text is not UTF-8", path, row, column, _printable(text), expected)
    return text.strip(BLANKS)


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _one_decimal_sign(table: Table) -> None:
    """DataError where one column holds numbers with a decimal comma and others with a point."""
    if not table.comma:
        return
    _not_thousands(table)
    seen: dict[str, str] = {}
    for number, cells in table.rows:
        for column, text in cells.items():
            sign = (
                "," if _WITH_COMMA.fullmatch(text) else "." if _WITH_POINT.fullmatch(text) else ""
            )
            if sign and seen.setdefault(column, sign) != sign:
                words = "Decimal comma and decimal point in one column"
                expected = f"a decimal '{seen[column]}', as in the rows before"
                raise _wrong(words, table.path, number, column, text, expected)


def _not_thousands(table: Table) -> None:
    """DataError where every comma of the table could part thousands: 1,250 is 1250 or 1.25."""
    commas = [
        (number, column, text)
        for number, cells in table.rows
        for column, text in cells.items()
        if _WITH_COMMA.fullmatch(text)
    ]
    if commas and all(_THOUSANDS.fullmatch(text) for *_, text in commas):
        number, column, text = commas[0]
        words = "A comma that parts thousands or decimals: the table does not tell"
        expected = f"{text.replace(',', '')} or {text.replace(',', '.')}, whichever is meant"
        raise _wrong(words, table.path, number, column, text, expected)


def plain_name(text: str) -> str:
    """A name as it is compared: composed letters, plain blanks, no sign without a width.

    A Mac decomposes letters, a web page brings no-break blanks: two spellings that look the same
    are the same.
    """
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text))
    return re.sub("[\u00a0\u2007\u202f]", " ", text).strip(BLANKS)


def is_shortened(text: str) -> bool:
    """Whether a name is a long number of which a spreadsheet kept the first digits: 1.23457E+17."""
    return bool(_SHORTENED.fullmatch(text.strip(BLANKS)))


def yes_or_no(text: str) -> bool | None:
    """What a cell for true and false says, in the words of several languages; None: neither."""
    word = text.strip(BLANKS).casefold()
    return True if word in YES else False if word in NO else None


def point_for_comma(text: str, comma: bool) -> str:
    """A number's text with a decimal point, where `comma` says that a comma can only be one."""
    return text.replace(",", ".") if comma and _WITH_COMMA.fullmatch(text) else text


def plain_number(text: str) -> float:
    """A number written plainly: Python would also take 'nan', '1_0' and ' infinity '."""
    if not _NUMBER.fullmatch(text.strip(BLANKS)):
        raise ValueError(text)
    return float(text)
