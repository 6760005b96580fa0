"""One reader's way through a study: which case comes next, which answer it waits for.

Where a reader stands is computed from the stored order and the stored events, so that a killed
session resumes exactly after its last stored answer.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from camreader.common.errors import DataError
from camreader.common.storage import read_json, write_json
from camreader.session import display, protocol
from camreader.session.database import place
from camreader.session.log import ReadingLog, Refused
from camreader.session.marks import check_marks
from camreader.session.questions import (
    ANSWERS,
    MODALITIES,
    Question,
    check_answer,
    check_pause,
    check_text,
    from_design,
)
from camreader.session.stages import Paradigm, from_stored

BEGUN = "begun.json"  # beside design.json
LONGEST_NAME = 60


class Unknown(Refused):
    """A name that nobody has read under, among others who have: it has to be confirmed."""

    final = False


@dataclass(frozen=True)
class Step:
    """One stop of a reader's order.

    phase: "training", or the name of the arm under which the case is read. period: 1, or the
    number of the part, a washout lying between two. stages: names of what is asked, in order.
    repeats: names among them that this case is asked in another period, too.
    """

    case: str
    phase: str
    period: int = 1
    stages: tuple[str, ...] = ("unaided", "aided")
    repeats: frozenset[str] = frozenset()

    def kind(self, stage: str) -> str:
        """The kind of event that holds the answer at `stage`."""
        return "answered" if stage in self.repeats else ANSWERS.get(stage, "answered")

    def place(self, stage: str) -> tuple[str, str, int]:
        """(case, stage, period) by which an answer is known; period 0 where it is told by stage."""
        return self.case, stage, self.period if self.kind(stage) == "answered" else 0


def place_of(event: Mapping) -> tuple[str, str, int] | None:
    """(case, stage, period) of a stored answer, as `Step.place`; None for any other event."""
    kind = event["kind"]
    if kind in MODALITIES:
        return event["case_id"], MODALITIES[kind], 0
    if kind == "answered":
        return event["case_id"], event["payload"]["stage"], event["payload"]["period"]
    return None


def corrected_place(event: Mapping) -> tuple[str, str, int]:
    """The place of the answer that a correction is about."""
    payload = event["payload"]
    return event["case_id"], payload["target"], payload.get("period", 0)


@dataclass(frozen=True)
class Position:
    """Where a reader stands. stage: a stage's name, "waiting" (washout) or "finished"."""

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
    def marks(self) -> str:
        """What marks readers place, a name in marks.MODES; empty for none."""
        return self.card["plan"].get("marks", "")

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

    @cached_property
    def paradigm(self) -> Paradigm:
        """What is shown, in which order, to whom."""
        return from_stored(self.card.get("paradigm"), self.card["plan"]["design"])

    def steps(self, slot: int) -> list[Step]:
        """The stored order of reader number `slot`, a list of Step."""
        order = [tuple(entry) for entry in self.card["orders"][str(slot)]]
        arms = {arm.name: tuple(stage.name for stage in arm.stages) for arm in self.paradigm.arms}
        arms["sequential"] = arms[self.paradigm.arms[0].name]  # as the first designs call it
        arms["training"] = self._practice(order, arms)
        asked = Counter((case, stage) for case, phase, _ in order for stage in arms[phase])
        steps = []
        for case, phase, period in order:
            repeats = frozenset(stage for stage in arms[phase] if asked[case, stage] > 1)
            steps.append(Step(case, phase, period, arms[phase], repeats))
        return steps

    def _practice(self, order: list[tuple], arms: dict) -> tuple[str, ...]:
        """Stages of the practice cases: all that this reader will meet, and none of another arm."""
        if self.paradigm.assign in ("within", "crossover"):
            return tuple(self.paradigm.stages)
        met = [phase for _, phase, _ in order if phase != "training"]
        return arms[met[0]] if met else ()

    def arm(self, slot: int) -> str:
        """The arm of reader number `slot`'s first case that is no practice."""
        order = self.card["orders"][str(slot)]
        return next((phase for _, phase, _ in order if phase != "training"), "")

    def image_path(self, case: str) -> Path:
        """The .npy file with the HU of a case, int16 (H, W)."""
        return self.folder / "images" / f"{case}.npy"

    def geometry(self, case: str) -> dict[str, Any]:
        """{"shape": (slices, rows, columns), "spacing_mm": number or None} of a case."""
        told = next(entry for entry in self.card["cases"] if entry["case"] == case)
        shape = np.load(self.image_path(case), mmap_mode="r", allow_pickle=False).shape
        return {"shape": (1, *shape), "spacing_mm": told.get("spacing_mm")}

    def clinical_text(self, case: str) -> str:
        """What readers are told of the patient of a case; empty where nothing is known."""
        told = next(entry for entry in self.card["cases"] if entry["case"] == case)
        return str(told.get("clinical_text", ""))

    def stack(self, case: str) -> dict[str, Any] | None:
        """{"slices", "key", "step_mm" (None where unknown)} of a case; None for a single slice."""
        told = next(entry for entry in self.card["cases"] if entry["case"] == case)
        return (
            {name: told[name] for name in ("slices", "key", "step_mm")} if "key" in told else None
        )

    def stack_path(self, case: str) -> Path:
        """The .npy file with all slices of a case, int16 (slices, H, W)."""
        return self.folder / "stacks" / f"{case}.npy"

    @property
    def protocol_changes(self) -> list[str]:
        """What was changed, by force, after the first answer, in words."""
        return protocol.changes(self.folder)

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
    done = {place_of(event) for event in events}
    for index, step in enumerate(steps):
        left = [stage for stage in step.stages if step.place(stage) not in done]
        if not left:
            continue
        until = _washout_end(steps[:index], step, events, washout_days)
        if until is not None and datetime.now(UTC) < until:
            return Position(index, "waiting", step, until)
        return Position(index, left[0], step)
    return Position(len(steps), "finished")


def _washout_end(
    earlier: Sequence[Step], step: Step, events: Sequence[dict], days: float
) -> datetime | None:
    if step.period == 1 or not days or (earlier and earlier[-1].period == step.period):
        return None
    answers = [event["utc"] for event in events if place_of(event)]
    return datetime.fromisoformat(max(answers)) + timedelta(days=days) if answers else None


def log_phase(step: Step, stage: str) -> str:
    """The log's word for what is being read: training, or the stage."""
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


def enroll(
    log: ReadingLog,
    design: Design,
    name: str,
    confirmed: bool = True,
    profile: Mapping[str, str] | None = None,
) -> tuple[str, int]:
    """(name, slot): the reader's stored place in the study, taking a free one the first time.

    profile: what the reader says of himself, stored with the place. Where readers are randomised
    to arms, its first field is balanced over them (`_free_slot`).

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
            payload: dict[str, Any] = {"slot": _free_slot(log, design, free, profile or {})}
            log.append(
                "enrolled", name, payload=payload | ({"profile": dict(profile)} if profile else {})
            )


def _free_slot(
    log: ReadingLog, design: Design, free: Sequence[int], profile: Mapping[str, str]
) -> int:
    """The next free place; of randomised arms, one of the arm with fewest readers like this one.

    Readers are alike whose answers to the first field of the profile are. The places stand in
    random order already, in blocks that hold each arm equally often.
    """
    fields = design.card.get("profile", [])
    if design.paradigm.assign != "readers" or not fields or not profile:
        return free[0]
    first = fields[0]["name"]
    alike = [
        design.arm(event["payload"]["slot"])
        for event in log.events(kind="enrolled")
        if event["payload"].get("profile", {}).get(first) == profile.get(first)
    ]
    return min(free, key=lambda slot: alike.count(design.arm(slot)))


def _answered(
    number: int, step: Step, events: Sequence[dict], questions: Sequence[Question]
) -> dict:
    """One row of a reader's own list: what was answered at this step."""
    row: dict[str, Any] = {"number": number, "case": step.case, "period": step.period}
    row |= {"training": step.phase == "training", "stages": list(step.stages), "answered": []}
    row["kinds"] = {stage: step.kind(stage) for stage in step.stages}
    names = [*(question.name for question in questions), "marks"]
    places = {step.place(stage): stage for stage in step.stages}
    for event in events:
        corrected = event["kind"] == "corrected"
        place = corrected_place(event) if corrected else place_of(event)
        stage = places.get(place) if place else None
        if stage is None:
            continue
        shown = {name: event["payload"][name] for name in names if name in event["payload"]}
        row[f"{stage} corrected" if corrected else stage] = shown
        row["answered"] += [] if corrected else [stage]
    return row


def _awaits(here: Position, kind: str, stage: str, case: str, payload: Mapping) -> bool:
    """Whether the reader at `here` is to give this very answer now."""
    if here.step is None or here.step.case != case or here.stage != stage:
        return False
    told = kind != "answered" or payload.get("period") == here.step.period
    return told and here.step.kind(stage) == kind


class Reading:
    """One reader in one session: says what to show, stores what was answered.

    design: Design. log: ReadingLog with this session's id. name, confirmed: as for `enroll`.
    `events` are the reader's own, read from the log once at the start and once per answer, when
    the lease has just been renewed; what this session stores meanwhile is added to them.
    Raises Refused while another session of this reader is open, and LogError where nothing can
    be stored.
    """

    def __init__(
        self,
        design: Design,
        log: ReadingLog,
        name: str,
        confirmed: bool = True,
        profile: Mapping[str, str] | None = None,
    ) -> None:
        self.design, self.log = design, log
        self.reader, self.slot = enroll(log, design, name, confirmed, profile)
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
        if here.step is not None and here.stage in here.step.stages:
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
        if kind in (*MODALITIES, "answered"):
            stage = MODALITIES.get(kind) or str(payload.get("stage"))
            check_answer(stage, payload, self.design.questions)
            if not _awaits(here, kind, stage, case, payload):
                raise Refused("This answer does not belong to the current case: reload the page")
            check_marks(payload.get("marks"), self.design.marks, self.design.geometry(case))
        elif kind == "comment":
            check_text(payload.get("comment", ""))
        elif kind in ("paused", "resumed"):
            check_pause(payload)
        elif kind == display.KIND:
            display.check_display(payload)
        else:
            raise Refused(f"A page may not write {kind!r}")
        return log_phase(here.step, here.stage) if here.step else None

    def _phase_of_correction(self, case: str, payload: dict) -> str:
        target = str(payload.get("target", ""))
        place = case, target, payload.get("period", 0)
        stored = [event for event in self.events if place_of(event) == place]
        if not stored:
            raise Refused("Only a stored answer can be corrected")
        if "marks" in payload:
            raise Refused("Marks are final once their answer is locked")
        check_answer(target, payload, self.design.questions)
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
        return [row for row in rows if row["answered"]]

    def close(self) -> None:
        """Give the lease back, so that another session can start at once."""
        self.log.release(self.reader)
        self.log.close()
