"""One reader's way through a study: which case comes next, which answer it waits for.

Nothing is kept in memory that matters: where a reader stands is computed from the stored order
and the stored events, so a killed session goes on exactly where its last stored answer left it.
"""

import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from camreader.common.errors import DataError
from camreader.common.storage import read_json, write_json
from camreader.session.database import place
from camreader.session.log import Refused
from camreader.session.questions import ANSWERS, MODALITIES, check_answer, check_pause, check_text

SHOWN = ("diagnosis", "confidence", "helpfulness", "comment")  # of an answer, in a reader's list
DESIGNS = ("sequential", "crossover")
BEGUN = "begun.json"  # beside design.json
LONGEST_NAME = 60


class Unknown(Refused):
    """A name that nobody has read under, among others who have: it has to be confirmed."""

    final = False


@dataclass(frozen=True)
class Step:
    """One stop of a reader's order.

    phase: "training" and "sequential" ask unaided, then aided; "unaided" and "aided" (crossover)
    ask once. period: 1, or 2 for what comes after a crossover's washout.
    """

    case: str
    phase: str
    period: int = 1

    @property
    def stages(self):
        """What this step asks, in order: event kinds that complete it."""
        return (ANSWERS[self.phase],) if self.phase in ANSWERS else tuple(MODALITIES)


@dataclass(frozen=True)
class Position:
    """Where a reader stands. stage: "unaided", "aided", "waiting" (washout) or "finished"."""

    index: int
    stage: str
    step: Step | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Design:
    """A study as it was set up, read from design.json; holds nothing a reader may not see."""

    folder: Path
    card: dict

    @classmethod
    def load(cls, folder):
        """Read <folder>/design.json; DataError names the command that makes it."""
        path = Path(folder) / "design.json"
        if not path.exists():
            words = "This reading is not set up yet; `make report` or notebook 07 does it"
            raise DataError(words, file=path)
        return cls(Path(folder), read_json(path))

    @property
    def study(self):
        return self.card["study"]

    @property
    def slots(self):
        return sorted(int(slot) for slot in self.card["orders"])

    def steps(self, slot):
        """The stored order of reader number `slot`, a list of Step."""
        return [Step(*entry) for entry in self.card["orders"][str(slot)]]

    def image_path(self, case):
        return self.folder / "images" / f"{case}.npy"

    @property
    def begun(self):
        """Where the readings of this design are, in words, once somebody has begun; else None."""
        path = self.folder / BEGUN
        noted = read_json(path) if path.exists() else {}
        return noted.get("database") if noted.get("study") == self.study else None

    def note_begun(self, database):
        """Leave word beside the design that it is being read, whatever database holds the log."""
        if self.begun is None:
            with suppress(OSError):  # a reading workstation may not write here; its log can tell
                write_json({"study": self.study, "database": place(database)}, self.folder / BEGUN)


def position(steps, events, washout_days=0):
    """Position of a reader who has `events` (dicts in stored order) on the way `steps`."""
    done = {(event["case_id"], event["kind"]) for event in events}
    for index, step in enumerate(steps):
        open_kinds = [kind for kind in step.stages if (step.case, kind) not in done]
        if not open_kinds:
            continue
        until = _washout_end(steps[:index], step, events, washout_days)
        if until is not None and datetime.now(UTC) < until:
            return Position(index, "waiting", step, until)
        return Position(index, MODALITIES[open_kinds[0]], step)
    return Position(len(steps), "finished")


def _washout_end(earlier, step, events, days):
    if step.period == 1 or not days or (earlier and earlier[-1].period == step.period):
        return None
    answers = [event["utc"] for event in events if event["kind"] in MODALITIES]
    return datetime.fromisoformat(max(answers)) + timedelta(days=days) if answers else None


def log_phase(step, stage):
    """The log's word for what is being read: training, unaided or aided."""
    return "training" if step.phase == "training" else stage


def clean_name(text):
    """A reader's name as it is stored: one line, single spaces; Refused, in words, if unfit."""
    name = " ".join(unicodedata.normalize("NFC", str(text)).split())
    if not name:
        raise Refused("Please type your name or the code you were given")
    if len(name) > LONGEST_NAME:
        raise Refused(f"That name is longer than {LONGEST_NAME} characters")
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs") for sign in name):
        raise Refused("That name holds characters that cannot be printed")
    return name


def enrolled(log):
    """{slot: reader}: who has taken which place of the study."""
    return {event["payload"]["slot"]: event["reader"] for event in log.events(kind="enrolled")}


def enroll(log, design, name, confirmed=True):
    """(name, slot): the reader's stored place in the study, taking a free one the first time.

    Names that differ only in upper and lower case are the same reader. A name that is new among
    others takes a place only when `confirmed`, as it may be mistyped; else Unknown, in words.
    """
    name = clean_name(name)
    while True:
        taken = enrolled(log)
        for slot, reader in taken.items():
            if reader.casefold() == name.casefold():
                return reader, slot
        free = [slot for slot in design.slots if slot not in taken]
        if not free:
            raise Refused(
                f"This study was set up for {len(design.slots)} readers and all places are taken; "
                "if you read before, use exactly the same name"
            )
        if taken and not confirmed:
            raise Unknown(
                f"Nobody has read under the name {name} yet. If you have read here before, correct "
                "the name; if you are new, press Start reading once more"
            )
        with suppress(Refused):  # another workstation took this place a moment ago
            log.append("enrolled", name, payload={"slot": free[0]})


def _answered(number, step, events):
    """One row of a reader's own list: what was answered at this step."""
    stages = {MODALITIES[kind] for kind in step.stages}
    practice = step.phase == "training"
    row = {"number": number, "case": step.case, "training": practice, "alone": len(stages) == 1}
    for event in events:
        kind, payload = event["kind"], event["payload"]
        if event["case_id"] != step.case or kind not in (*MODALITIES, "corrected"):
            continue
        stage = MODALITIES.get(kind) or payload["target"]
        if stage in stages:
            shown = {name: payload[name] for name in SHOWN if name in payload}
            row[f"{stage} corrected" if kind == "corrected" else stage] = shown
    return row


class Reading:
    """One reader in one session: says what to show, stores what was answered.

    design: Design. log: ReadingLog with this session's id. name, confirmed: as for `enroll`.
    Raises Refused while another session of this reader is open, and LogError where nothing can
    be stored.
    """

    def __init__(self, design, log, name, confirmed=True):
        self.design, self.log = design, log
        self.reader, self.slot = enroll(log, design, name, confirmed)
        design.note_begun(log.address)
        log.claim(self.reader)
        self.steps = design.steps(self.slot)

    def position(self):
        """The reader's Position, from what is stored now."""
        events = self.log.events(reader=self.reader)
        return position(self.steps, events, self.design.card.get("washout_days", 0))

    def start_case(self):
        """Note that the current case is on the screen; returns its Position."""
        here = self.position()
        if here.stage in ANSWERS:
            self._append("started", here.step.case, log_phase(here.step, here.stage), {})
        return here

    def submit(self, kind, case, payload, event_id):
        """Store one event from the page; True if new, False if it had been stored before.

        An answer must be for the case and stage the log is waiting for; a repeated event id is
        acknowledged whatever came after it, so a page may send again until it hears back.
        """
        self.log.claim(self.reader)
        repeated = [e for e in self.log.events(reader=self.reader) if e["event_id"] == event_id]
        phase = repeated[0]["phase"] if repeated else self._phase_for(kind, case, payload)
        return self._append(kind, case, phase, payload, event_id)

    def _append(self, kind, case, phase, payload, event_id=None):
        return self.log.append(kind, self.reader, case, phase, payload, event_id)

    def _phase_for(self, kind, case, payload):
        if kind == "corrected":
            return self._phase_of_correction(case, payload)
        here = self.position()
        if kind in MODALITIES:
            check_answer(kind, payload)
            if ANSWERS.get(here.stage) != kind or here.step.case != case:
                raise Refused("This answer is not for the case the log is waiting for: reload")
        elif kind == "comment":
            check_text(payload.get("comment", ""))
        elif kind in ("paused", "resumed"):
            check_pause(payload)
        else:
            raise Refused(f"A page may not write {kind!r}")
        return log_phase(here.step, here.stage) if here.step else None

    def _phase_of_correction(self, case, payload):
        target = payload.get("target")
        kind = ANSWERS.get(target)
        stored = [e for e in self.log.events(self.reader, case, kind)] if kind else []
        if not stored:
            raise Refused("Only an answer that was given can be corrected")
        check_answer(kind, payload)
        return stored[0]["phase"]

    def answers(self):
        """Answered cases in reading order, as the page lists them; corrections beside.

        Of a crossover only the part being read: the earlier part is to be forgotten.
        """
        events, now = self.log.events(reader=self.reader), self.position()
        period = now.step.period if now.step else None
        rows = [
            _answered(number, step, events)
            for number, step in enumerate(self.steps, start=1)
            if period in (None, step.period)
        ]
        return [row for row in rows if "unaided" in row or "aided" in row]

    def close(self):
        """Let the reader go, so that another session can start at once."""
        self.log.release(self.reader)
        self.log.close()
