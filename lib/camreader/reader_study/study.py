"""One reader study, whatever it came from: a reading log, a file of scores, or a simulation.

`load` gives a `ReaderStudy`: the scores for the statistics of several readers, and, where a
reading log exists, the paired readings without and with the heat-map.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import read_shared_csv, read_table
from camreader.session.database import LOG, sqlite_file
from camreader.session.questions import CODES, DIAGNOSES, HELPFULNESS
from camreader.session.simulate import simulate_readings
from camreader.session.tidy import load_tidy
from camreader.statistics.mrmc.analysis import read_scores, tidy

NEEDED = ["reader", "case", "modality", "truth", "score", "diagnosis"]
OPTIONAL = ["confidence", "helpfulness", "seconds", "order", "cnn_prediction", "simulated"]
MODALITIES = ("unaided", "aided")
LOGS = (LOG, "simulated.sqlite")  # in the cohort's folder of readings
PREFERRED_RUNS = (("sound", "final"), ("paper", "final"))


@dataclass(frozen=True)
class ReaderStudy:
    """scores: reader, treatment, case, truth, score, with the aided readings first so that
    differences are aided minus unaided. readings: the paired log, or None for a file that has
    scores only. source: words for every figure. flags: what was left out, and why."""

    scores: pd.DataFrame
    readings: pd.DataFrame | None
    source: str
    simulated: bool
    flags: list = field(default_factory=list)

    @property
    def treatments(self):
        return list(dict.fromkeys(self.scores["treatment"]))

    @property
    def size(self):
        """(readers, cases, diseased cases)."""
        cases = self.scores.drop_duplicates("case")
        return self.scores["reader"].nunique(), len(cases), int((cases["truth"] == 1).sum())

    @property
    def cases_each(self):
        """Cases that a reader read under a treatment: the median."""
        return int(self.scores.groupby(["reader", "treatment"]).size().median())

    @property
    def sequential(self):
        """True where the heat-map followed the unaided answer at once: one order for both."""
        orders = self.readings.set_index(["reader", "case", "modality"])["order"].unstack()
        both = orders.reindex(columns=MODALITIES).dropna()
        return bool(len(both)) and (both["aided"] == both["unaided"]).mean() > 0.5

    def marks(self):
        """Scores table whose score is 1 where the reader said tumor; "other" is no tumor."""
        said = (self.readings["diagnosis"] == "tumor").astype(int)
        return _scores(self.readings.assign(score=said))


def load(path, study, readers=6, cases=60, seed=0):
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
        alone = file is None or not (file.parent / "design.json").exists()
        folder = study.readings if alone else file.parent  # where the sealed truth lies
        own = folder.resolve() == study.readings.resolve()
        name = file.name if file else "database"
        return _from_log(load_tidy(path, folder), _of_cohort(study, name) if own else name, path)
    if not Path(path).exists():
        raise DataError("File of readings not found", file=path)
    if path.endswith(".csv") and "diagnosis" in _header(path):
        frame = read_shared_csv(path, missing=(), dtype=str)
        frame.index = frame.index + 2  # the header is line 1
        return _from_log(frame, Path(path).name, path)
    scores = read_scores(path)
    source = f"Scores from {Path(path).name}: {_words(scores)}"
    return ReaderStudy(scores, None, source, False, list(scores.attrs["flags"]))


def check_readings(frame, file=None):
    """Checked copy of tidy readings; DataError names the row and column that broke.

    Columns that are not there (times, helpfulness, CNN) come back empty.
    """
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise DataError("Column missing", file=file, column=missing[0], expected=NEEDED)
    frame = frame.reindex(columns=NEEDED + OPTIONAL)
    for column in ("modality", "diagnosis", "helpfulness", "simulated"):
        frame[column] = frame[column].astype(object).fillna("").astype(str).str.strip().str.lower()
    frame["diagnosis"] = frame["diagnosis"].replace({code: word for word, code in CODES.items()})
    for column, values in {
        "modality": MODALITIES,
        "diagnosis": DIAGNOSES,
        "helpfulness": (*HELPFULNESS, ""),
        "simulated": ("true", "false", "1", "0", ""),
    }.items():
        _refuse(~frame[column].isin(values), frame, column, values, file)
    frame["simulated"] = frame["simulated"].isin(["true", "1"])
    for column, (low, high) in {
        "confidence": (1, 5),
        "seconds": (0, float("inf")),
        "order": (1, float("inf")),
        "cnn_prediction": (0, 1),
    }.items():
        numbers = pd.to_numeric(frame[column], errors="coerce")
        text = numbers.isna() & frame[column].notna() & (frame[column] != "")
        outside = (numbers < low) | (numbers > high) | np.isinf(numbers)
        kind = "number"
        if column != "seconds":
            kind = "whole number"
            outside |= numbers.notna() & (numbers % 1 != 0)
        _refuse(text | outside, frame, column, f"a {kind} from {low} to {high}", file)
        frame[column] = numbers.astype(float)
    return frame


def _refuse(bad, frame, column, expected, file):
    if bad.any():
        row = frame.index[bad.to_numpy().argmax()]
        found = repr(frame.loc[row, column])
        raise DataError(
            "Unknown value", file=file, row=row, column=column, found=found, expected=expected
        )


def _from_log(frame, name, path):
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


def _scores(frame, path=None):
    """Tidy scores of a log, aided first; the index is the log's."""
    table = tidy(frame.rename(columns={"modality": "treatment"}), file=path)
    return table.sort_values("treatment", kind="stable")  # "aided" sorts before "unaided"


def _words(scores):
    readers, cases = scores["reader"].nunique(), scores["case"].nunique()
    full = readers * cases * scores["treatment"].nunique() == len(scores)
    words = f"{readers} reader{'s' * (readers != 1)} × {cases} case{'s' * (cases != 1)}"
    return words if full else f"{words}, not all read by all"


def _header(path):
    try:
        return list(pd.read_csv(path, nrows=0).columns)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"File of readings cannot be read: {error}", file=path) from None


def _cohort_log(study):
    """(readings of this cohort's own session or None, flags for logs without an answer)."""
    flags = []
    for name in LOGS:
        path = study.readings / name
        if not path.exists():
            continue
        frame = load_tidy(path)
        if len(frame):
            return _from_log(frame, _of_cohort(study, name), path), flags
        flags.append(f"{name} holds no answer yet")
    return None, flags


def _of_cohort(study, name=""):
    """The cohort's title, which says where slices are synthetic, and the log's name."""
    title = study.card["title"] if (study.cohort_folder / "cohort.json").exists() else study.cohort
    return f"{title}; {name}" if name else title


def _simulated(study, readers, cases, seed):
    known = _predictions(study)
    frame = simulate_readings(readers, cases, seed, known)
    return _from_log(frame, "made-up cases" if known is None else _of_cohort(study), None)


def _predictions(study):
    """Test slices with their label and a trained network's answer; None before any training."""
    table = study.runs / "predictions.parquet"
    if not (table.exists() and study.cohort_table.exists()):
        return None
    every = read_table(table)
    labels = read_table(study.cohort_table).set_index("slice_id")["label"]
    for protocol, run in PREFERRED_RUNS:
        chosen = every[(every["protocol"] == protocol) & (every["run"] == run)]
        chosen = chosen[(chosen["split"] == "test") & (chosen["seed"] == chosen["seed"].min())]
        chosen = chosen.assign(truth=chosen["slice_id"].map(labels)).dropna(subset="truth")
        if (chosen["truth"] == 1).sum() >= 5 and (chosen["truth"] == 0).sum() >= 5:
            return chosen.astype({"truth": int})
    return None
