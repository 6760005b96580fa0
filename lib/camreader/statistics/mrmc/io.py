"""Reading the scores of a reader study: `.imrmc` files and tidy CSV, checked row by row.

The tidy table has one row per reading: reader, treatment, case, truth (0 or 1), score (higher =
more suspicious). `arms` turns it into arrays, one arm per treatment and reader.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.common.errors import DataError

COLUMNS = ["reader", "treatment", "case", "truth", "score"]
ALIASES = {"modality": "treatment", "rating": "score"}


@dataclass(frozen=True)
class Arms:
    """Scores as arrays; NaN where a reader did not read a case.

    `positives` has shape (treatments, readers, diseased cases), `negatives` (treatments, readers,
    cases without disease).
    """

    positives: np.ndarray
    negatives: np.ndarray
    treatments: tuple
    readers: tuple

    @property
    def crossed(self):
        """True if every reader read every case under every treatment."""
        return not (np.isnan(self.positives).any() or np.isnan(self.negatives).any())

    def keep_readers(self, keep):
        """The same arms for the readers where `keep` (readers,) is True."""
        names = tuple(np.asarray(self.readers, dtype=object)[keep])
        return Arms(self.positives[:, keep], self.negatives[:, keep], self.treatments, names)


def tidy(frame, file=None):
    """Checked copy of a table of readings with exactly the columns `COLUMNS`.

    `modality` is accepted for treatment and `rating` for score. Readings without a score are left
    out and counted in `.attrs["flags"]`. DataError names the row (the index label) of text where
    a number belongs, of a truth other than 0 and 1, of two truths for one case, of a duplicate.
    """
    frame = frame.rename(columns={k: v for k, v in ALIASES.items() if v not in frame.columns})
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns))
        raise DataError("Column missing", file=file, column=missing[0], found=found)
    table, flags = frame[COLUMNS].copy(), list(frame.attrs.get("flags", []))
    for column in ("truth", "score"):
        table[column] = _numbers(table[column], file)
    table, more = _without_missing(table)
    _check_truth(table, file)
    _check_names(table, file)
    table["truth"] = table["truth"].astype(int)
    table.attrs["flags"] = flags + more
    return table


def read_csv(path):
    """Tidy table from a CSV with the columns reader, treatment, case, truth, score.

    Rows are named by their line in the file. Further columns are ignored.
    """
    frame = _open(path, lambda: pd.read_csv(path, dtype=str, keep_default_na=False))
    frame.index = frame.index + 2  # the header is line 1
    return tidy(frame, file=path).reset_index(drop=True)


def read_imrmc(path):
    """Tidy table from an iMRMC file (github.com/DIDSR/iMRMC, user manual, "Input file").

    After the line BEGIN DATA: come rows reader,case,modality,score; the rows of the modality
    "truth" give each case's truth. Counts in the header that differ from the data are flagged.
    """
    lines = _open(path, lambda: Path(path).read_text(encoding="utf-8-sig").splitlines())
    starts = [i for i, line in enumerate(lines) if line.strip().upper().startswith("BEGIN DATA")]
    if not starts:
        raise DataError("No line BEGIN DATA: found", file=path, expected="an .imrmc file")
    rows = _imrmc_rows(lines, starts[0] + 1, path)
    is_truth = rows["treatment"].str.lower() == "truth"
    truths, readings = rows[is_truth], rows[~is_truth]
    truth = _truth_by_case(truths, path)
    unknown = readings[~readings["case"].isin(truth.index)]
    if len(unknown):
        row, case = unknown.index[0], unknown["case"].iloc[0]
        raise DataError("Case without a truth row", file=path, row=row, column="case", found=case)
    readings = readings.assign(truth=readings["case"].map(truth))
    table = tidy(readings, file=path).reset_index(drop=True)
    table.attrs["flags"] += _header_flags(lines[: starts[0]], table, truth)
    return table


def arms(frame):
    """`Arms` of a tidy table. Cases keep the order in which they first appear."""
    treatments, readers = (tuple(dict.fromkeys(frame[c])) for c in ("treatment", "reader"))
    blocks = []
    for truth in (1, 0):
        part = frame[frame["truth"] == truth]
        cases = pd.Index(part["case"].unique())
        block = np.full((len(treatments), len(readers), len(cases)), np.nan)
        places = (
            pd.Index(treatments).get_indexer(part["treatment"]),
            pd.Index(readers).get_indexer(part["reader"]),
            cases.get_indexer(part["case"]),
        )
        block[places] = part["score"]
        blocks.append(block)
    return Arms(*blocks, treatments, readers)


def _open(path, read):
    try:
        return read()
    except FileNotFoundError:
        raise DataError("File of readings not found", file=path) from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"File of readings cannot be read: {error}", file=path) from None


def _imrmc_rows(lines, start, path):
    """Table of strings (reader, case, treatment, score) indexed by line number in the file."""
    rows, numbers = [], []
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 4:
            expected = "reader,case,modality,score"
            raise DataError("Broken row", file=path, row=number, found=line, expected=expected)
        rows.append(fields)
        numbers.append(number)
    return pd.DataFrame(rows, index=numbers, columns=["reader", "case", "treatment", "score"])


def _truth_by_case(truths, path):
    repeated = truths[truths["case"].duplicated()]
    if len(repeated):
        row, case = repeated.index[0], repeated["case"].iloc[0]
        raise DataError("Second truth row for a case", file=path, row=row, found=case)
    return truths.set_index("case")["score"]


def _header_flags(header, table, truth):
    """Where the header's counts and the data disagree, in words."""
    truth = pd.to_numeric(truth, errors="coerce")
    counts = {
        "N0": int((truth == 0).sum()),
        "N1": int((truth == 1).sum()),
        "NR": table["reader"].nunique(),
        "NM": table["treatment"].nunique(),
    }
    stated = dict(line.split(":", 1) for line in header if ":" in line)
    stated = {name.strip().upper(): text.strip() for name, text in stated.items()}
    flags = [
        f"header says {name} = {stated[name]}, the data have {count}"
        for name, count in counts.items()
        if name in stated and stated[name] != str(count)
    ]
    unread = len(truth) - table["case"].nunique()
    return flags + ([f"{unread} cases have a truth but no reading"] if unread else [])


def _numbers(column, file):
    """Floats; NaN where blank; DataError where there is text or infinity."""
    text = column.astype(str).str.strip()
    blank = column.isna() | text.str.lower().isin(["", "nan", "na", "<na>", "none"])
    numbers = pd.to_numeric(text.where(~blank), errors="coerce")
    bad = (numbers.isna() & ~blank) | np.isinf(numbers)
    if bad.any():
        row = bad.index[bad.to_numpy().argmax()]
        found = repr(column.loc[row])
        raise DataError(
            "Not a number", file=file, row=row, column=column.name, found=found, expected="a number"
        )
    return numbers.astype(float)


def _without_missing(table):
    empty = table["score"].isna()
    if not empty.any():
        return table, []
    first = table.index[empty.to_numpy().argmax()]
    return table[~empty], [f"{empty.sum()} readings without a score left out (first: row {first})"]


def _check_truth(table, file):
    if table.empty:
        raise DataError("No readings with a score", file=file)
    bad = ~table["truth"].isin((0, 1))
    if bad.any():
        row = table.index[bad.to_numpy().argmax()]
        found = table.loc[row, "truth"]
        raise DataError(
            "Unknown truth", file=file, row=row, column="truth", found=found, expected="0 or 1"
        )
    first = table.groupby("case")["truth"].transform("first")
    bad = table["truth"] != first
    if bad.any():
        row = table.index[bad.to_numpy().argmax()]
        case = table.loc[row, "case"]
        raise DataError("Two truths for one case", file=file, row=row, column="truth", found=case)


def _check_names(table, file):
    for column in ("reader", "treatment", "case"):
        blank = table[column].isna() | (table[column].astype(str).str.strip() == "")
        if blank.any():
            row = table.index[blank.to_numpy().argmax()]
            raise DataError("Name missing", file=file, row=row, column=column)
    repeated = table.duplicated(["reader", "treatment", "case"])
    if repeated.any():
        row = table.index[repeated.to_numpy().argmax()]
        found = ", ".join(f"{c} {table.loc[row, c]}" for c in ("reader", "treatment", "case"))
        raise DataError("Duplicate reading", file=file, row=row, found=found)
