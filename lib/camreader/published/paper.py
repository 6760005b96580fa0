"""The paper's own tables and numbers, typed cell by cell, each with its status.

Source: Applied Sciences 2022, 12, 7748. The files under data/published hold one cell per row
with its status: `printed` in the paper, `inferred` from what it prints, `missing`, or (text.csv
only) `measured` elsewhere, with the source named. Nothing here depends on a cohort.
"""

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.tables import check

TUMOR, NO_TUMOR = "Has Tumor", "No Tumor"
HELPFULNESS = ("Yes", "Some", "No")
STATUSES = ("printed", "inferred", "missing")


class Cells(pa.DataFrameModel):
    """One row per cell of a published table."""

    row: Series[str] = pa.Field(coerce=True)
    column: Series[str]
    value: Series[str] = pa.Field(nullable=True, coerce=True)
    status: Series[str] = pa.Field(isin=STATUSES)
    reason: Series[str] = pa.Field(nullable=True)


class Statements(pa.DataFrameModel):
    """One row per number or fact of the running text."""

    quantity: Series[str] = pa.Field(unique=True)
    value: Series[str] = pa.Field(nullable=True, coerce=True)
    status: Series[str] = pa.Field(isin=(*STATUSES, "measured"))
    place: Series[str]
    words: Series[str]


@dataclass(frozen=True)
class Paper:
    """Everything typed from the paper: three tables of Cells and the running text's numbers."""

    table1: pd.DataFrame
    table2: pd.DataFrame
    table3: pd.DataFrame
    text: pd.DataFrame

    def cells(self, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Table 1, 2 or 3 as (values, statuses): frames in the paper's own layout."""
        return wide(getattr(self, f"table{number}"))

    def statement(self, quantity: str) -> pd.Series:
        """The row of text.csv for one quantity; DataError where there is none."""
        rows = self.text[self.text["quantity"] == quantity]
        if rows.empty:
            raise DataError("Unknown quantity", file="text.csv", column="quantity", found=quantity)
        return rows.iloc[0]

    def number(self, quantity: str) -> float:
        """A quantity of the running text as a number; DataError where the paper gives none."""
        row = self.statement(quantity)
        found = "missing" if row["status"] == "missing" else row["value"]
        try:
            return float(found)
        except ValueError:
            place = {"file": "text.csv", "row": quantity, "column": "value"}
        raise DataError("Not a number", **place, found=found)

    def readings(self) -> pd.DataFrame:
        """Table 3 as (16, 5) values: label, cnn, reader, finding, helpfulness (NA = missing)."""
        return self.cells(3)[0]


def load(folder: str | Path = "../data/published") -> Paper:
    """Read and check the typed tables; DataError names the file, row and column at fault."""
    place = Path(folder)
    first, second, third = (_read(place / f"table{number}.csv", Cells) for number in (1, 2, 3))
    paper = Paper(first, second, third, _read(place / "text.csv", Statements))
    _check_missing(paper, place)
    _check_readings(paper, place / "table3.csv")
    return paper


def _read(path: Path, schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    read_table(path)  # for its words where the file is missing or broken
    return check(pd.read_csv(path, dtype=str), schema, file=path)  # as text: digits matter


def _check_missing(paper: Paper, folder: Path) -> None:
    """A missing cell must be empty and a printed one filled, save a finding no one named."""
    for name in ("table1", "table2", "table3", "text"):
        frame = getattr(paper, name)
        optional = frame["column"].eq("finding") if "column" in frame else False
        wrong = (frame["value"].isna() != frame["status"].eq("missing")) & ~optional
        if wrong.any():
            first = frame[wrong].iloc[0]
            raise DataError(
                "Value and status disagree",
                file=folder / f"{name}.csv",
                row=first.iloc[0],
                column=first.get("column", "value"),
                found=f"{first['value']} ({first['status']})",
                expected="empty exactly where the status is missing",
            )


def _check_readings(paper: Paper, file: Path) -> None:
    allowed = dict.fromkeys(("label", "cnn", "reader"), (TUMOR, NO_TUMOR))
    readings = paper.readings()
    for column, values in (allowed | {"helpfulness": HELPFULNESS}).items():
        bad = readings[column].notna() & ~readings[column].isin(values)
        if bad.any():
            row, found = bad.idxmax(), readings.loc[bad.idxmax(), column]
            raise DataError(
                "Unknown answer", file=file, row=row, column=column, found=found, expected=values
            )


def wide(cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(values, statuses): the table as printed, one column per `column`, rows in file order."""
    if cells.duplicated(["row", "column"]).any():
        twice = cells[cells.duplicated(["row", "column"])].iloc[0]
        raise DataError("A cell is typed twice", row=twice["row"], column=twice["column"])
    frames = []
    for name in ("value", "status"):
        frame = cells.pivot(index="row", columns="column", values=name)
        frame = frame.loc[cells["row"].unique(), cells["column"].unique()]
        frames.append(frame.rename_axis(index=None, columns=None))
    for frame in frames:
        if frame.index.str.fullmatch(r"\d+").all():
            frame.index = frame.index.astype(int)
    return tuple(frames)


def with_status(values: pd.DataFrame, statuses: pd.DataFrame) -> pd.DataFrame:
    """One frame: every column followed by its status column, for reports/tables."""
    both = {}
    for column in values:
        both[column], both[f"{column}_status"] = values[column], statuses[column]
    return pd.DataFrame(both).rename_axis("row").reset_index()


def counts(readings: pd.DataFrame) -> dict[str, int]:
    """The Discussion's three counts of a table of readings: who agrees with whom, how often."""
    return {
        "reader_equals_label": int((readings["reader"] == readings["label"]).sum()),
        "reader_equals_cnn": int((readings["reader"] == readings["cnn"]).sum()),
        "cnn_differs_from_label": int((readings["cnn"] != readings["label"]).sum()),
    }


# 4 Discussion, first sentence: 12 of 16, 12 of 16, and two cases
STATED_COUNTS = {"reader_equals_label": 12, "reader_equals_cnn": 12, "cnn_differs_from_label": 2}


def enumerate_row16(paper: Paper) -> pd.DataFrame:
    """Every pair of answers that image 16 could have had, and whether it fits the text.

    Frame (4, 6): cnn, reader, the three counts over all 16 images, fits. Exactly one row fits;
    it is the source of the two `inferred` cells (DataError if the typed cells say otherwise).
    """
    readings = paper.readings()
    rows = []
    for cnn, reader in product((TUMOR, NO_TUMOR), repeat=2):
        tried = readings.copy()
        tried.loc[16, ["cnn", "reader"]] = cnn, reader
        found = counts(tried)
        rows.append({"cnn": cnn, "reader": reader, **found, "fits": found == STATED_COUNTS})
    frame = pd.DataFrame(rows)
    fits = frame.loc[frame["fits"], ["cnn", "reader"]].to_numpy().tolist()
    typed = readings.loc[16, ["cnn", "reader"]].tolist()
    if fits != [typed]:
        raise DataError("Row 16 is not what the counts leave", row=16, found=typed, expected=fits)
    return frame


def completions(readings: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Both tables that the missing helpfulness of image 16 allows, by that answer.

    The text (4 Discussion) says that no image was "not helpful", which leaves Yes and Some.
    """
    filled = {}
    for answer in ("Yes", "Some"):
        filled[answer] = readings.copy()
        filled[answer].loc[16, "helpfulness"] = answer
    return filled


def matching_counts(percent: str, n_max: int = 400, n_min: int = 1) -> pd.DataFrame:
    """Every (k, n) with n_min <= n <= n_max whose k/n rounds to the printed percentage.

    `percent` is the text as printed ("85.414"): its digits set the rounding. A value half-way
    between two roundings is allowed both ways. The granularity idea is GRIM (Brown & Heathers
    2017, Soc Psychol Personal Sci 8:363). Returns a frame (m, 2) of k, n, smallest n first.
    """
    decimals = len(str(percent).partition(".")[2])
    middle, half = float(percent) / 100, 0.5 * 10 ** -(decimals + 2)
    n = np.arange(n_min, n_max + 1)
    slack = 1e-12  # a half-way value must not be lost to rounding of the bounds
    lowest = np.maximum(np.ceil((middle - half - slack) * n), 0).astype(int)
    highest = np.minimum(np.floor((middle + half + slack) * n), n).astype(int)
    found = [
        (k, int(n[i]))
        for i in np.flatnonzero(lowest <= highest)
        for k in range(lowest[i], highest[i] + 1)
    ]
    return pd.DataFrame(found, columns=["k", "n"])


def batch_sizes(percents: list[str], n: int) -> list[int]:
    """Batch sizes b (2 <= b < n) of which every printed percentage can be the mean over batches.

    The mean of the percentages of n // b full batches and the rest, each of whole images, as a
    training loop prints it that averages over batches. `percents` as printed.
    """
    return [b for b in range(2, n) if all(mean_of_batches(p, n, b) for p in percents)]


def mean_of_batches(percent: str, n: int, size: int) -> bool:
    """Whether a mean over batches of `size` of n images can round to the printed percentage."""
    full, rest = divmod(n, size)
    number = full + (rest > 0)
    decimals = len(str(percent).partition(".")[2])
    half = 0.5 * 10 ** -(decimals + 2) + 1e-12
    last = np.arange(rest + 1) / rest if rest else np.zeros(1)
    needed = float(percent) / 100 * number - last  # of the full batches' shares, summed
    right = np.round(needed * size)  # the whole number of images that comes nearest
    fits = np.abs(right / size - needed) <= half * number
    return bool((fits & (right >= 0) & (right <= full * size)).any())


def nearest_counts(percent: str, n_max: int = 400, n_min: int = 1) -> pd.DataFrame:
    """For each n, the k whose percentage comes nearest: frame k, n, gap in percentage points."""
    n = pd.Series(range(n_min, n_max + 1))
    k = (float(percent) / 100 * n).round().astype(int)
    return pd.DataFrame({"k": k, "n": n, "gap": (100 * k / n - float(percent)).abs()})


def image_totals(n_test: int, test_percent: float = 20) -> tuple[int, int]:
    """(lowest, highest) number of images of which `test_percent` % can be `n_test`.

    A splitter may round down or up, so a total counts if either rounding gives n_test.
    """
    share = test_percent / 100
    fits = [
        total
        for total in range(int(n_test / share) - 100, int(n_test / share) + 100)
        if n_test in (math.floor(total * share + 1e-9), math.ceil(total * share - 1e-9))
    ]
    return min(fits), max(fits)
