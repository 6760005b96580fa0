"""One reader study, whatever it came from: a reading log, a file of scores, or a simulation.

`load` gives a `ReaderStudy`: the scores for the statistics of several readers, and, where a
reading log exists, the paired readings without and with the heat-map.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import read_json, read_shared_csv, read_table
from camreader.common.study import Study
from camreader.session.database import LOG, sqlite_file
from camreader.session.plan import Plan, choose_cases, patient_codes
from camreader.session.questions import HELPFULNESS as HELPFULNESS  # for the tables
from camreader.session.questions import QUESTIONS
from camreader.session.questions import STAGES as MODALITIES
from camreader.session.simulate import simulate_readings
from camreader.session.tidy import decode, load_tidy
from camreader.statistics.mrmc.analysis import read_scores, tidy
from camreader.training import predictions

NEEDED = ["reader", "case", "modality", "truth", "score", "diagnosis"]
LEAST_OF_A_CLASS = 5  # slices, for a rehearsal on them
LOGS = (LOG, "simulated.sqlite")  # in the cohort's folder of readings


@dataclass(frozen=True)
class ReaderStudy:
    """scores: reader, modality, case, truth, score, with the aided readings first so that
    differences are aided minus unaided. readings: the paired log, or None for a file that has
    scores only. source: words for every figure. flags: what was left out, and why. margin: the
    loss of AUC that the design declared acceptable before anybody read; 0 where it declared none.
    """

    scores: pd.DataFrame
    readings: pd.DataFrame | None
    source: str
    simulated: bool
    flags: list = field(default_factory=list)
    margin: float = 0.0

    @property
    def modalities(self) -> list[str]:
        return list(dict.fromkeys(self.scores["modality"]))

    @property
    def size(self) -> tuple[int, int, int]:
        """(readers, cases, diseased cases)."""
        cases = self.scores.drop_duplicates("case")
        return self.scores["reader"].nunique(), len(cases), int((cases["truth"] == 1).sum())

    @property
    def cases_each(self) -> int:
        """Cases that a reader read under a modality: the median."""
        return int(self.scores.groupby(["reader", "modality"]).size().median())

    @property
    def sequential(self) -> bool:
        """True where the heat-map followed the unaided answer at once: one order for both."""
        orders = self.log.set_index(["reader", "case", "modality"])["order"].unstack()
        both = orders.reindex(columns=MODALITIES).dropna()
        return bool(len(both)) and (both["aided"] == both["unaided"]).mean() > 0.5

    def marks(self) -> pd.DataFrame:
        """Scores table whose score is 1 where the reader said tumor; "other" is no tumor."""
        readings = self.log
        said = (readings["diagnosis"] == "tumor").astype(int)
        return _scores(readings.assign(score=said))

    @property
    def log(self) -> pd.DataFrame:
        """The paired readings; DataError where a file has scores only."""
        if self.readings is None:
            raise DataError("These readings have scores only", expected="a reading log")
        return self.readings


def load(
    path: str | Path | None, study: Study, readers: int = 6, cases: int = 60, seed: int = 0
) -> ReaderStudy:
    """`ReaderStudy` from `path`: .imrmc, CSV of scores or of tidy readings, or a log's address.

    Without a path: the log of the cohort's reading session (study.readings), real before
    simulated; else a simulated study of `readers` by `cases`, on the cohort's test slices where a
    trained network has predicted them. DataError names what is broken.
    """
    if not path:
        found, flags = _cohort_log(study)
        found = found or _simulated(study, readers, cases, seed)
        return replace(found, flags=[*flags, *found.flags])
    path = str(path)
    if "://" in path or path.endswith((".sqlite", ".db")):
        file = sqlite_file(path)
        here = file is not None and (file.parent / "design.json").exists()
        folder = file.parent if file and here else study.readings  # where the sealed truth lies
        own = folder.resolve() == study.readings.resolve()
        name = file.name if file else "database"
        found = _from_log(load_tidy(path, folder), _of_cohort(study, name) if own else name, path)
        return replace(found, margin=_declared(folder))
    if not Path(path).exists():
        raise DataError("File of readings not found", file=path)
    if path.endswith(".csv") and "diagnosis" in _header(path):
        frame = read_shared_csv(path, missing=(), dtype=str)
        frame.index = frame.index + 2  # the header is line 1
        return _from_log(frame, Path(path).name, path)
    scores = read_scores(path)
    source = f"Scores from {Path(path).name}: {_words(scores)}"
    return ReaderStudy(scores, None, source, False, list(scores.attrs["flags"]))


def check_readings(frame: pd.DataFrame, file: str | Path | None = None) -> pd.DataFrame:
    """Checked copy of tidy readings; DataError names the row and column that broke.

    Columns that are not there (times, helpfulness, CNN) come back empty.
    """
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise DataError("Column missing", file=file, column=missing[0], expected=NEEDED)
    words, limits = _allowed()
    frame = frame.reindex(columns=list(dict.fromkeys([*NEEDED, *limits, *words, "patient"])))
    for column in words:
        frame[column] = frame[column].astype(object).fillna("").astype(str).str.strip().str.lower()
    frame = decode(frame)
    for column, values in words.items():
        _refuse(~frame[column].isin(values), frame, column, values, file)
    frame["simulated"] = frame["simulated"].isin(["true", "1"])
    for column, (low, high, kind) in limits.items():
        numbers = pd.to_numeric(frame[column], errors="coerce")
        text = numbers.isna() & frame[column].notna() & (frame[column] != "")
        outside = (numbers < low) | (numbers > high) | np.isinf(numbers)
        if kind == "whole number":
            outside |= numbers.notna() & (numbers % 1 != 0)
        _refuse(text | outside, frame, column, f"a {kind} from {low:g} to {high:g}", file)
        frame[column] = numbers.astype(float)
    return frame


def _allowed() -> tuple[dict[str, tuple], dict[str, tuple]]:
    """{column: words it may hold} and {column: (lowest, highest, kind of number)}."""
    words: dict[str, tuple] = {"modality": MODALITIES}
    limits: dict[str, tuple] = {}
    for question in QUESTIONS:
        if question.kind == "choice":
            words[question.name] = question.values + ("",) * (question.name not in NEEDED)
        elif question.kind == "scale":
            limits[question.name] = (*question.limits, "whole number")
        elif question.kind == "slider":
            limits[question.name] = (*question.limits, "number")
    words["simulated"] = ("true", "false", "1", "0", "")
    limits["seconds"] = (0, float("inf"), "number")
    limits["order"] = (1, float("inf"), "whole number")
    limits["cnn_prediction"] = (0, 1, "whole number")
    return words, limits


def _refuse(
    bad: pd.Series, frame: pd.DataFrame, column: str, expected: Any, file: str | Path | None
) -> None:
    if bad.any():
        row = frame.index[int(bad.to_numpy().argmax())]
        found = repr(frame.loc[row, column])
        raise DataError(
            "Unknown value", file=file, row=row, column=column, found=found, expected=expected
        )


def _from_log(frame: pd.DataFrame, name: str, path: str | Path | None) -> ReaderStudy:
    frame = check_readings(frame, path)
    scores = _scores(frame, path)
    kept = frame.loc[frame.index.isin(scores.index)]
    kept = kept.assign(truth=pd.to_numeric(kept["truth"]), score=pd.to_numeric(kept["score"]))
    simulated = bool(kept["simulated"].any())
    start = "SIMULATED readings, no person read anything" if simulated else "Recorded readings"
    source = f"{start}: {_words(scores)}" + (f" ({name})" if name else "")
    flags = list(scores.attrs["flags"])
    scores, kept = (x.reset_index(drop=True) for x in (scores, kept))
    return ReaderStudy(scores, kept, source, simulated, flags)


def _scores(frame: pd.DataFrame, path: str | Path | None = None) -> pd.DataFrame:
    """Tidy scores of a log, aided first; the index is the log's."""
    frame = frame.copy()
    if "patient" in frame and (frame["patient"].isna() | frame["patient"].eq("")).all():
        del frame["patient"]  # the log does not know whose slices these are
    table = tidy(frame, file=path)
    return table.sort_values("modality", kind="stable")  # "aided" sorts before "unaided"


def _words(scores: pd.DataFrame) -> str:
    readers, cases = scores["reader"].nunique(), scores["case"].nunique()
    full = readers * cases * scores["modality"].nunique() == len(scores)
    words = f"{readers} reader{'s' * (readers != 1)} × {cases} case{'s' * (cases != 1)}"
    return words if full else f"{words}, not all read by all"


def _header(path: str | Path) -> list[str]:
    try:
        return list(pd.read_csv(path, nrows=0).columns)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"File of readings cannot be read: {error}", file=path) from None


def _cohort_log(study: Study) -> tuple[ReaderStudy | None, list[str]]:
    """(readings of this cohort's own session or None, flags for logs without an answer)."""
    flags: list[str] = []
    for name in LOGS:
        path = study.readings / name
        if not path.exists():
            continue
        frame = load_tidy(path)
        if len(frame):
            found = _from_log(frame, _of_cohort(study, name), path)
            return replace(found, margin=_declared(study.readings)), flags
        flags.append(f"{name} holds no answer yet")
    return None, flags


def _declared(folder: str | Path) -> float:
    """The margin of the design in this folder; 0 without one."""
    path = Path(folder) / "design.json"
    return float(read_json(path)["plan"].get("margin", 0)) if path.exists() else 0.0


def _of_cohort(study: Study, name: str = "") -> str:
    """The cohort's title, which says where slices are synthetic, and the log's name."""
    title = study.card["title"] if (study.cohort_folder / "cohort.json").exists() else study.cohort
    return f"{title}; {name}" if name else title


def _simulated(study: Study, readers: int, cases: int, seed: int) -> ReaderStudy:
    """A study nobody read, of the cases that a reading of this cohort would have."""
    notes: list[str] = []
    known = _predictions(study)
    if known is not None:
        known, notes = choose_cases(known, Plan(cases, readers, training_cases=0, seed=seed))
        known["patient"] = patient_codes(known)
        cases = len(known)
    frame = simulate_readings(readers, cases, seed, known)
    found = _from_log(frame, "made-up cases" if known is None else _of_cohort(study), None)
    return replace(found, flags=[*found.flags, *notes])


def _predictions(study: Study) -> pd.DataFrame | None:
    """Test slices with their truth, patient and a trained network's answer; None before any
    training, or with fewer than five slices of a class."""
    table = study.runs / "predictions.parquet"
    if not (table.exists() and study.cohort_table.exists()):
        return None
    every, cohort = read_table(table), read_table(study.cohort_table)
    for protocol in predictions.final_protocols(every):
        seed = every.loc[every["protocol"].eq(protocol) & every["run"].eq("final"), "seed"].min()
        chosen = predictions.test_slices(every, cohort, protocol, "final", seed)
        if min((chosen["truth"] == k).sum() for k in (0, 1)) >= LEAST_OF_A_CLASS:
            return chosen
    return None
