"""One reader study, whatever it came from: a reading log, a file of scores, or a simulation.

`load` gives a `ReaderStudy`: the scores for the statistics of several readers, and, where a
reading log exists, the readings themselves with the stages, arms and contrast of their design.
"""

# mypy: disable-error-code="arg-type,call-overload"
# (the stubs of pandas are narrower than what these calls accept)

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.session import belonging, invented
from camreader.session.database import LOG, sqlite_file
from camreader.session.plan import Plan, choose_cases, patient_codes
from camreader.session.progress import Design
from camreader.session.questions import HELPFULNESS as HELPFULNESS  # for the tables
from camreader.session.questions import QUESTIONS
from camreader.session.simulate import simulate_readings
from camreader.session.stages import DEFAULT, PRESETS, Paradigm, from_stored
from camreader.session.tidy import decode, is_log, load_tidy, texts_of
from camreader.statistics.mrmc.analysis import read_scores
from camreader.statistics.mrmc.io import INVENTED, is_imrmc, need_columns, refuse, tidy
from camreader.training import predictions

NEEDED = ["reader", "case", "modality", "truth", "score", "diagnosis"]
LEAST_OF_A_CLASS = 5  # slices, for a rehearsal on them
LOGS = (LOG, "simulated.sqlite")  # in the cohort's folder of readings
UNKNOWN = "Unknown value"
STAGE_NAME = "[a-z][a-z_]*"
TWO = ("aided", "unaided")  # of readings in two stages; their differences are the first's minus
MAYBE = {  # columns that earlier logs and files lack: (lowest, highest) where they are numbers
    "arm": None,
    "period": (1, np.inf),
    "map": None,
    "map_hit": (0, 1),
    "region": None,
    "cnn_probability": (0, 1),
    "opacity_changes": (0, np.inf),
    "opacity_last": (0, 1),
    "opacity_max": (0, 1),
    "threshold_last": (0, 1),
}


@dataclass(frozen=True)
class ReaderStudy:
    """scores: reader, modality, case, truth, score; the contrast's first modality comes first, so
    that differences are the first minus the second. readings: the log, or None for a file that
    has scores only. source: words for every figure. flags: what was left out, and why. margin:
    the loss of AUC that the design declared acceptable before anybody read; 0 where it declared
    none. paradigm: the design that was read; None where no file says.
    """

    scores: pd.DataFrame
    readings: pd.DataFrame | None
    source: str
    simulated: bool
    flags: list = field(default_factory=list)
    margin: float = 0.0
    paradigm: Paradigm | None = None

    @property
    def modalities(self) -> list[str]:
        return list(dict.fromkeys(self.scores["modality"]))

    @property
    def contrast(self) -> tuple[str, str] | None:
        """(first, second) of the primary contrast: the declared one, else the first two
        modalities; None with one modality."""
        names = self.modalities
        if self.paradigm and set(self.paradigm.contrast) <= set(names):
            return self.paradigm.contrast
        return (names[0], names[1]) if len(names) > 1 else None

    @property
    def declared(self) -> bool:
        """Whether a design names the contrast."""
        return self.paradigm is not None and self.contrast == self.paradigm.contrast

    @property
    def stages(self) -> list[str]:
        """Modalities in the order in which readers met them."""
        if self.paradigm:
            known = [name for name in self.paradigm.stages if name in self.modalities]
            return known + [name for name in self.modalities if name not in known]
        return self.modalities[::-1] if len(self.modalities) < 3 else self.modalities

    @property
    def steps(self) -> list[tuple[str, str]]:
        """(before, after) of stages that the same readers gave to the same cases, the contrast
        first, then each next stage of an arm."""
        wanted = [self.contrast[::-1]] if self.contrast else []
        if self.paradigm:
            for arm in self.paradigm.arms:
                names = [stage.name for stage in arm.stages]
                wanted += list(pairwise(names))
        read = self.scores.assign(read=True).pivot_table(
            index=["reader", "case"], columns="modality", values="read", aggfunc="any"
        )
        return [
            pair
            for pair in dict.fromkeys(wanted)
            if set(pair) <= set(read) and read[list(pair)].notna().all(axis=1).any()
        ]

    @property
    def first_stage(self) -> str:
        """The stage that shows nothing, else the first one met."""
        bare = [name for name in self.stages if not self.shows(name)]
        return bare[0] if bare else self.stages[0]

    def shows(self, modality: str) -> tuple[str, ...]:
        """What stood beside the slice; empty where nothing did."""
        stages = (self.paradigm or PRESETS["sequential"]).stages
        return stages[modality].shows if modality in stages else ()

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
        """True where the contrast's first stage followed the second at once: one order for both."""
        if self.contrast is None:
            return False
        orders = self.log.set_index(["reader", "case", "modality"])["order"].unstack()
        both = orders.reindex(columns=list(self.contrast)).dropna()
        return len(both) > 0 and bool((both.iloc[:, 0] == both.iloc[:, 1]).mean() > 0.5)

    def follows(self, modality: str) -> bool:
        """Whether a stage came on top of an earlier one of the same reading."""
        if self.paradigm:
            later = {stage.name for arm in self.paradigm.arms for stage in arm.stages[1:]}
            return modality in later
        return self.contrast is not None and modality == self.contrast[0] and self.sequential

    def marks(self) -> pd.DataFrame:
        """Scores table whose score is 1 where the reader said tumor; "other" is no tumor."""
        readings = self.log
        said = (readings["diagnosis"] == "tumor").astype(int)
        return _scores(readings.assign(score=said), self.paradigm)

    @property
    def log(self) -> pd.DataFrame:
        """The paired readings; DataError where a file has scores only."""
        if self.readings is None:
            raise DataError("These readings have scores only", expected="a reading log")
        return self.readings


def load(
    path: str | Path | None,
    study: Study,
    readers: int = 6,
    cases: int = 60,
    seed: int = 0,
    design: str = DEFAULT,
) -> ReaderStudy:
    """`ReaderStudy` from `path`: .imrmc, CSV of scores or of tidy readings, or a log's address.

    Without a path: the log of the cohort's reading session (study.readings), real before
    simulated; else a simulated study of `readers` by `cases` as the preset `design` has it read,
    on the cohort's test slices where a trained network has predicted them. DataError names what
    is broken.
    """
    if not path:
        found, flags = _cohort_log(study)
        found = found or _simulated(study, readers, cases, seed, PRESETS[design])
        return replace(found, flags=[*flags, *found.flags])
    path = str(path)
    if is_log(path):
        folder, name = place_of(path, study)
        own = folder.resolve() == study.readings.resolve()
        if own:
            belonging.check(study, folder)
        words = _of_cohort(study, name) if own else name
        return of_design(_from_log(load_tidy(path, folder), words, path, _paradigm(folder)), folder)
    if not Path(path).exists():
        raise DataError("File of readings not found", file=path)
    if not is_imrmc(path):
        frame = texts_of(path)
        if "diagnosis" in frame:
            return _told_invented(_from_log(frame, Path(path).name, path), study)
    scores = read_scores(path)
    source = f"Scores from {Path(path).name}: {_words(scores)}"
    found = ReaderStudy(scores, None, source, False, list(scores.attrs["flags"]))
    return _called_invented(found) if scores.attrs["simulated"] else _told_invented(found, study)


def place_of(log: str, study: Study) -> tuple[Path, str]:
    """(folder that holds the design and the sealed truth of a log, the log's name)."""
    file = sqlite_file(log)
    here = file is not None and (file.parent / "design.json").exists()
    return file.parent if file and here else study.readings, file.name if file else "database"


def _called_invented(found: ReaderStudy) -> ReaderStudy:
    """The study, called what it is: its file says, or we know, that no person read anything."""
    source = found.source.removeprefix("Recorded readings: ")
    return replace(found, simulated=True, source=f"{INVENTED}: {source}")


def _told_invented(found: ReaderStudy, study: Study) -> ReaderStudy:
    """The study; called invented where its file has lost the word but we know its answers."""
    if found.simulated or not invented.recognised(study.readings, found.scores):
        return found
    lost = "the file does not say that its readings are SIMULATED; known by their content"
    return replace(_called_invented(found), flags=[*found.flags, lost])


def check_readings(frame: pd.DataFrame, file: str | Path | None = None) -> pd.DataFrame:
    """Checked copy of tidy readings; DataError names the row and column that broke.

    Columns that are not there (times, helpfulness, CNN) come back empty.
    """
    need_columns(frame, NEEDED, file)
    words, limits = _allowed()
    profile = [name for name in frame if str(name).startswith("reader_")]
    names = [*NEEDED, *limits, *words, "patient", *MAYBE, *profile]
    frame = frame.reindex(columns=list(dict.fromkeys(names)))
    stages = frame["modality"].astype(str).str.strip().str.lower()
    unfit = ~stages.str.fullmatch(STAGE_NAME)
    wanted = "a stage's name, such as unaided, answer, map, aided"
    refuse(unfit, frame["modality"], UNKNOWN, file, wanted)
    frame["modality"] = stages
    for column in ("arm", "map", "region", *profile):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), "")
    for column in words:
        frame[column] = frame[column].astype(object).fillna("").astype(str).str.strip().str.lower()
    frame = decode(frame)
    for column, values in words.items():
        refuse(~frame[column].isin(values), frame[column], UNKNOWN, file, values)
    frame["simulated"] = frame["simulated"].isin(["true", "1"])
    yes = {True: 1, False: 0, "True": 1, "False": 0, "true": 1, "false": 0}
    frame["map_hit"] = frame["map_hit"].map(lambda value: yes.get(value, value))
    for column, (low, high, kind) in limits.items():
        numbers = pd.to_numeric(frame[column], errors="coerce")
        text = numbers.isna() & frame[column].notna() & (frame[column] != "")
        outside = (numbers < low) | (numbers > high) | np.isinf(numbers)
        if kind == "whole number":
            outside |= numbers.notna() & (numbers % 1 != 0)
        wanted = f"a {kind} from {low:g} to {high:g}"
        refuse(text | outside, frame[column], UNKNOWN, file, wanted)
        frame[column] = numbers.astype(float)
    return frame


def _allowed() -> tuple[dict[str, tuple], dict[str, tuple]]:
    """{column: words it may hold} and {column: (lowest, highest, kind of number)}."""
    words: dict[str, tuple] = {}
    limits: dict[str, tuple] = {
        name: (*ends, "number") for name, ends in MAYBE.items() if ends is not None
    }
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


def _from_log(
    frame: pd.DataFrame, name: str, path: str | Path | None, paradigm: Paradigm | None = None
) -> ReaderStudy:
    frame, notes = check_readings(frame, path), []
    names = set(frame["modality"])
    if paradigm is None or not set(paradigm.contrast) <= names:
        lost = paradigm
        paradigm = _likely(frame)
        if lost and len(names) > 1:
            notes.append(f"no reading of the declared contrast, {' minus '.join(lost.contrast)}")
        if paradigm and names != set(TWO):
            words = f"no design beside these readings: taken for {paradigm.name} by their stages"
            notes.append(words)
    scores = _scores(frame, paradigm, path)
    kept = frame.loc[frame.index.isin(scores.index)]
    kept = kept.assign(truth=pd.to_numeric(kept["truth"]), score=pd.to_numeric(kept["score"]))
    simulated = bool(kept["simulated"].any())
    start = INVENTED if simulated else "Recorded readings"
    source = f"{start}: {_words(scores, paradigm)}" + (f" ({name})" if name else "")
    flags = [*notes, *scores.attrs["flags"]]
    scores, kept = (x.reset_index(drop=True) for x in (scores, kept))
    return ReaderStudy(scores, kept, source, simulated, flags, paradigm=paradigm)


def _likely(frame: pd.DataFrame) -> Paradigm | None:
    """The preset with these stages, and arms where a column names them; None for no such one,
    and for two stages, which both a sequential reading and a crossover have."""
    arms = set(frame["arm"]) - {""}
    for preset in PRESETS.values():
        same = set(preset.stages) == set(frame["modality"]) != set(TWO)
        if same and (not arms or arms == {arm.name for arm in preset.arms}):
            return preset
    return None


def _scores(
    frame: pd.DataFrame, paradigm: Paradigm | None, path: str | Path | None = None
) -> pd.DataFrame:
    """Tidy scores of a log, the contrast's first modality first; the index is the log's."""
    frame = frame.copy()
    if "patient" in frame and (frame["patient"].isna() | frame["patient"].eq("")).all():
        del frame["patient"]  # the log does not know whose slices these are
    table = tidy(frame, file=path)
    # by name without a design: "aided" sorts before "unaided"
    order = [*paradigm.contrast, *paradigm.stages] if paradigm else sorted(set(table["modality"]))
    rank = {name: k for k, name in reversed(list(enumerate(order)))}
    return table.sort_values("modality", key=lambda x: x.map(rank), kind="stable")


def _words(scores: pd.DataFrame, paradigm: Paradigm | None = None) -> str:
    readers, cases = scores["reader"].nunique(), scores["case"].nunique()
    whole = readers * cases * scores["modality"].nunique()
    if paradigm and paradigm.assign in ("readers", "cases"):
        whole = readers * cases * len(paradigm.arms[0].stages)
    full = whole == len(scores)
    words = f"{readers} reader{'s' * (readers != 1)} × {cases} case{'s' * (cases != 1)}"
    return words if full else f"{words}, not all read by all"


def _cohort_log(study: Study) -> tuple[ReaderStudy | None, list[str]]:
    """(readings of this cohort's own session or None, flags for logs without an answer)."""
    flags: list[str] = []
    for name in LOGS:
        path = study.readings / name
        if not path.exists():
            continue
        frame = load_tidy(path)
        if name != LOG and not _of_these_slices(study, frame):
            flags.append(f"{name} is a rehearsal of another cohort and is not used")
        elif len(frame):
            if name == LOG:
                belonging.check(study, study.readings)
            found = _from_log(frame, _of_cohort(study, name), path, _paradigm(study.readings))
            return of_design(found, study.readings), flags
        else:
            flags.append(f"{name} holds no answer yet")
    return None, flags


def log_of(path: str, study: Study) -> tuple[str | Path, Path] | None:
    """(reading log, folder of its design) of the readings that `load` reads; None where there is no
    log, as for a file of scores."""
    if not path:
        found = [study.readings / name for name in LOGS if (study.readings / name).exists()]
        return (found[0], study.readings) if found else None
    return (path, place_of(path, study)[0]) if is_log(path) else None


def _of_these_slices(study: Study, frame: pd.DataFrame) -> bool:
    """False where invented readings are of slices, but of other ones than this cohort's."""
    made_up = frame["case"].astype(str).str.startswith(invented.MADE_UP).any()
    if made_up or not study.cohort_table.exists():
        return True
    return belonging.of_rehearsal(read_table(study.cohort_table), frame)


def of_design(found: ReaderStudy, folder: str | Path) -> ReaderStudy:
    """The study with the margin that its design declared, and every change of the protocol."""
    if not (Path(folder) / "design.json").exists():
        return found
    design = Design.load(folder)
    changes = [f"the protocol was changed: {x}" for x in getattr(design, "protocol_changes", ())]
    margin = float(design.card["plan"].get("margin", 0))
    return replace(found, margin=margin, flags=[*changes, *found.flags])


def _paradigm(folder: str | Path) -> Paradigm | None:
    """The paradigm of the design in this folder; None without one."""
    if not (Path(folder) / "design.json").exists():
        return None
    card = Design.load(folder).card
    return from_stored(card.get("paradigm"), card["plan"].get("design", "sequential"))


def _of_cohort(study: Study, name: str = "") -> str:
    """The cohort's title, which says where slices are synthetic, and the log's name."""
    title = study.card["title"] if (study.cohort_folder / "cohort.json").exists() else study.cohort
    return f"{title}; {name}" if name else title


def _simulated(
    study: Study, readers: int, cases: int, seed: int, paradigm: Paradigm
) -> ReaderStudy:
    """A study nobody read, of the cases that a reading of this cohort would have."""
    notes: list[str] = []
    known = _predictions(study)
    if known is not None:
        known, notes = choose_cases(known, Plan(cases, readers, training_cases=0, seed=seed))
        known["patient"] = patient_codes(known)
        cases = len(known)
    frame = simulate_readings(readers, cases, seed, known, paradigm)
    words = "made-up cases" if known is None else _of_cohort(study)
    found = _from_log(frame, words, None, paradigm)
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
