"""The reading session in the browser: the kernel's side of the page.

The page (session*.js, on the drawing of the slice viewer) asks; this module answers from the
stored log, and says "on disk" before anything moves on. It holds no truth, no network's answer
and no heat-map of a case until the keeper has released it after the lock. The questions are the
design's: the page draws what it is sent.
"""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from anywidget import AnyWidget
from IPython.display import Markdown

from camreader.cohorts.windows import presets
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.session import display, marks
from camreader.session.database import log_address
from camreader.session.log import LogError, Occupied, ReadingLog, Refused
from camreader.session.progress import Design, Position, Reading, Step, Unknown, clean_name
from camreader.session.questions import Question
from camreader.session.sealed import ITEMS, Keeper, unpack_map
from camreader.session.stages import Paradigm, Stage
from camreader.viewer.html import STATIC as VIEWER_STATIC
from camreader.viewer.html import bundle
from camreader.viewer.widget import SCRIPTS, colour_tables, pack_map, pack_slice

STATIC = Path(__file__).parent / "static"
PARTS = ("_store", "_questions", "_marks", "_stack", "_display", "_page", "_acts", "")
PAGES = [STATIC / f"session{part}.js" for part in PARTS]
_OPEN: weakref.WeakSet = weakref.WeakSet()  # of this process: a cell that is run again takes over
MOST_AT_ONCE = 8  # slices of a stack in one message
RELOAD = "Reload the page (in JupyterLab: Run > Run All Cells)"


@contextmanager
def _starting(words: str) -> Iterator[None]:
    """Put first in an error whether the answer is stored; a refusal needs no such words."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, LogError | DataError) else repr(error)
        raise LogError(f"{words}: {said}") from error


class ReadingSession(AnyWidget):
    """A reading of the study in `folder`; shows a start screen and writes nothing until used.

    database: SQLite path or PostgreSQL address (default: readings.sqlite in `folder`). reader:
    a name to start with at once. idle_seconds: after this long without a movement the clock
    stops. one_key: a key answers and goes on; else Enter confirms (the page can switch it).
    undo_seconds: for which such an answer can be taken back before it is locked. account: the only
    reader whom this session serves, whatever name the page says; "" for anybody. display_check:
    ask readers for the one-minute check of their screen.
    """

    _esm = bundle(*SCRIPTS, *PAGES, entry="createSession")
    _css = "\n".join(
        path.read_text("utf-8") for path in (VIEWER_STATIC / "viewer.css", STATIC / "session.css")
    )

    state = traitlets.Dict().tag(sync=True)  # what the page shows; nothing it may not know
    settings = traitlets.Dict().tag(sync=True)
    _slices = traitlets.Dict().tag(sync=True)  # {case: packed HU}: this case and the next
    _heat = traitlets.Dict().tag(sync=True)  # {case: packed map}: this case, after its lock
    _colours = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        folder: str | Path,
        database: str = "",
        reader: str = "",
        *,
        idle_seconds: float = 120,
        one_key: bool = True,
        undo_seconds: float = 1.5,
        account: str = "",
        display_check: bool = True,
    ) -> None:
        self.reading: Reading | None = None
        self.keeper: Keeper | None = None
        self.design = Design.load(folder)
        if self.design.refused:
            raise DataError(self.design.refused, file=folder)
        self.database = log_address(self.design.folder, database)
        self._told: tuple | None = None
        self._packed: dict[str, dict] = {}
        self._stacks: dict[str, dict[int, dict]] = {}  # packed slices of this case and the next
        self._practice: dict | None = None
        self._asked: str | None = None
        self.account = account
        _OPEN.add(self)
        card = self.design.card
        start = {"stage": "start", "title": card["title"], "reader": reader or account}
        start |= {"fixed": bool(account)}
        start |= {"introduction": introduction(self.design), "profile": card.get("profile", [])}
        settings = {
            "title": card["title"],
            "unit": card["unit"],
            "sides": card.get("sides", ""),
            "window": card["window"],
            "questions": [self._on_page(question) for question in self.design.questions],
            "stages": self._stages_told(),
            "finding": card.get("finding", "tumor"),
            "presets": presets(card["unit"], card["window"], card.get("windows")),
            "idle_seconds": idle_seconds,
            "one_key": one_key,
            "undo_ms": round(1000 * undo_seconds),
            "marks": marks.on_page(self.design.marks),
            "display": display.on_page() if display_check else None,
        }
        super().__init__(state=start, settings=settings, _colours=colour_tables())
        self.on_msg(self._on_message)
        if reader:
            self._begin(reader, confirmed=True)

    def _met(self) -> dict[str, Stage]:
        """The stages that every reader meets: what another arm shows is nobody's business."""
        paradigm = self.design.paradigm
        if paradigm.assign in ("within", "crossover"):
            return paradigm.stages
        slots = [] if self.reading is None else [self.reading.slot]
        names = {
            stage for slot in slots for step in self.design.steps(slot) for stage in step.stages
        }
        return {name: stage for name, stage in paradigm.stages.items() if name in names}

    @cached_property
    def aliases(self) -> dict[str, str]:
        """{stage: its name on the page}, see `page_names`."""
        return page_names(self.design.paradigm)

    def _stages_told(self) -> dict[str, dict]:
        return {self.aliases[name]: _told(stage) for name, stage in self._met().items()}

    def _on_page(self, question: Question) -> dict:
        names = [self.aliases[name] for name in question.stages]
        return asdict(question) | {"stages": list(dict.fromkeys(names))}

    def _row_on_page(self, row: dict) -> dict:
        """A row of the reader's own list, under the names that the page knows."""
        found = {key: row[key] for key in ("number", "case", "period", "training")}
        found["stages"] = [self.aliases[name] for name in row["stages"]]
        found["answered"] = [self.aliases[name] for name in row["answered"]]
        found["kinds"] = {self.aliases[name]: kind for name, kind in row["kinds"].items()}
        for name in row["answered"]:
            for end in ("", " corrected"):
                if f"{name}{end}" in row:
                    found[f"{self.aliases[name]}{end}"] = row[f"{name}{end}"]
        return found

    def _by_name(self, reading: Reading, case: str, payload: dict) -> dict:
        """An answer's payload with the stage's own name in the place of the page's."""
        steps = [step for step in reading.steps if step.case == case]
        own = {self.aliases[name]: name for step in steps for name in step.stages}
        here = reading.position()
        if here.step is not None and here.step.case == case:
            own |= {self.aliases[name]: name for name in here.step.stages}
        return {
            key: own.get(value, value) if key in ("stage", "target") else value
            for key, value in payload.items()
        }

    def __repr__(self) -> str:
        return f"ReadingSession of {self.design.study}: {self.state['stage']}"

    def _on_message(self, _widget: Any, message: dict, _buffers: Any) -> None:
        reply = {"re": message.get("id"), "ok": True}
        try:
            self._act(message)
        except Refused as error:
            reply |= {"ok": False, "words": str(error)} | ({"final": True} if error.final else {})
            reply |= {"occupied": True} if isinstance(error, Occupied) else {}
        except (LogError, DataError) as error:
            reply |= {"ok": False, "words": str(error)}
        except Exception as error:  # the page must hear of it, whatever it is
            reply |= {"ok": False, "words": repr(error)}
        beat = message.get("type") == "beat"
        self.send({"beat": True, "lost": reply.get("words")} if beat else reply)

    def _act(self, message: dict) -> None:
        kind = message.get("type")
        if kind == "begin":
            return self._begin_as_typed(message.get("name", ""), _profile(message.get("profile")))
        if kind == "look":
            return self._look(self._running(), str(message.get("case")))
        if kind == "slices":
            return self._send_stack(self._running(), message)
        if kind == "beat":
            reading = self._running()
            return reading.log.claim(reading.reader)
        with _starting("Not stored"):
            new = self._store(self._running(), message)
        with _starting("Stored, but the page cannot go on"):
            self._show()
            if not new:  # the page asks again: it may have lost what followed, too
                self.send_state(["_slices", "_heat", "state"])

    def _running(self) -> Reading:
        if self.reading is None:
            raise LogError(f"This page's session has ended. {RELOAD}")
        return self.reading

    def _begin_as_typed(self, name: str, profile: dict[str, str]) -> None:
        name, known = self.account or name, bool(self.account)
        try:
            self._begin(name, confirmed=known or name == self._asked, profile=profile)
        except Unknown:
            self._asked = name  # the same name once more says that it is meant
            raise

    def _begin(self, name: str, confirmed: bool, profile: Mapping[str, str] | None = None) -> None:
        self._end()
        self._check_design()
        self._take_over(name)
        log = ReadingLog(self.database, self.design.study, model=self.design.card["model"])
        self.reading = Reading(self.design, log, name, confirmed, profile)
        self.settings = self.settings | {"stages": self._stages_told()}
        self.keeper = Keeper(self.design.folder, self.database, log.session)
        self._show()

    def _check_design(self) -> None:
        """A page can stay open while the study is set up again, with other cases."""
        if Design.load(self.design.folder).study != self.design.study:
            raise LogError(f"The study was set up again after this page was opened. {RELOAD}")

    def _take_over(self, name: str) -> None:
        """End the same reader's other session in this process: its cell was run again."""
        name, here = clean_name(name).casefold(), (self.design.study, str(self.database))
        for other in list(_OPEN):
            if other.reading is None or (other.design.study, str(other.database)) != here:
                continue
            if other.reading.reader.casefold() == name:
                other._end()
                other.state = {**other.state, "stage": "moved"}

    def _store(self, reading: Reading, message: dict) -> bool:
        """Whether it is new: False for an event that was stored before."""
        kind, case = str(message.get("kind")), str(message.get("case"))
        payload = self._by_name(reading, case, message.get("payload") or {})
        return reading.submit(kind, case, payload, str(message.get("id")))

    # ---- what the page shows ----

    def _show(self) -> None:
        self._check_design()
        reading = self._running()
        here = reading.position()
        state = self._common(reading, here)
        if here.step is None or here.stage == "waiting":
            self._slices, self._heat = {}, {}
            until = here.until.strftime("%Y-%m-%d %H:%M UTC") if here.until else ""
            self.state = state | {"stage": here.stage, "until": until}
            return
        if self._told != (here.step, here.stage):
            reading.start_case()
        state |= self._stage_of(here.step, here.stage)
        state["stack"] = self.design.stack(here.step.case)
        state["clinical_text"] = self.design.clinical_text(here.step.case)
        state["spacing"] = self.design.geometry(here.step.case)["spacing_mm"]
        before = self._before(here.step, here.stage, state) or {}
        state["marks"] = before.get("marks", [])  # they stay until they are moved
        heat = {}
        if self.design.paradigm.stages[here.stage].shows:
            heat = self._reveal(reading, here.step, here.stage, state)
        with self.hold_sync():
            self._send_slices(reading, here, state)
            self._heat, self.state = heat, state
        self._told = (here.step, here.stage)

    def _stage_of(self, step: Step, stage: str) -> dict:
        """What the page needs to know of the stage itself, and to name its answer."""
        kind, alias = step.kind(stage), self.aliases[stage]
        told = {"stage": alias, "period": step.period} if kind == "answered" else {}
        number = step.stages.index(stage) + 1
        return {
            "stage": alias,
            "case": step.case,
            "shown": None,
            "kind": kind,
            "told": told,
            "number_of_stage": number,
            "stages": len(step.stages),
            "training": step.phase == "training",
        }

    def _common(self, reading: Reading, here: Position) -> dict:
        steps = reading.steps
        practice = sum(step.phase == "training" for step in steps)
        answers = [self._row_on_page(row) for row in reading.answers()]
        feedback = self._feedback(here, answers)
        return {
            "title": self.design.card["title"],
            "reader": reading.reader,
            "key": f"{self.design.study} {reading.reader}",
            "number": here.index + 1,
            "done": here.index,
            "total": len(steps),
            "practice": practice,
            "answers": answers,
            "display": display.last_screen(reading.events),
            "feedback": feedback,
            "review": self._review(answers) if feedback else None,
        }

    def _send_slices(self, reading: Reading, here: Position, state: dict) -> None:
        wanted = [step.case for step in reading.steps[here.index : here.index + 2]]
        state["next"] = wanted[1] if len(wanted) > 1 else ""
        state["next_stack"] = self.design.stack(wanted[1]) if len(wanted) > 1 else None
        wanted += [state["review"]["case"]] if state["review"] else []
        self._packed = {case: self._packed.get(case) or self._pack(case) for case in wanted}
        self._slices = self._packed

    def _look(self, reading: Reading, case: str) -> None:
        """The slice of a case that this reader has answered, beside those at hand."""
        if case not in [row["case"] for row in reading.answers()]:
            raise Refused("This case has no answer of yours")
        self._slices = self._packed | {case: self._pack(case)}

    def _send_stack(self, reading: Reading, message: dict) -> None:
        """Slices of the case at hand, or of the next, in the order in which the page asks."""
        case, index = str(message.get("case")), reading.position().index
        near = [step.case for step in reading.steps[index : index + 2]]
        stack = self.design.stack(case) if case in near else None
        wanted = message.get("wanted")
        if stack is None or not isinstance(wanted, list) or len(wanted) > MOST_AT_ONCE:
            raise Refused("These slices are not those of the case at hand")
        self._stacks = {name: held for name, held in self._stacks.items() if name in near}
        held = self._stacks.setdefault(case, {})
        images = np.load(self.design.stack_path(case), mmap_mode="r", allow_pickle=False)
        if any(k not in range(stack["slices"]) for k in wanted):
            raise Refused("The stack has no such slice")
        held |= {k: pack_slice(np.asarray(images[k])) for k in wanted if k not in held}
        packed = [held[k] for k in wanted]
        told = [{"shape": one["shape"], "key": one["key"]} for one in packed]
        buffers = [one["data"] for one in packed]
        self.send({"stack": case, "wanted": wanted, "slices": told}, buffers)

    def _pack(self, case: str) -> dict:
        return pack_slice(np.load(self.design.image_path(case), allow_pickle=False))

    def _reveal(self, reading: Reading, step: Step, stage: str, state: dict) -> dict[str, dict]:
        """Ask the keeper, which asks the log; only then may the answer stand on the page."""
        assert self.keeper is not None  # it lives as long as the reading
        case, shown = step.case, self.keeper.reveal(reading.reader, step.case)
        told = ("truth", "cnn_prediction", "lesions")
        self._practice = {"case": case, **{name: shown.get(name) for name in told}}
        parts = self.design.paradigm.stages[stage].shows
        names = [name for part in parts if part != "map" for name in ITEMS[part]]
        state["shown"] = {name: shown[name] for name in names}
        state["said"] = self._before(step, stage, state)
        if "map" not in parts:
            return {}
        pixels, shape = unpack_map(shown)
        heat = np.frombuffer(pixels, np.uint8).reshape(shape).astype(np.float32) / 255
        return {case: pack_map(heat)}

    def _before(self, step: Step, stage: str, state: dict) -> dict | None:
        """The reader's answer at the case's stage before this one."""
        earlier = step.stages[: step.stages.index(stage)]
        row: dict = next((x for x in state["answers"] if x["number"] == state["number"]), {})
        return row.get(self.aliases[earlier[-1]]) if earlier else None

    def _review(self, answers: list[dict]) -> dict | None:
        """A practice case once more, with its lesions and what became of each mark; None where no
        place is known. Called where `_feedback` has words."""
        known = self._practice or {}
        if known.get("lesions") is None:
            return None
        placed = answers[-1].get(answers[-1]["stages"][-1], {}).get("marks") or []
        within = self.design.card["plan"].get("marks_within_mm", 0.0)
        spacing = self.design.geometry(known["case"])["spacing_mm"]
        accepted = [
            mark | {"accepted": marks.lesion_of(mark, known["lesions"], within, spacing) > 0}
            for mark in placed
        ]
        parts = [part for lesion in known["lesions"] for part in lesion["parts"]]
        rule = marks.rule_in_words(within) if self.design.marks else ""
        return {"case": known["case"], "lesions": parts, "marks": accepted, "rule": rule}

    def _feedback(self, here: Position, answers: list[dict]) -> str:
        """After a practice case: what it was. The truth is told in practice only."""
        known = self._practice
        last = answers[-1] if answers else {}
        if not known or known["truth"] is None or last.get("case") != known["case"]:
            return ""
        if here.step is not None and here.step.case == known["case"]:
            return ""
        finding = self.design.card.get("finding", "tumor")
        words = {0: f"no {finding}", 1: finding}
        said = last.get(last["stages"][-1], {}).get("diagnosis", "")
        return (
            f"Practice: the previous case was {words[known['truth']]}; the network said "
            f"{words[known['cnn_prediction']]}, you said {said}."
        )

    def _end(self) -> None:
        if self.keeper is not None:
            self.keeper.close()
        if self.reading is not None:
            self.reading.close()
        self.reading = self.keeper = self._told = None

    def close(self) -> None:
        """End the session: the reader may begin another one at once."""
        self._end()
        super().close()


SHOWN_AS = {"answer": "the network's answer", "map": "a heat-map"}


def introduction(design: Design) -> str:
    """What a reader is told before the first case: how a case goes, and nothing of other arms."""
    paradigm = design.paradigm
    practice = "The first cases are for practice."
    if paradigm.assign == "crossover":
        parts = paradigm.periods
        return (
            f"You read each slice {parts} times, in {parts} parts some weeks apart, alone or with "
            f"help from a neural network. {practice}"
        )
    arm = paradigm.arms[0]
    looks = len(arm.stages)
    if paradigm.assign != "within":
        return (
            f"You see each slice in {looks} steps: first alone, then with help from a neural "
            f"network. Each answer is locked before the next step. {practice}"
        )
    steps = [in_words(stage) for stage in arm.stages]
    return (
        f"You see each slice in {looks} step{'s' * (looks > 1)}: first {', then '.join(steps)}. "
        f"You answer at each, and each answer is locked before the next step. {practice}"
    )


def in_words(stage: Stage) -> str:
    """What a stage shows, as a reader is told."""
    shown = [SHOWN_AS[part] for part in stage.shows if part in SHOWN_AS]
    return f"with {' and '.join(shown)}" if shown else "alone"


def page_names(paradigm: Paradigm) -> dict[str, str]:
    """{stage: its name on the page}: its own, unless another stage looks the same.

    Such stages are named after what they show, so that no page tells a placebo from a map, and
    numbered where an arm shows the same again, so that each of its answers has a place.
    """
    looks = [(stage.shows, stage.text) for stage in paradigm.stages.values()]
    found: dict[str, str] = {}
    for arm in sorted(paradigm.arms, key=lambda arm: -len(arm.stages)):
        used: list[str] = []
        for stage in arm.stages:
            name = "_".join(stage.shows) or "alone"
            used.append(name)
            turn = used.count(name)
            alike = looks.count((stage.shows, stage.text)) > 1
            numbered = f"{name}_{turn}" if turn > 1 else name
            found.setdefault(stage.name, numbered if alike else stage.name)
    return found


def _told(stage: Stage) -> dict:
    """What the page knows of a stage: which parts it shows, never which map."""
    words = in_words(stage)
    return {"shows": list(stage.shows), "words": words[0].upper() + words[1:]}


def _profile(given: Any) -> dict[str, str]:
    """What a page sends of the reader: short texts under short names; Refused for anything else."""
    given = given or {}
    fit = isinstance(given, dict) and len(given) <= 20
    if not fit or not all(
        isinstance(text, str) and len(text) <= 200 and str(name).isidentifier()
        for name, text in given.items()
    ):
        raise Refused("The profile is a list of short answers")
    return {name: " ".join(text.split()) for name, text in given.items() if text.strip()}


def open_session(
    study: Study, database: str = "", reader: str = "", **options: Any
) -> ReadingSession | Markdown:
    """The session of `study`; DataError names what has to be set up first.

    Where the set-up was refused, as for a network that did not learn, the reason instead.
    options: as for `ReadingSession`.
    """
    if refused := Design.load(study.readings).refused:
        return Markdown(f"**{refused}.**")
    return ReadingSession(study.readings, database, reader, **options)
