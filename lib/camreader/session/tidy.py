"""From the reading log to tables: one tidy row per answer, exported as CSV, JSON and .imrmc.

`load_tidy` is what the analysis reads. It opens the sealed truth, so it belongs into notebook 08
and never into a reading session. `camreader readings --help` exports, simulates and
says how far the readers are.
"""

from pathlib import Path

import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path, read_shared_csv, write_shared_csv
from camreader.session.database import log_address, sqlite_file
from camreader.session.export import write_events, write_imrmc
from camreader.session.log import ReadingLog
from camreader.session.progress import Design, enrolled, position
from camreader.session.questions import CODES, MODALITIES, score
from camreader.session.replay import replay
from camreader.session.sealed import open_all

COLUMNS = (
    "reader",
    "case",
    "modality",  # "unaided" or "aided"
    "truth",  # 1 tumor, 0 no tumor
    "score",  # 1 (no tumor, certain) .. 10 (tumor, certain)
    "diagnosis",  # "1" tumor, "0" no tumor, "other"
    "confidence",  # 1 .. 5
    "helpfulness",  # yes, some, no; empty for unaided answers
    "seconds",
    "milliseconds",
    "order",  # 1, 2, ... among this reader's cases of this modality
    "cnn_prediction",
    "simulated",
    "corrected",  # the answer was corrected later; the corrected one is shown
    "comment",
)
NEEDED = ("reader", "case", "modality", "truth", "score", "order")


def load_tidy(source, folder=None, study=None):
    """Answers of a reading as a DataFrame with COLUMNS, in the order of answering.

    source: a tidy CSV, the path of a SQLite log, or the address of a PostgreSQL. folder: the
    reading's folder with the sealed truth (default: beside the SQLite file). study: a study's id
    where a database holds several. Practice cases are left out. Raises DataError or LogError.
    """
    if str(source).endswith(".csv"):
        return _read_csv(source)
    folder = Path(folder or (sqlite_file(source) or Path()).parent)
    events = _events(source, folder, study)
    facts = _facts(events, folder)
    answers = [row for reader in _by_reader(events) for row in _answers(reader, facts)]
    return pd.DataFrame(answers, columns=list(COLUMNS))


def _events(source, folder, study):
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


def _facts(events, folder):
    """{case: truth and CNN answer}: sealed for real readings, in the event for simulated ones.

    Case numbers are alike in every study, so the sealed truth must be that of this very study.
    """
    answers = [event for event in events if event["kind"] in MODALITIES]
    if all("truth" in event["payload"] for event in answers):
        return {}
    found, expected = answers[0]["study"], Design.load(folder).study
    if found != expected:
        words = (
            "These answers are of another study than the sealed truth in this folder; bring back "
        )
        words += "the folder they were read with, or move the log away"
        raise DataError(words, file=folder, found=found, expected=expected)
    return open_all(folder)


def _by_reader(events):
    readers = dict.fromkeys(event["reader"] for event in events)
    return [[event for event in events if event["reader"] == reader] for reader in readers]


def _answers(events, facts):
    """Tidy rows of one reader's events."""
    corrections, counts = _corrections(events), {"unaided": 0, "aided": 0}
    rows = []
    for event in events:
        modality = MODALITIES.get(event["kind"])
        if modality is None or event["phase"] == "training":
            continue
        counts[modality] += 1
        corrected = corrections.get((event["case_id"], modality), {})
        answer = event["payload"] | corrected
        answer["milliseconds"] = event["payload"].get("milliseconds")
        rows.append(
            _row(event, modality, answer, facts)
            | {"order": counts[modality], "corrected": bool(corrected)}
        )
    return rows


def _corrections(events):
    """{(case, modality): last correction}, but none that learnt the network's answer on its way.

    A correction of an unaided answer does when the case was revealed since that answer; it stays
    in the log and the JSON export. In a crossover the reveal of the first part was there before
    the unaided answer of the second, and takes nothing from its correction. A correction that
    says nothing of the comment leaves the earlier one; an empty one was emptied by the reader.
    """
    revealed, found = set(), {}
    for event in events:
        case, kind = event["case_id"], event["kind"]
        if kind == "locked":
            revealed.discard(case)
        elif kind == "revealed":
            revealed.add(case)
        elif kind == "corrected":
            target = event["payload"]["target"]
            if target == "aided" or case not in revealed:
                found[case, target] = found.get((case, target), {}) | event["payload"]
    return found


def _row(event, modality, answer, facts):
    known = facts.get(event["case_id"], event["payload"])
    milliseconds = answer["milliseconds"]
    value = answer.get("score")
    if value is None:
        value = score(answer["diagnosis"], answer["confidence"])
    return {
        "reader": event["reader"],
        "case": event["case_id"],
        "modality": modality,
        "truth": known["truth"],
        "score": float(value),
        "diagnosis": CODES.get(answer.get("diagnosis")),
        "confidence": answer.get("confidence"),
        "helpfulness": answer.get("helpfulness") if modality == "aided" else None,
        "seconds": None if milliseconds is None else milliseconds / 1000,
        "milliseconds": milliseconds,
        "cnn_prediction": known["cnn_prediction"],
        "simulated": bool(event["simulated"]),
        "comment": answer.get("comment", ""),
    }


# ---- files ----


def _read_csv(path):
    try:
        texts = dict.fromkeys(("reader", "case", "diagnosis", "helpfulness", "comment"), str)
        frame = read_shared_csv(path, dtype=texts)
    except (OSError, ValueError) as error:
        raise DataError(f"Tidy readings cannot be read: {error}", file=path) from None
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise DataError("Not a table of tidy readings", file=path, column=missing[0])
    if "comment" in frame:
        frame["comment"] = frame["comment"].fillna("")
    return frame


def progress(design, database=""):
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


def through_log(frame, path, study="simulated"):
    """Send invented tidy answers through a log of their own, built anew at `path`; load them.

    What comes back is what the log says, and every row says `simulated`. DataError where `path`
    is a log of real readings: it is not replaced.
    """
    path = Path(path)
    earlier = ReadingLog(path, None, readonly=True).events() if path.exists() else ()
    if not all(event["simulated"] for event in earlier):
        raise DataError("This log holds readings of real readers, which stay", file=path)
    with atomic_path(path) as temporary:
        log = ReadingLog(temporary, study, simulated=True)
        replay(frame, log)
        log.close()
        for leftover in ("-wal", "-shm"):  # of the log that is replaced
            path.with_name(path.name + leftover).unlink(missing_ok=True)
    return load_tidy(path)


def add_arguments(parser):
    """Arguments of `camreader readings`."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="action")
    for name, words in (
        ("export", "write tidy .csv, all events as .json, or scores as .imrmc"),
        ("simulate", "send invented answers through a log of their own"),
        ("progress", "say how far each reader is"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--folder", required=True, help="the reading's folder")
        command.add_argument("--database", default="", help="SQLite file or PostgreSQL address")
        if name == "export":
            command.add_argument("target", help="file to write: .csv, .json or .imrmc")
        if name == "simulate":
            command.add_argument("table", help="tidy CSV of invented answers")


def run(options):
    """Export, simulate, or say how far each reader is."""
    print(_done(options))


def _done(options):
    folder = Path(options.folder)
    database = log_address(folder, options.database)
    if options.action == "progress":
        return progress(Design.load(folder), options.database).to_string(index=False)
    if options.action == "simulate":
        path = sqlite_file(options.database or folder / "simulated.sqlite")
        if path is None:
            raise DataError(
                "Invented answers go into an SQLite file of their own", expected="a path"
            )
        frame = through_log(load_tidy(options.table), path)
        return f"{len(frame)} simulated answers: {path}"
    writers = {".csv": write_shared_csv, ".imrmc": write_imrmc}
    kind = Path(options.target).suffix
    if kind == ".json":
        write_events(database, options.target, Design.load(folder).study)
    elif kind in writers:
        writers[kind](load_tidy(database, folder), options.target)
    else:
        raise DataError("Unknown export", found=kind, expected=".csv, .json or .imrmc")
    return options.target
