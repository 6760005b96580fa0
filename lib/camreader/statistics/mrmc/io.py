"""Reading the scores of a reader study: `.imrmc` files and tidy CSV, checked row by row.

The tidy table has one row per reading: reader, modality, case, truth (0 or 1), score (higher =
more suspicious) and, where known, cluster: the patient a case is of. `arms` turns it into arrays,
one arm per modality and reader.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.common import rows as tables
from camreader.common.errors import DataError
from camreader.common.storage import unguarded

COLUMNS = ["reader", "modality", "case", "truth", "score"]
ALIASES = {
    "treatment": "modality",
    "rating": "score",
    "patient": "cluster",
    "patient_id": "cluster",
}
ALIASES |= {f"{name}ID": name for name in ("reader", "modality", "case")}  # as iMRMC names them
NUMBERS = ("truth", "score", "rating", "lesions", "lesion")  # columns that may hold a decimal comma
WHAT = "File of readings"
MARK = "SIMULATED"  # stands in every file of readings that no person made
INVENTED = f"{MARK} readings, no person read anything"  # as files and figures say it
MARKS = {"is_simulated": "simulated", "synthetic": "simulated", "invented": "simulated"}
CLUSTERS = "a patient for every case, or no such column"
LARGEST_WHOLE = 2**53  # from it on neighbouring whole numbers are one and the same float


@dataclass(frozen=True)
class Arms:
    """Scores as arrays; NaN where a reader did not read a case.

    `positives` has shape (modalities, readers, diseased cases), `negatives` (modalities, readers,
    cases without disease). `clusters` names the patient of each diseased case and of each case
    without disease, two arrays; None where every case is a patient of its own.
    """

    positives: np.ndarray
    negatives: np.ndarray
    modalities: tuple
    readers: tuple
    clusters: tuple | None = None

    @property
    def crossed(self) -> bool:
        """True if every reader read every case under every modality."""
        return not (np.isnan(self.positives).any() or np.isnan(self.negatives).any())

    def units(self, name: str) -> np.ndarray:
        """How many cases of "positives" or "negatives" were read, or patients where cases of one
        repeat: (modalities, readers)."""
        read = ~np.isnan(getattr(self, name))
        if not repeats(self.clusters):
            return read.sum(-1)
        own = self.clusters[0 if name == "positives" else 1]  # type: ignore[index]  # repeats: no None
        _, codes = np.unique(own.astype(str), return_inverse=True)
        return ((read @ np.eye(codes.max() + 1)[codes]) > 0).sum(-1)

    def keep_readers(self, keep: np.ndarray) -> "Arms":
        """The same arms for the readers where `keep` (readers,) is True."""
        names = tuple(np.asarray(self.readers, dtype=object)[keep])
        blocks = self.positives[:, keep], self.negatives[:, keep]
        return Arms(*blocks, self.modalities, names, self.clusters)


def tidy(frame: pd.DataFrame, file: Path | str | None = None) -> pd.DataFrame:
    """Checked copy of a table of readings with the columns `COLUMNS`, and cluster where given.

    `treatment` is accepted for modality, `rating` for score, `patient` and `patient_id` for
    cluster; names are stripped of blanks. Readings without a score are left out and counted in
    `.attrs["flags"]`. DataError names the row (the index label) of text where a number belongs,
    of a truth other than 0 and 1, of two truths or clusters for one case, of a duplicate, of one
    number spelt in two ways ("7" and "007"), of a whole number too large for a float.
    """
    frame = _renamed(frame)
    need_columns(frame, COLUMNS, file)
    columns = COLUMNS + ["cluster"] * ("cluster" in frame.columns)
    table, flags = frame[columns].copy(), list(frame.attrs.get("flags", []))
    for column in ("truth", "score"):
        table[column] = numbers_of(table[column], file)
    table, more = _without_missing(table)
    for column in (name for name in columns if name not in ("truth", "score")):
        table[column] = stripped_names(table[column], file)
    _check_truth(table, file)
    _check_repeats(table, file)
    if "cluster" in columns:
        lost = table["cluster"].astype(str).str.lower().isin(tables.MISSING)
        refuse(lost, table["cluster"], "Patient is given for some cases only", file, CLUSTERS)
        _one_per_case(table, "cluster", "Two clusters for one case", file)
    table["truth"] = table["truth"].astype(int)
    table.attrs["flags"] = flags + more + _alike(table)
    return table


def need_columns(frame: pd.DataFrame, names: Iterable[str], file: Path | str | None = None) -> None:
    """DataError for the first of `names` that is no column of the table."""
    for name in names:
        if name not in frame.columns:
            found = ", ".join(map(str, frame.columns))
            raise DataError("Column missing", file=file, column=name, found=found)


def _alike(table: pd.DataFrame) -> list[str]:
    """Flags for names that perhaps are meant as one, or as none."""
    flags = []
    for column in ("reader", "modality", "case"):
        names = pd.Series(table[column].unique()).astype(str)
        keys = names.map(lambda name: " ".join(name.casefold().split()))
        twins = names[keys.duplicated(keep=False)]
        if len(twins):
            flags.append(f"{column}: {', '.join(twins[:4])} differ in capitals or blanks only")
        empty = names[keys.isin(tables.MISSING)]
        if len(names) > 1 and len(empty):
            flags.append(f"{column}: {', '.join(empty)} is taken for a name, not for a missing one")
    return flags


def _renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the names of `COLUMNS` where it uses one of `ALIASES`."""
    new = {old: name for old, name in ALIASES.items() if name not in frame.columns}
    wanted, taken = {}, set()
    for old, name in new.items():
        if old in frame.columns and name not in taken:
            wanted[old] = name
            taken.add(name)
    return frame.rename(columns=wanted)


def read_csv(path: Path | str) -> pd.DataFrame:
    """Tidy table from a CSV with the columns reader, modality, case, truth, score (and cluster).

    Rows are named by their line in the file; separators, decimal signs and encodings as in
    `common.rows`. Further columns are named in `.attrs["flags"]`. A CSV in iMRMC's own form
    (readerID, caseID, modalityID, score, with rows of the modality "truth") is read as well.
    """
    needed = [name for name in COLUMNS if name != "truth"]
    frame = read_text(path, needed, ALIASES | MARKS, ("truth",))
    simulated = is_marked(frame, path)
    unread = [name for name in frame if name not in (*COLUMNS, "cluster", "simulated")]
    if "truth" not in frame:
        frame, _ = _with_truth(frame, path)
    table = tidy(frame, file=path).reset_index(drop=True)
    table.attrs["flags"] += [f"columns not read: {', '.join(unread)}"] * bool(unread)
    table.attrs["simulated"] = simulated
    return table


def is_marked(frame: pd.DataFrame, file: Path | str | None = None) -> bool:
    """Whether a table of texts says that no person made these readings.

    It says so in a column `simulated`, any row of it, or in a comment above its header. DataError
    for a cell of the column that says neither yes nor no.
    """
    told = any(MARK in note.upper() for note in frame.attrs.get("notes", ()))
    if "simulated" not in frame:
        return told
    column = frame["simulated"].fillna("").astype(str)
    said = column.map({text: tables.yes_or_no(text) for text in column.unique()})
    refuse(said.isna(), column, "Neither yes nor no", file, "true or false")
    return told or bool(said.eq(True).any())


def is_imrmc(path: Path | str) -> bool:
    """Whether a file is in iMRMC's format: by its ending, else by its line BEGIN DATA."""
    if str(path).lower().endswith(".imrmc"):
        return True
    return any(map(_begins, tables.read_text(path, WHAT).splitlines()))


def _begins(line: str) -> bool:
    return line.strip().upper().startswith("BEGIN DATA")


def read_imrmc(path: Path | str) -> pd.DataFrame:
    """Tidy table from an iMRMC file (github.com/DIDSR/iMRMC, user manual, "Input file").

    After the line BEGIN DATA: come rows reader,case,modality,score; the rows of the modality
    "truth" give each case's truth. Counts in the header that differ from the data are flagged.
    """
    lines = tables.read_text(path, WHAT).splitlines()
    starts = [i for i, line in enumerate(lines) if _begins(line)]
    if not starts:
        raise DataError("No line BEGIN DATA: found", file=path, expected="an .imrmc file")
    rows = _imrmc_rows(lines, starts[0] + 1, path)
    readings, truth = _with_truth(rows, path)
    table = tidy(readings, file=path).reset_index(drop=True)
    header = lines[: starts[0]]
    table.attrs["flags"] += _header_flags(header, table, truth)
    table.attrs["simulated"] = any(MARK in line.upper() for line in header)
    return table


def _with_truth(rows: pd.DataFrame, path: Path | str) -> tuple[pd.DataFrame, pd.Series]:
    """(readings with their case's truth, truth by case) from rows that hold both."""
    # the manual's own examples write reader -1 and any modality for a truth
    words = rows[["reader", "modality"]].apply(lambda column: column.str.strip().str.lower())
    is_truth = words["modality"].eq("truth") | words["reader"].isin(("truth", "-1"))
    truths, readings = rows[is_truth], rows[~is_truth]
    refuse(truths["case"].duplicated(), truths["case"], "Second truth row for a case", path)
    truth = truths.set_index("case")["score"]
    unknown = ~readings["case"].isin(truth.index)
    refuse(unknown, readings["case"], "Case without a truth row", path)
    return readings.assign(truth=readings["case"].map(truth)), truth


def arms(frame: pd.DataFrame) -> Arms:
    """`Arms` of a tidy table. Cases keep the order in which they first appear."""
    modalities, readers = (tuple(dict.fromkeys(frame[c])) for c in ("modality", "reader"))
    blocks, clusters = [], []
    for truth in (1, 0):
        part = frame[frame["truth"] == truth]
        cases = pd.Index(part["case"].unique())
        block = np.full((len(modalities), len(readers), len(cases)), np.nan)
        block[places(part, modalities, readers, cases)] = part["score"]
        blocks.append(block)
        if "cluster" in frame:
            clusters.append(part.drop_duplicates("case")["cluster"].to_numpy())
    return Arms(blocks[0], blocks[1], modalities, readers, tuple(clusters) or None)


def places(
    table: pd.DataFrame, modalities: Sequence, readers: Sequence, cases: Sequence | pd.Index
) -> tuple[np.ndarray, ...]:
    """Where each row of a table stands in an array (modalities, readers, cases); -1: nowhere."""
    names = {"modality": modalities, "reader": readers, "case": cases}
    return tuple(pd.Index(own).get_indexer(table[column]) for column, own in names.items())


def arms_of(frame: pd.DataFrame | Arms) -> tuple[Arms, list[str]]:
    """(`Arms`, flags) of a table of readings, which is checked first, or of `Arms` as they are."""
    if isinstance(frame, Arms):
        return frame, []
    table = tidy(frame)
    return arms(table), table.attrs["flags"]


def read_text(
    path: Path | str,
    columns: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    optional: Sequence[str] = (),
    words: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A person's CSV as text, under the names of `columns` and `aliases` {theirs: ours}.

    optional: columns that need not be there. words: columns that hold no numbers; without them
    only NUMBERS may have a decimal comma. The index is the row in the file; columns that are not
    known follow under their own names; `.attrs["notes"]` are the comments above the header.
    DataError where one of `columns` is absent or a row is broken.
    """
    aliases = aliases or {}
    others = {
        name: [old for old, new in aliases.items() if new == name] for name in aliases.values()
    }
    known = [name for name in dict.fromkeys((*optional, *others)) if name not in columns]
    table = tables.read_rows(path, columns, WHAT, known, others, keep=True)
    cells = [
        {
            name: tables.point_for_comma(text, table.comma)
            if (name in NUMBERS if words is None else name not in words)
            else unguarded(text)
            for name, text in row.items()
        }
        for _, row in table.rows
    ]
    names = list(cells[0]) if cells else list(columns)
    frame = pd.DataFrame(cells, index=[k for k, _ in table.rows], columns=names, dtype=object)
    frame.attrs["notes"] = table.notes
    return frame


def repeats(clusters: tuple | None) -> bool:
    """True if a patient has several cases; `clusters` as in `Arms`, or None."""
    if clusters is None:
        return False
    names = np.concatenate([np.asarray(x, dtype=object) for x in clusters])
    return len(set(names)) < len(names)


def _imrmc_rows(lines: list[str], start: int, path: Path | str) -> pd.DataFrame:
    """Table of strings (reader, case, modality, score) indexed by line number in the file."""
    rows, numbers = [], []
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip():
            continue
        fields = [field.strip(tables.BLANKS + '"') for field in line.split(",")]
        if len(fields) != 4:
            expected = "reader,case,modality,score"
            raise DataError("Broken row", file=path, row=number, found=line, expected=expected)
        rows.append(fields)
        numbers.append(number)
    return pd.DataFrame(rows, index=numbers, columns=["reader", "case", "modality", "score"])


def _header_flags(header: list[str], table: pd.DataFrame, truth: pd.Series) -> list[str]:
    """Where the header's counts and the data disagree, in words."""
    truth = pd.to_numeric(truth, errors="coerce")
    counts = {
        "N0": int((truth == 0).sum()),
        "N1": int((truth == 1).sum()),
        "NR": table["reader"].nunique(),
        "NM": table["modality"].nunique(),
    }
    stated = dict(line.split(":", 1) for line in header if ":" in line)
    # a spreadsheet puts the separators of the rows below behind every line
    stated = {name.strip().upper(): text.strip(' ,;\t"') for name, text in stated.items()}
    flags = [
        f"header says {name} = {stated[name]}, the data have {count}"
        for name, count in counts.items()
        if name in stated and stated[name] != str(count)
    ]
    unread = len(truth) - table["case"].nunique()
    return flags + ([f"{unread} cases have a truth but no reading"] if unread else [])


def numbers_of(column: pd.Series, file: Path | str | None) -> pd.Series:
    """Floats; NaN where blank; DataError where there is text or infinity."""
    if pd.api.types.is_float_dtype(column):
        refuse(np.isinf(column), column, "Not a number", file, "a number")
        return column.astype(float)
    text = column.astype(str).str.strip()
    blank = column.isna() | text.str.lower().isin(["", "nan", "na", "<na>", "none"])
    numbers = pd.to_numeric(text.where(~blank), errors="coerce").astype(float)
    whole = text.str.fullmatch(r"[+-]?\d+") & (numbers.abs() >= LARGEST_WHOLE)
    words = "Whole number too large: its neighbours would count as equal"
    refuse(whole, column, words, file, f"below {LARGEST_WHOLE}")
    bad = (numbers.isna() & ~blank) | np.isinf(numbers)
    refuse(bad, column, "Not a number", file, "a number")
    return numbers


def _without_missing(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    empty = table["score"].isna()
    if not empty.any():
        return table, []
    first = table.index[empty.to_numpy().argmax()]
    return table[~empty], [f"{empty.sum()} readings without a score left out (first: row {first})"]


def _check_truth(table: pd.DataFrame, file: Path | str | None) -> None:
    if table.empty:
        raise DataError("No readings with a score", file=file)
    bad = ~table["truth"].isin((0, 1))
    refuse(bad, table["truth"], "Unknown truth", file, expected="0 or 1")
    _one_per_case(table, "truth", "Two truths for one case", file)


def _one_per_case(table: pd.DataFrame, column: str, words: str, file: Path | str | None) -> None:
    bad = table[column] != table.groupby("case")[column].transform("first")
    refuse(bad, table["case"].rename(column), words, file)


def refuse(
    bad: pd.Series,
    column: pd.Series,
    words: str,
    file: Any,
    expected: Any = None,
) -> None:
    """DataError for the first bad row of `column`, by place: an index may hold a label twice."""
    if bad.any():
        place = int(np.asarray(bad).argmax())
        at = {"file": file, "row": column.index[place], "column": column.name}
        value = column.iloc[place]
        found = repr(value) if isinstance(value, str) else value
        raise DataError(words, **at, found=found, expected=expected)


def stripped_names(column: pd.Series, file: Path | str | None) -> pd.Series:
    """Names without blanks at their ends; DataError where one is missing or spelt in two ways."""
    codes, found = pd.factorize(column.astype(object))
    names = [tables.plain_name(name) if isinstance(name, str) else name for name in found]
    short = [k for k, name in enumerate(names) if tables.is_shortened(str(name))]
    lost = "A long number that a spreadsheet shortened: several may now be one"
    whole = "the whole number, its column written as text"
    refuse(pd.Series(np.isin(codes, short), column.index), column, lost, file, whole)
    missing = (codes < 0) | np.isin(codes, [k for k, name in enumerate(names) if name == ""])
    refuse(pd.Series(missing, column.index), column, "Name missing", file)
    spellings: dict[str, Any] = {}
    for k, name in enumerate(names):
        key = str(name).lstrip("0") or "0" if str(name).isdigit() else str(name)
        other = spellings.setdefault(key, name)
        if other != name or type(other) is not type(name):
            words = "One number spelt in two ways: are they the same?"
            here = pd.Series(codes == k, column.index)
            refuse(here, column, words, file, expected=repr(other))
    text = pd.Series(np.array([*names, None], dtype=object)[codes], column.index, name=column.name)
    return text if len(set(map(type, names))) > 1 else text.infer_objects()


def _check_repeats(table: pd.DataFrame, file: Path | str | None) -> None:
    keys = ["reader", "modality", "case"]
    repeated = table.duplicated(keys)
    if repeated.any():
        place = int(repeated.to_numpy().argmax())
        row = table.iloc[place]  # by place: an index may hold a label twice
        found = ", ".join(f"{c} {row[c]}" for c in keys)
        raise DataError("Duplicate reading", file=file, row=table.index[place], found=found)
