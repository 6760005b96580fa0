"""One reader's way through a study: which case comes next, which answer it waits for.

Where a reader stands is computed from the stored order and the stored events, so that a killed
session resumes exactly after its last stored answer.
"""

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from camreader.common.errors import DataError
from camreader.common.storage import read_json, write_json
from camreader.session.database import place
from camreader.session.log import ReadingLog, Refused
from camreader.session.questions import (
    ANSWERS,
    MODALITIES,
    Question,
    check_answer,
    check_pause,
    check_text,
    from_design,
)

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
    def stages(self) -> tuple[str, ...]:
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
    def load(cls, folder: str | Path) -> "Design":
        """Read <folder>/design.json; DataError names the command that makes it."""
        path = Path(folder) / "design.json"
        if not path.exists():
            words = "This reading is not set up yet: run `make report` or notebook 07"
            raise DataError(words, file=path)
        return cls(Path(folder), read_json(path))

    @property
    def study(self) -> str:
        """The study's id."""
        return self.card["study"]

    @property
    def questions(self) -> tuple[Question, ...]:
        """What its readers are asked."""
        return from_design(self.card.get("questions"))

    @property
    def refused(self) -> str:
        """Why nothing is read, in words; empty where the reading was set up."""
        return self.card.get("refused", "")

    @property
    def banner(self) -> str:
        """What has to stand over a reading with a network that did not learn, or nothing."""
        return self.card.get("banner", "")

    @property
    def slots(self) -> list[int]:
        """Numbers of its places for readers."""
        return sorted(int(slot) for slot in self.card["orders"])

    def steps(self, slot: int) -> list[Step]:
        """The stored order of reader number `slot`, a list of Step."""
        return [Step(*entry) for entry in self.card["orders"][str(slot)]]

    def image_path(self, case: str) -> Path:
        """The .npy file with the HU of a case, int16 (H, W)."""
        return self.folder / "images" / f"{case}.npy"

    @property
    def begun(self) -> str | None:
        """Where the readings of this design are, in words, once somebody has begun; else None."""
        path = self.folder / BEGUN
        noted = read_json(path) if path.exists() else {}
        return noted.get("database") if noted.get("study") == self.study else None

    def note_begun(self, database: str | Path) -> None:
        """Record beside the design that reading has begun, and in which database."""
        if self.begun is None:
            with suppress(OSError):  # a reading workstation may not write here; its log can tell
                write_json({"study": self.study, "database": place(database)}, self.folder / BEGUN)


def position(steps: Sequence[Step], events: Sequence[dict], washout_days: float = 0) -> Position:
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


def _washout_end(
    earlier: Sequence[Step], step: Step, events: Sequence[dict], days: float
) -> datetime | None:
    if step.period == 1 or not days or (earlier and earlier[-1].period == step.period):
        return None
    answers = [event["utc"] for event in events if event["kind"] in MODALITIES]
    return datetime.fromisoformat(max(answers)) + timedelta(days=days) if answers else None


def log_phase(step: Step, stage: str) -> str:
    """The log's word for what is being read: training, unaided or aided."""
    return "training" if step.phase == "training" else stage


def clean_name(text: str) -> str:
    """A reader's name as it is stored: one line, single spaces; Refused, in words, if unfit."""
    name = " ".join(unicodedata.normalize("NFC", str(text)).split())
    if not name:
        raise Refused("Please enter your name or the code you were given")
    if len(name) > LONGEST_NAME:
        raise Refused(f"That name is longer than {LONGEST_NAME} characters")
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs") for sign in name):
        raise Refused("That name contains characters that cannot be printed")
    return name


def enrolled(log: ReadingLog) -> dict[int, str]:
    """{slot: reader}: who has which place in the study."""
    return {event["payload"]["slot"]: event["reader"] for event in log.events(kind="enrolled")}


def enroll(log: ReadingLog, design: Design, name: str, confirmed: bool = True) -> tuple[str, int]:
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
                "if you have read here before, use the same name"
            )
        if taken and not confirmed:
            raise Unknown(
                f"Nobody has read under the name {name} yet. If you have read here before, correct "
                "the name; if you are new, press Start reading again"
            )
        with suppress(Refused):  # another workstation took this place a moment ago
            log.append("enrolled", name, payload={"slot": free[0]})


def _answered(
    number: int, step: Step, events: Sequence[dict], questions: Sequence[Question]
) -> dict:
    """One row of a reader's own list: what was answered at this step."""
    stages = {MODALITIES[kind] for kind in step.stages}
    practice = step.phase == "training"
    row = {"number": number, "case": step.case, "training": practice, "alone": len(stages) == 1}
    names = [question.name for question in questions]
    for event in events:
        kind, payload = event["kind"], event["payload"]
        if event["case_id"] != step.case or kind not in (*MODALITIES, "corrected"):
            continue
        stage = MODALITIES.get(kind) or payload["target"]
        if stage in stages:
            shown = {name: payload[name] for name in names if name in payload}
            row[f"{stage} corrected" if kind == "corrected" else stage] = shown
    return row


class Reading:
    """One reader in one session: says what to show, stores what was answered.

    design: Design. log: ReadingLog with this session's id. name, confirmed: as for `enroll`.
    `events` are the reader's own, read from the log once at the start and once per answer, when
    the lease has just been renewed; what this session stores meanwhile is added to them.
    Raises Refused while another session of this reader is open, and LogError where nothing can
    be stored.
    """

    def __init__(self, design: Design, log: ReadingLog, name: str, confirmed: bool = True) -> None:
        self.design, self.log = design, log
        self.reader, self.slot = enroll(log, design, name, confirmed)
        design.note_begun(log.address)
        self.steps = design.steps(self.slot)
        self._renew()

    def _renew(self) -> None:
        """Renew the lease, then read what is stored: nobody else may write from here on."""
        self.log.claim(self.reader)
        self.events = self.log.events(reader=self.reader)

    def position(self) -> Position:
        """The reader's Position."""
        return position(self.steps, self.events, self.design.card.get("washout_days", 0))

    def start_case(self) -> Position:
        """Record that the current case is on the screen; returns its Position."""
        here = self.position()
        if here.step is not None and here.stage in ANSWERS:
            self._append("started", here.step.case, log_phase(here.step, here.stage), {})
        return here

    def submit(self, kind: str, case: str, payload: dict, event_id: str) -> bool:
        """Store one event from the page; True if new, False if it had been stored before.

        An answer must be for the case and stage the log is waiting for; a repeated event id is
        acknowledged whatever came after it, so a page may send again until it hears back.
        """
        self._renew()
        repeated = [event for event in self.events if event["event_id"] == event_id]
        phase = repeated[0]["phase"] if repeated else self._phase_for(kind, case, payload)
        return self._append(kind, case, phase, payload, event_id)

    def _append(
        self, kind: str, case: str, phase: str | None, payload: dict, event_id: str | None = None
    ) -> bool:
        stored = self.log.append(kind, self.reader, case, phase, payload, event_id)
        self.events += [stored] if stored else []
        return stored is not None

    def _phase_for(self, kind: str, case: str, payload: dict) -> str | None:
        if kind == "corrected":
            return self._phase_of_correction(case, payload)
        here = self.position()
        if kind in MODALITIES:
            check_answer(kind, payload, self.design.questions)
            if ANSWERS.get(here.stage) != kind or here.step is None or here.step.case != case:
                raise Refused("This answer does not belong to the current case: reload the page")
        elif kind == "comment":
            check_text(payload.get("comment", ""))
        elif kind in ("paused", "resumed"):
            check_pause(payload)
        else:
            raise Refused(f"A page may not write {kind!r}")
        return log_phase(here.step, here.stage) if here.step else None

    def _phase_of_correction(self, case: str, payload: dict) -> str:
        kind = ANSWERS.get(payload.get("target", ""))
        stored = [e for e in self.events if (e["case_id"], e["kind"]) == (case, kind)]
        if kind is None or not stored:
            raise Refused("Only a stored answer can be corrected")
        check_answer(kind, payload, self.design.questions)
        return stored[0]["phase"]

    def answers(self) -> list[dict]:
        """Answered cases in reading order, as the page lists them; corrections beside.

        Of a crossover only the part being read: the earlier part is to be forgotten.
        """
        now = self.position()
        period = now.step.period if now.step else None
        rows = [
            _answered(number, step, self.events, self.design.questions)
            for number, step in enumerate(self.steps, start=1)
            if period in (None, step.period)
        ]
        return [row for row in rows if "unaided" in row or "aided" in row]

    def close(self) -> None:
        """Give the lease back, so that another session can start at once."""
        self.log.release(self.reader)
        self.log.close()
