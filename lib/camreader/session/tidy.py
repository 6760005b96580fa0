"""From the reading log to tables: one tidy row per answer, exported as CSV, JSON and .imrmc.

`load_tidy` is what the analysis reads. It opens the sealed truth, so it belongs in notebook 08
and never in a reading session. `camreader readings --help` exports, simulates and shows how far
the readers are.
"""

import argparse
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from camreader.common.errors import DataError
from camreader.common.rows import plain_name, yes_or_no
from camreader.common.storage import atomic_path, read_shared_csv, write_shared_csv
from camreader.session import invented
from camreader.session.database import log_address, sqlite_file
from camreader.session.log import ReadingLog
from camreader.session.progress import Design, corrected_place, enrolled, place_of, position
from camreader.session.questions import (
    PROFILE,
    QUESTIONS,
    SLIDERS,
    Question,
    columns,
    for_stages,
    named,
    score,
)
from camreader.session.sealed import open_all
from camreader.session.stages import named as named_stages
from camreader.statistics.mrmc.io import ALIASES, INVENTED, MARKS, is_marked, numbers_of, read_text

SQLITE = b"SQLite format 3\0"  # how such a file begins
TIDY_NAMES = {old: new for old, new in ALIASES.items() if new != "cluster"} | MARKS
WORDS = ("reader", "case", "modality", "patient", "arm", "map", "region", "simulated")
NUMBERS = ("truth", "score", "seconds", "milliseconds", "order", "cnn_prediction", *SLIDERS)
NEEDED = ("reader", "case", "modality", "truth", "score", "order")


def load_tidy(
    source: str | Path, folder: str | Path | None = None, study: str | None = None
) -> pd.DataFrame:
    """Answers of a reading as a DataFrame, one row per answer in the order of answering.

    source: a tidy table (any text file), the path of a SQLite log, or the address of a PostgreSQL.
    folder: the reading's folder with the sealed truth (default: beside the SQLite file). study: a
    study's id where a database holds several. Practice cases are left out. Raises DataError or
    LogError.

    Columns: reader, case, modality (the stage: "unaided", "answer", "map", ...), truth (1 tumor,
    0 no tumor), score (1 certain of no tumor .. 10 certain of tumor, or the design's
    own question), one per question that was asked (missing where it was not), seconds,
    milliseconds, order (1, 2, ... among this reader's cases of this modality), cnn_prediction,
    simulated, corrected (the answer was corrected later;
    the corrected one is shown), comment; arm and period under which it was read; map (the method
    or placebo shown, missing where none was), map_hit (whether its maximum lay on the lesion),
    cnn_probability, region, how opacity and threshold were used, and a column reader_<field> per
    field of the readers' profile.
    """
    if not is_log(source):
        return _read_csv(source)
    folder = Path(folder or (sqlite_file(source) or Path()).parent)
    events = events_of(source, folder, study)
    facts, questions, design = facts_of(events, folder)
    answers = [row for own in _by_reader(events) for row in _answers(own, facts, questions, design)]
    told = dict.fromkeys(name for row in answers for name in row if name.startswith(PROFILE))
    return pd.DataFrame(answers, columns=[*columns(questions), *told])


def is_log(source: str | Path) -> bool:
    """Whether this is a log of readings, an address or an SQLite file, and not a table."""
    if "://" in str(source):
        return True
    path = Path(source)
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as handle:
            return handle.read(len(SQLITE)) == SQLITE
    return path.suffix.lower() in (".sqlite", ".sqlite3", ".db")


def events_of(source: str | Path, folder: Path, study: str | None) -> list[dict]:
    """All events of one study; which one is asked for, set up in `folder`, or the only one."""
    events = ReadingLog(source, study, readonly=True).events()
    found = list(dict.fromkeys(event["study"] for event in events))
    if len(found) > 1:
        here = Design.load(folder).study if (folder / "design.json").exists() else None
        if here not in found:
            raise DataError(
                "The log holds several studies; name one with study=",
                file=source,
                found=", ".join(found),
            )
        events = [event for event in events if event["study"] == here]
    return events


def facts_of(
    events: list[dict], folder: Path
) -> tuple[dict[str, dict], Sequence[Question], Design | None]:
    """{case: truth and network's answer}, the questions asked, and the design where there is one.

    Sealed in `folder` for real readings, in the event itself for simulated ones. Case numbers are
    alike in every study, so the sealed truth must be that of this very study.
    """
    answers = [event for event in events if place_of(event)]
    stages = [told[1] for event in answers if (told := place_of(event))]
    if all("truth" in event["payload"] for event in answers):
        return {}, for_stages(QUESTIONS, named_stages(dict.fromkeys(stages))), None
    found, design = answers[0]["study"], Design.load(folder)
    if found != design.study:
        words = (
            "These answers belong to another study than the sealed truth in this folder; restore "
            "the folder they were read with, or move the log away"
        )
        raise DataError(words, file=folder, found=found, expected=design.study)
    return open_all(folder), design.questions, design


def _by_reader(events: list[dict]) -> list[list[dict]]:
    readers = dict.fromkeys(event["reader"] for event in events)
    return [[event for event in events if event["reader"] == reader] for reader in readers]


def _answers(
    events: list[dict],
    facts: Mapping[str, dict],
    questions: Sequence[Question],
    design: Design | None,
) -> list[dict]:
    """Tidy rows of one reader's events."""
    corrections, counts = _corrections(events), Counter[str]()
    arms, profile = _arms(events, design), _profile(events)
    rows = []
    for event in events:
        place = place_of(event)
        if place is None or event["phase"] == "training":
            continue
        modality = place[1]
        counts[modality] += 1
        corrected = corrections.get(place, {})
        answer = event["payload"] | corrected
        for name in ("milliseconds", "history"):  # of the answer, not of its correction
            answer[name] = event["payload"].get(name)
        rows.append(
            _row(event, modality, answer | _own_score(answer, design), facts, questions)
            | {"order": counts[modality], "corrected": bool(corrected)}
            | arms.get(place, {})
            | _circumstances(event, modality, answer, facts, design)
            | profile
        )
    return rows


def _arms(events: list[dict], design: Design | None) -> dict[tuple, dict]:
    """{place of an answer: its arm and period} of one reader."""
    slots = [event["payload"]["slot"] for event in events if event["kind"] == "enrolled"]
    steps = design.steps(slots[0]) if design is not None and slots else []
    return {
        step.place(stage): {"arm": step.phase, "period": step.period}
        for step in steps
        for stage in step.stages
    }


def _profile(events: list[dict]) -> dict[str, str]:
    """What the reader said of himself, as columns."""
    told = [e["payload"].get("profile") or {} for e in events if e["kind"] == "enrolled"]
    return {f"{PROFILE}{name}": value for name, value in (told[0] if told else {}).items()}


def _circumstances(
    event: dict, modality: str, answer: dict, facts: Mapping[str, dict], design: Design | None
) -> dict[str, Any]:
    """What was shown beside the slice, and what the reader did with it."""
    known = facts.get(event["case_id"], event["payload"])
    names = ("cnn_probability", "region", "map", "map_hit", *SLIDERS)
    found = {name: known[name] for name in names if known.get(name, "") != ""}
    found |= {n: event["payload"][n] for n in ("arm", "period") if n in event["payload"]}
    stage = design.paradigm.stages.get(modality) if design is not None else None
    if stage is None:
        return found
    if "map" not in stage.shows:
        return found
    found["map"] = stage.map
    found["map_hit"] = (known.get("hits") or {}).get(stage.map)
    history = answer["history"] or []
    for name in ("opacity", "threshold"):
        moved = [value for _at, what, value in history if what == name]
        found |= {f"{name}_last": moved[-1]} if moved else {}
        if name == "opacity" and moved:
            found |= {"opacity_max": max(moved), "opacity_changes": len(moved) - 1}
    return found


def _corrections(events: list[dict]) -> dict[tuple[str, str, int], dict]:
    """{place of an answer: last correction}, but none that learnt more of the network on its way.

    A correction does when anything of the case was revealed since the answer it corrects; it
    stays in the log and the JSON export. In a crossover the reveal of an earlier part was there
    before the answer, and takes nothing from its correction. A correction that says nothing of
    the comment leaves the earlier one; an empty one was emptied by the reader.
    """
    clean: dict[str, set] = {}  # case: places of answers since which nothing was revealed
    found: dict[tuple[str, str, int], dict] = {}
    for event in events:
        here = clean.setdefault(event["case_id"], set())
        if place := place_of(event):
            here.add(place)
        elif event["kind"] == "revealed":
            here.clear()
        elif event["kind"] == "corrected" and (target := corrected_place(event)) in here:
            found[target] = found.get(target, {}) | event["payload"]
    return found


def _own_score(answer: Mapping[str, Any], design: Design | None) -> dict[str, float]:
    """The score where the design names a question of its own for it."""
    name = design.card["plan"].get("score_question") if design else ""
    return {"score": answer[name]} if name else {}


def _row(
    event: dict,
    modality: str,
    answer: dict,
    facts: Mapping[str, dict],
    questions: Sequence[Question],
) -> dict:
    known = facts.get(event["case_id"], event["payload"])
    milliseconds, value = answer["milliseconds"], answer.get("score")
    if value is None:
        scale = named("confidence", questions).values
        value = score(answer["diagnosis"], answer["confidence"], scale)
    said = {q.name: answer.get(q.name, "" if q.kind == "text" else None) for q in questions}
    not_asked = {q.name: None for q in questions if modality not in q.stages}
    return (
        said
        | not_asked
        | {
            "reader": event["reader"],
            "case": event["case_id"],
            "modality": modality,
            "truth": known["truth"],
            "score": float(value),
            "seconds": None if milliseconds is None else milliseconds / 1000,
            "milliseconds": milliseconds,
            "cnn_prediction": known["cnn_prediction"],
            "simulated": bool(event["simulated"]),
            "patient": known.get("patient"),
        }
    )


# ---- files ----


def decode(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with the answers in the words of the log where a table writes codes for them."""
    words = {
        q.name: {code: word for word, code in q.codes.items()}
        for q in QUESTIONS
        if q.codes and q.name in frame
    }
    return frame.replace(words)


def write_tidy(frame: pd.DataFrame, path: str | Path) -> None:
    """Write tidy rows as a CSV that people may share; a diagnosis as its code ("1", "0")."""
    if invented.says_so(frame) and "simulated" not in frame:
        frame = frame.assign(simulated=True)
    codes = {q.name: q.codes for q in QUESTIONS if q.codes and q.name in frame}
    write_shared_csv(frame.replace(codes), path)


def texts_of(path: str | Path) -> pd.DataFrame:
    """A table of readings as text under the tidy names; the index is the row in the file.

    `simulated` is "True" in every row where a comment above the header says so.
    """
    asked = [question.name for question in QUESTIONS if question.dtype is str]
    needed, known = ("reader", "case", "modality"), ("truth", "score", *columns(QUESTIONS))
    words = (*WORDS, *asked)
    frame = read_text(path, needed, TIDY_NAMES, tuple(dict.fromkeys(known)), words)
    for name in ("reader", "case", "patient"):
        if name in frame:
            frame[name] = frame[name].map(plain_name)
    marked = is_marked(frame, path)  # refuses a cell that says neither yes nor no
    if "simulated" in frame:
        said = [str(yes_or_no(text)) for text in frame["simulated"]]
        return frame.assign(simulated=said if marked and "True" in said else str(marked))
    return frame.assign(simulated="True") if marked else frame


def _read_csv(path: str | Path) -> pd.DataFrame:
    frame = texts_of(path)
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise DataError(
            "Not a table of tidy readings", file=path, column=missing[0], expected=", ".join(NEEDED)
        )
    for name in NUMBERS:
        if name in frame:
            numbers_of(frame[name], path)  # refuses text by row
    told = io.StringIO(frame.to_csv(index=False))  # so that pandas finds each column's type
    texts = ("reader", "case", "patient", *(q.name for q in QUESTIONS if q.dtype is str))
    frame = read_shared_csv(told, dtype=dict.fromkeys(texts, str))
    if "comment" in frame:
        frame["comment"] = frame["comment"].fillna("")
    return decode(frame)


def write_events(source: str | Path, path: str | Path, study: str | None = None) -> None:
    """Every event of the log as JSON: answers, corrections, pauses, windows and opacities."""
    events = ReadingLog(source, study, readonly=True).events()
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(events, indent=1) + "\n", encoding="utf-8")


def write_imrmc(frame: pd.DataFrame, path: str | Path) -> None:
    """Tidy rows in iMRMC's format (FDA's reader-study software): truths, then scores.

    Readings that no person made say so in the line above the counts, which iMRMC takes for the
    study's description. DataError where two readers' names differ only in signs that the format
    cannot hold.
    """
    truth = frame.groupby("case")["truth"].first()
    head = [INVENTED] if invented.says_so(frame) else []
    head += [
        f"N0:{(truth == 0).sum()}",
        f"N1:{(truth == 1).sum()}",
        f"NR:{frame['reader'].nunique()}",
        f"NM:{frame['modality'].nunique()}",
        "BEGIN DATA:",
    ]
    cases, readers = _fields(frame["case"]), _fields(frame["reader"])
    lines = [f"truth,{cases[case]},truth,{value}" for case, value in truth.items()]
    names = frame["reader"].map(readers), frame["case"].map(cases), frame["modality"]
    lines += [
        ",".join(cells) for cells in zip(*names, frame["score"].map("{:.12g}".format), strict=True)
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


def _fields(column: pd.Series) -> dict[Any, str]:
    """{name: as .imrmc, which has no quoting, can hold it}; DataError where two would be one."""
    fields = {name: re.sub(r"[,\"\r\n]", "_", str(name)) for name in column.unique()}
    clash = [name for name in fields if list(fields.values()).count(fields[name]) > 1]
    if clash:
        words = "Names that would be the same in an .imrmc file; export a .csv"
        raise DataError(words, column=column.name, found=" and ".join(clash))
    return fields


# ---- progress, and the command line ----


def progress(design: Design, database: str = "") -> pd.DataFrame:
    """DataFrame[reader, slot, answered, steps, stage, last_utc]: how far the readers are.

    Empty where nobody has begun, and so no SQLite file exists yet. database: as for the session.
    """
    address = log_address(design.folder, database)
    log, file = ReadingLog(address, design.study, readonly=True), sqlite_file(address)
    begun = file is None or file.exists()
    rows = []
    for slot, reader in enrolled(log).items() if begun else ():
        events, steps = log.events(reader=reader), design.steps(slot)
        here = position(steps, events, design.card["washout_days"])
        done = {"answered": here.index, "steps": len(steps), "stage": here.stage}
        rows.append({"reader": reader, "slot": slot, **done, "last_utc": events[-1]["utc"]})
    return pd.DataFrame(rows, columns=["reader", "slot", "answered", "steps", "stage", "last_utc"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `camreader readings`."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="action")
    for name, words in (
        ("export", "write tidy .csv, all events as .json, or scores as .imrmc"),
        ("simulate", "send simulated answers through a log of their own"),
        ("progress", "show how far each reader is"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--folder", required=True, help="the reading's folder")
        command.add_argument("--database", default="", help="SQLite file or PostgreSQL address")
        if name == "export":
            command.add_argument("target", help="file to write: .csv, .json, .imrmc or .xlsx")
            words = "the marks instead of the answers, as .csv or JAFROC workbook (.xlsx)"
            command.add_argument("--marks", action="store_true", help=words)
        if name == "simulate":
            command.add_argument("table", help="tidy CSV of simulated answers")


def run(options: argparse.Namespace) -> None:
    """Export, simulate, or say how far each reader is."""
    print(_done(options))


def _done(options: argparse.Namespace) -> str:
    folder = Path(options.folder)
    database = log_address(folder, options.database)
    if options.action == "progress":
        return progress(Design.load(folder), options.database).to_string(index=False)
    if options.action == "simulate":
        from camreader.session.simulate import through_log  # which reads the log through this

        path = sqlite_file(options.database or folder / "simulated.sqlite")
        if path is None:
            raise DataError(
                "Simulated answers go into an SQLite file of their own", expected="a path"
            )
        frame = through_log(load_tidy(options.table), path)
        return f"{len(frame)} simulated answers: {path}"
    writers = {".csv": write_tidy, ".imrmc": write_imrmc}
    kind = Path(options.target).suffix.lower()
    if options.marks or kind == ".xlsx":
        from camreader.session import mark_table  # which reads the log through this

        return mark_table.export(mark_table.load(database, folder), options.target)
    if kind == ".json":
        write_events(database, options.target, Design.load(folder).study)
    elif kind in writers:
        writers[kind](load_tidy(database, folder), options.target)
    else:
        raise DataError("Unknown export", found=kind, expected=".csv, .json, .imrmc or .xlsx")
    return options.target
