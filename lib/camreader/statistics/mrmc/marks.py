"""Free-response readings: marks on images, each at a lesion (LL) or not (NL), with a rating.

`read_marks` takes two tables (files or DataFrames), `read_jafroc` and `write_jafroc` the workbook
that JAFROC and RJafroc use. `kernel` turns marks into the pairwise successes of a localisation
figure of merit, so that they are analysed as scores are: a case without a mark is rated below
every mark (Chakraborty 2017, Observer Performance Methods, chapters 13-14).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path, write_table
from camreader.statistics.mrmc import options
from camreader.statistics.mrmc.io import (
    INVENTED,
    MARK,
    MARKS,
    is_marked,
    need_columns,
    numbers_of,
    places,
    read_text,
    refuse,
    stripped_names,
)
from camreader.statistics.mrmc.merits import codes

KERNELS = ("wafroc", "wafroc1", "afroc", "afroc1", "hr_auc", "lroc")
MARK_METRICS = (*KERNELS, "lesion_sensitivity")
COLUMNS = ["reader", "modality", "case", "mark", "lesion", "rating"]
ALIASES = {"treatment": "modality", "index": "lesion", "score": "rating", "kind": "mark"}
PATIENT = {"patient": "cluster", "patient_id": "cluster"}
SEPARATORS = r"[;,|]"
UNREAD = np.nan


@dataclass(frozen=True)
class Marks:
    """marks: reader, modality, case, mark (NL or LL), lesion (number of an LL's lesion), rating.
    truth: case, lesions (0 = free), weights (tuple, sums to 1), and cluster where known. reads:
    reader, modality, case of what was read, or None where every reader read every case.
    simulated: whether the files say that no person made these marks."""

    marks: pd.DataFrame
    truth: pd.DataFrame
    reads: pd.DataFrame | None = None
    flags: list = field(default_factory=list)
    simulated: bool = False

    @property
    def modalities(self) -> tuple:
        """Names in the order of the marks; then those read under, but without a mark."""
        return self._names("modality")

    @property
    def readers(self) -> tuple:
        """Names in the order of the marks; then those who read, but marked nothing."""
        return self._names("reader")

    def _names(self, column: str) -> tuple:
        read = [] if self.reads is None else self.reads[column]
        return tuple(dict.fromkeys([*self.marks[column], *read]))


@dataclass(frozen=True)
class Ratings:
    """Marks as arrays: `nl` (T, R, cases) the highest NL, `ll` (T, R, diseased, lesions); -inf
    where there is no mark, NaN where nobody read or no such lesion exists. `weights` (diseased,
    lesions), 0 beyond the lesions of a case. `diseased` (cases,) bool; `clusters` (cases,) codes.
    `all_nl` (T, R, cases): tuple of every NL's rating, for curves."""

    nl: np.ndarray
    ll: np.ndarray
    weights: np.ndarray
    diseased: np.ndarray
    clusters: np.ndarray
    read: np.ndarray
    all_nl: dict
    modalities: tuple
    readers: tuple
    clustered: bool


def read_marks(
    marks: pd.DataFrame | Path | str,
    truth: pd.DataFrame | Path | str,
    reads: pd.DataFrame | Path | str | None = None,
) -> Marks:
    """`Marks` from two tables (paths of CSV files or DataFrames), checked row by row.

    `marks`: reader, modality, case, mark (NL or LL), lesion or index (of an LL, from 1), rating
    (higher = more suspicious). `truth`: case, lesions (their number), weights ("0.5;0.5"; equal
    where empty), and patient or cluster where cases share one. `reads`: reader, modality, case of
    what was read; without it everybody read everything. DataError names file, row and column.
    """
    marks, marks_file = _table(marks, COLUMNS)
    truth, truth_file = _table(truth, ("case", "lesions"))
    invented = is_marked(marks, marks_file) or is_marked(truth, truth_file)
    known = _checked_truth(truth, truth_file)
    table = _checked_marks(marks, known, marks_file)
    if reads is not None:
        listed, file = _table(reads, ("reader", "modality", "case"))
        reads = pd.DataFrame(
            {name: stripped_names(listed[name], file) for name in ("reader", "modality", "case")}
        )
    return Marks(table, known, reads, simulated=invented)


def write_marks(marks: Marks, marks_path: str | Path, truth_path: str | Path) -> None:
    """Write `Marks` as the two tidy CSV files that `read_marks` takes."""
    weights = [";".join(map(repr, own)) for own in marks.truth["weights"]]
    word = {"simulated": True} if marks.simulated else {}
    write_table(marks.marks.assign(**word), marks_path)
    write_table(marks.truth.assign(weights=weights, **word), truth_path)


def _table(source: Any, columns: Sequence[str]) -> tuple[pd.DataFrame, Any]:
    """(table, file or None): text columns, rows by their line where a file was read."""
    if isinstance(source, pd.DataFrame):
        return source, None
    return read_text(source, columns, ALIASES | PATIENT | MARKS), source


def _checked_truth(frame: pd.DataFrame, file: Path | str | None) -> pd.DataFrame:
    frame = frame.rename(columns=PATIENT)
    need_columns(frame, ("case", "lesions"), file)
    table = pd.DataFrame({"case": stripped_names(frame["case"], file)})
    lesions = numbers_of(frame["lesions"], file).fillna(0)
    refuse(table["case"].duplicated(), table["case"], "Second truth for a case", file)
    bad = (lesions < 0) | (lesions % 1 != 0)
    refuse(bad, frame["lesions"], "Not a number of lesions", file, "a whole number")
    table["lesions"] = lesions.astype(int)
    given = frame["weights"] if "weights" in frame else pd.Series("", index=frame.index)
    table["weights"] = [
        _weights(text, number, row, file)
        for text, number, row in zip(given, table["lesions"], frame.index, strict=True)
    ]
    if "cluster" in frame:
        table["cluster"] = stripped_names(frame["cluster"], file)
    if not (table["lesions"] > 0).any():
        raise DataError("No case with a lesion", file=file)
    return table


def _weights(text: Any, number: int, row: Hashable, file: Path | str | None) -> tuple[float, ...]:
    """A case's lesion weights: as given, made to sum to 1, or equal."""
    blank = text is None or (isinstance(text, float) and np.isnan(text)) or not str(text).strip()
    if number == 0 or blank:
        return (1 / number,) * number if number else ()
    parts = pd.to_numeric(
        pd.Series(str(text)).str.split(SEPARATORS, regex=True)[0], errors="coerce"
    )
    at = {"file": file, "row": row, "column": "weights", "found": repr(text)}
    if len(parts) != number or np.isnan(parts).any() or (parts < 0).any():
        raise DataError("Not one weight per lesion", **at, expected=f"{number} numbers")
    if abs(parts.sum() - 1) > 0.01:
        raise DataError("Weights do not sum to 1", **at)
    return tuple(float(x) for x in parts / parts.sum())


def _checked_marks(
    frame: pd.DataFrame, truth: pd.DataFrame, file: Path | str | None
) -> pd.DataFrame:
    frame = frame.rename(columns={k: v for k, v in ALIASES.items() if v not in frame})
    need_columns(frame, COLUMNS, file)
    table = pd.DataFrame(
        {name: stripped_names(frame[name], file) for name in ("reader", "modality", "case")}
    )
    table["mark"] = (
        frame["mark"].astype(str).str.strip().str.upper().replace({"FP": "NL", "TP": "LL"})
    )
    table["lesion"], table["rating"] = (numbers_of(frame[n], file) for n in ("lesion", "rating"))
    unknown = ~table["mark"].isin(("NL", "LL"))
    refuse(unknown, frame["mark"], "Unknown kind of mark", file, "NL or LL")
    refuse(table["rating"].isna(), frame["rating"], "Rating missing", file)
    number = table["case"].map(truth.set_index("case")["lesions"])
    refuse(number.isna(), table["case"], "Case without a truth", file)
    ll = table["mark"] == "LL"
    bad = ll & ~((table["lesion"] >= 1) & (table["lesion"] <= number) & (table["lesion"] % 1 == 0))
    refuse(bad, frame["lesion"], "No such lesion in this case", file, "its number, from 1")
    keys = ["reader", "modality", "case", "lesion"]
    twice = table.where(ll).duplicated(keys) & ll
    refuse(twice, table["case"], "One lesion marked twice", file)
    return table


def ratings(marks: Marks, cluster: bool = True) -> Ratings:
    """`Ratings` of `Marks`; with `cluster` False every case is a patient of its own."""
    truth = marks.truth
    modalities, readers = marks.modalities, marks.readers
    cases = pd.Index(truth["case"])
    diseased = (truth["lesions"] > 0).to_numpy()
    sick = pd.Index(truth["case"][diseased])
    most = int(truth["lesions"].max())
    shape = (len(modalities), len(readers), len(cases))
    read = _read(marks, modalities, readers, cases)
    nl = np.where(read, -np.inf, UNREAD)
    table = marks.marks
    at = places(table, modalities, readers, cases)
    is_nl = (table["mark"] == "NL").to_numpy()
    values = table["rating"].to_numpy(float)
    np.fmax.at(nl, tuple(x[is_nl] for x in at), values[is_nl])
    ll = np.full((*shape[:2], len(sick), most), UNREAD)
    exists = np.arange(most) < truth["lesions"].to_numpy()[diseased][:, None]
    ll = np.where(exists & read[:, :, diseased, None], -np.inf, ll)
    hit = tuple(x[~is_nl] for x in at[:2])
    place = sick.get_indexer(table["case"].to_numpy()[~is_nl])
    ll[(*hit, place, table["lesion"].to_numpy()[~is_nl].astype(int) - 1)] = values[~is_nl]
    weights = np.zeros((len(sick), most))
    for row, own in enumerate(truth["weights"][diseased]):
        weights[row, : len(own)] = own
    clustered = cluster and "cluster" in truth and truth["cluster"].duplicated().any()
    names = truth["cluster" if clustered else "case"]
    every: dict[tuple[int, int, int], list[float]] = {}
    for i, j, k, value in zip(*(x[is_nl] for x in at), values[is_nl], strict=True):
        every.setdefault((i, j, k), []).append(value)
    groups = codes((names.to_numpy(),))[0]
    return Ratings(
        nl, ll, weights, diseased, groups, read, every, modalities, readers, bool(clustered)
    )


def _read(marks: Marks, modalities: tuple, readers: tuple, cases: pd.Index) -> np.ndarray:
    """Which cases were read, (T, R, cases) bool."""
    shape = (len(modalities), len(readers), len(cases))
    if marks.reads is None:
        return np.ones(shape, bool)
    read = np.zeros(shape, bool)
    at = places(marks.reads, modalities, readers, cases)
    kept = np.min(at, axis=0) >= 0
    read[tuple(x[kept] for x in at)] = True
    return read


def kernel(
    found: Ratings, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(success (A, n1, n0), read1, read0, groups1, groups0) of `Ratings`, arms modality-major.

    Rows are diseased cases (wAFROC, highest rating, LROC) or lesions (AFROC), columns the cases
    without disease, or all cases where the name ends in 1: success is that the lesion is rated
    above the case's highest NL, 1/2 for equal. groups: clusters of rows and columns, where a case
    may be both.
    """
    options.one_of("metric", metric, KERNELS)
    everywhere = metric.endswith("1")
    columns = np.ones(len(found.diseased), bool) if everywhere else ~found.diseased
    if not columns.any():
        raise DataError("No case without a lesion", expected="afroc1 or wafroc1, which need none")
    arms = found.nl.shape[0] * found.nl.shape[1]
    below = found.nl[:, :, columns].reshape(arms, -1)
    lesions = found.ll.reshape(arms, *found.ll.shape[2:])
    groups1, groups0 = found.clusters[found.diseased], found.clusters[columns]
    read0 = ~np.isnan(below)
    if metric.startswith("afroc"):
        real = np.broadcast_to(found.weights > 0, lesions.shape[1:])
        groups1 = np.broadcast_to(groups1[:, None], real.shape)[real]
        lesions = lesions[:, real]
        return _above(lesions, below), ~np.isnan(lesions), read0, groups1, groups0
    own_nl = found.nl[:, :, found.diseased].reshape(arms, -1)
    read1 = ~np.isnan(own_nl)
    if metric.startswith("wafroc"):
        success = sum(
            found.weights[:, k, None] * _above(lesions[:, :, k], below)
            for k in range(lesions.shape[2])
        )
        return success, read1, read0, groups1, groups0
    best = np.max(np.where(np.isnan(lesions), -np.inf, lesions), -1)
    best = np.where(read1, best, np.nan)
    if metric == "hr_auc":
        return _above(np.fmax(best, own_nl), below), read1, read0, groups1, groups0
    placed = (best > own_nl) + 0.5 * ((best == own_nl) & np.isfinite(best))
    return placed[..., None] * _above(best, below), read1, read0, groups1, groups0


def _above(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Success of pairs, (A, n1) against (A, n0); 0 where one was not read."""
    high, low = high[..., :, None], low[..., None, :]
    return (high > low) + 0.5 * (high == low)


def froc_points(
    found: Ratings, modality: int, reader: int, kept: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(non-lesions per case, share of lesions found), from the strictest threshold to none.

    `modality`, `reader`: places of the arm; `kept` (cases,) bool picks the cases.
    """
    read = found.read[modality, reader].copy()
    read &= True if kept is None else kept
    cases = np.flatnonzero(read)
    own: Any = [x for k in cases for x in found.all_nl.get((modality, reader, k), ())]
    lesions = found.ll[modality, reader][read[found.diseased]]
    lesions = lesions[~np.isnan(lesions)]
    marked = lesions[np.isfinite(lesions)]
    cuts = np.unique(np.concatenate([own, marked]))[::-1]
    own = np.sort(np.asarray(own, float))
    rate = (len(own) - np.searchsorted(own, cuts)) / max(len(cases), 1)
    hits = len(marked) - np.searchsorted(np.sort(marked), cuts)
    share = hits / len(lesions) if len(lesions) else np.full(len(cuts), np.nan)
    return np.concatenate([[0.0], rate]), np.concatenate([[0.0], share])


def lesion_sensitivity(
    found: Ratings, modality: int, reader: int, at: float, kept: np.ndarray | None = None
) -> float:
    """Share of lesions found where the reader makes at most `at` non-lesion marks per case.

    Between operating points of the FROC curve a straight line; beyond the last one its height.
    """
    rate, share = froc_points(found, modality, reader, kept)
    return float(np.interp(at, rate, share))


# The JAFROC workbook: sheets TRUTH, NL (or FP) and LL (or TP)


def read_jafroc(path: Path | str) -> Marks:
    """`Marks` from a JAFROC workbook (.xlsx). DataError names sheet and row.

    Sheet TRUTH: CaseID, LesionID (0: no lesion), Weight, and ReaderID, ModalityID lists of who
    reads the case; NL: ReaderID, ModalityID, CaseID, NL_Rating; LL: also LesionID, LL_Rating.
    """
    sheets = _sheets(path)
    truth = _sheet(sheets, path, ("TRUTH",), ("caseid", "lesionid", "weight"))
    nl = _sheet(sheets, path, ("NL", "FP"), ("readerid", "modalityid", "caseid"), "rating")
    ll = _sheet(
        sheets, path, ("LL", "TP"), ("readerid", "modalityid", "caseid", "lesionid"), "rating"
    )
    marks = pd.concat([nl.assign(mark="NL", lesionid=np.nan), ll.assign(mark="LL")])
    names = {"readerid": "reader", "modalityid": "modality", "caseid": "case", "lesionid": "lesion"}
    marks = marks.rename(columns=names).reset_index(drop=True)
    truth["weight"] = pd.to_numeric(truth["weight"], errors="coerce").fillna(0)
    rows = []
    for case, part in truth.groupby("caseid", sort=False):
        lesions = part[pd.to_numeric(part["lesionid"]) > 0].sort_values("lesionid")
        weights = lesions["weight"].tolist()
        text = ";".join(map(repr, weights)) if sum(weights) > 0 else ""
        rows.append({"case": case, "lesions": len(lesions), "weights": text})
    found = read_marks(marks, pd.DataFrame(rows), _jafroc_reads(truth))
    invented = any(MARK in name.upper() for name in sheets) or is_marked(truth, path)
    return replace(found, simulated=found.simulated or invented)


def _sheets(path: Path | str) -> dict[str, pd.DataFrame]:
    if not Path(path).exists():
        raise DataError("Workbook not found", file=path)
    try:
        return pd.read_excel(path, sheet_name=None, dtype=str, engine="openpyxl")
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise DataError(f"Workbook cannot be read: {error}", file=path) from None


def _sheet(
    sheets: dict[str, pd.DataFrame],
    path: Path | str,
    names: tuple[str, ...],
    columns: tuple[str, ...],
    rating: str | None = None,
) -> pd.DataFrame:
    """One sheet by any of its names, with lower-case columns."""
    found = {name.strip().upper(): frame for name, frame in sheets.items()}
    frame = next((found[name] for name in names if name in found), None)
    if frame is None:
        raise DataError("Sheet missing", file=path, found=", ".join(sheets), expected=names[0])
    frame = frame.rename(columns=lambda x: str(x).strip().lower())
    if rating:
        frame = frame.rename(columns=lambda x: "rating" if x.endswith("rating") else x)
        columns = (*columns, "rating")
    need_columns(frame, columns, f"{Path(path).name}, sheet {names[0]}")
    return frame.dropna(how="all")


def _jafroc_reads(truth: pd.DataFrame) -> pd.DataFrame | None:
    """Who read what by the lists of TRUTH; None where they are absent or the same everywhere."""
    lists = [name for name in ("readerid", "modalityid") if name in truth]
    if len(lists) < 2 or truth[lists].nunique().max() <= 1:
        return None
    rows = [
        {"reader": reader.strip(), "modality": modality.strip(), "case": row["caseid"]}
        for row in truth.drop_duplicates("caseid").to_dict("records")
        for reader in str(row["readerid"]).split(",")
        for modality in str(row["modalityid"]).split(",")
    ]
    return pd.DataFrame(rows)


def write_jafroc(marks: Marks, path: Path | str) -> None:
    """Write `Marks` as a JAFROC workbook. The same marks are read back.

    Marks that no person made say so in a sheet of their own, which JAFROC and RJafroc pass over.
    """
    readers, modalities = (", ".join(map(str, x)) for x in (marks.readers, marks.modalities))
    truth = []
    for row in marks.truth.itertuples():
        lesions = enumerate(row.weights, start=1) if row.lesions else [(0, 0.0)]
        who = _who(marks, row.case, readers, modalities)
        truth += [(row.case, k, w, *who, "FROC") for k, w in lesions]
    keys, table = ["reader", "modality", "case"], marks.marks
    nl, ll = (table[table["mark"] == kind] for kind in ("NL", "LL"))
    names = ["ReaderID", "ModalityID", "CaseID"]
    head = ["CaseID", "LesionID", "Weight", "ReaderID", "ModalityID", "Paradigm"]
    sheets = {
        "TRUTH": pd.DataFrame(truth, columns=head),
        "NL": nl[[*keys, "rating"]].set_axis([*names, "NL_Rating"], axis=1),
        "LL": ll[[*keys, "lesion", "rating"]]
        .astype({"lesion": int})
        .set_axis([*names, "LesionID", "LL_Rating"], axis=1),
    }
    if marks.simulated:
        sheets[MARK] = pd.DataFrame({INVENTED: []})
    with (
        atomic_path(path) as temporary,
        pd.ExcelWriter(temporary, engine="openpyxl") as book,
    ):
        for name, sheet in sheets.items():
            sheet.to_excel(book, sheet_name=name, index=False)


def _who(marks: Marks, case: Hashable, readers: str, modalities: str) -> tuple[str, ...]:
    """Lists of the readers and modalities of one case."""
    if marks.reads is None:
        return readers, modalities
    part = marks.reads[marks.reads["case"] == case]
    return tuple(
        ", ".join(dict.fromkeys(part[name].astype(str))) for name in ("reader", "modality")
    )
