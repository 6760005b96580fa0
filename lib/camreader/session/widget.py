"""The reading session in the browser: the kernel's side of the page.

The page (session*.js, on the drawing of the slice viewer) asks; this module answers from the
stored log, and says "on disk" before anything moves on. It holds no truth, no network's answer
and no heat-map of a case until the keeper has released it after the lock. The questions are the
design's: the page draws what it is sent.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from anywidget import AnyWidget
from IPython.display import Markdown

from camreader.cohorts.windows import presets
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.session.database import log_address
from camreader.session.log import LogError, ReadingLog, Refused
from camreader.session.progress import Design, Position, Reading, Unknown, clean_name
from camreader.session.sealed import Keeper, unpack_map
from camreader.viewer.html import STATIC as VIEWER_STATIC
from camreader.viewer.html import bundle
from camreader.viewer.widget import SCRIPTS, colour_tables, pack_map, pack_slice

STATIC = Path(__file__).parent / "static"
PAGES = [STATIC / f"session{part}.js" for part in ("_store", "_questions", "_page", "_acts", "")]
_OPEN: weakref.WeakSet = weakref.WeakSet()  # of this process: a cell that is run again takes over
INTRODUCTION = (
    "You see each slice twice: first alone, when you lock your answer; then with the answer and "
    "the heat-map of a neural network, when you answer again. The first cases are for practice."
)
CROSSOVER = (
    "You see each slice once alone and once with the answer and the heat-map of a neural network, "
    "in two parts some weeks apart. The first cases are for practice."
)
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
    ) -> None:
        self.reading: Reading | None = None
        self.keeper: Keeper | None = None
        self.design = Design.load(folder)
        if self.design.refused:
            raise DataError(self.design.refused, file=folder)
        self.database = log_address(self.design.folder, database)
        self._told: tuple | None = None
        self._packed: dict[str, dict] = {}
        self._practice: dict | None = None
        self._asked: str | None = None
        _OPEN.add(self)
        card = self.design.card
        crossover = card["plan"]["design"] == "crossover"
        start = {"stage": "start", "title": card["title"], "reader": reader}
        start["introduction"] = CROSSOVER if crossover else INTRODUCTION
        settings = {
            "title": card["title"],
            "unit": card["unit"],
            "window": card["window"],
            "questions": [asdict(question) for question in self.design.questions],
            "presets": presets(card["unit"], card["window"]),
            "idle_seconds": idle_seconds,
            "one_key": one_key,
        }
        super().__init__(state=start, settings=settings, _colours=colour_tables())
        self.on_msg(self._on_message)
        if reader:
            self._begin(reader, confirmed=True)

    def __repr__(self) -> str:
        return f"ReadingSession of {self.design.study}: {self.state['stage']}"

    def _on_message(self, _widget: Any, message: dict, _buffers: Any) -> None:
        reply = {"re": message.get("id"), "ok": True}
        try:
            self._act(message)
        except Refused as error:
            reply |= {"ok": False, "words": str(error)} | ({"final": True} if error.final else {})
        except (LogError, DataError) as error:
            reply |= {"ok": False, "words": str(error)}
        except Exception as error:  # the page must hear of it, whatever it is
            reply |= {"ok": False, "words": repr(error)}
        beat = message.get("type") == "beat"
        self.send({"beat": True, "lost": reply.get("words")} if beat else reply)

    def _act(self, message: dict) -> None:
        kind = message.get("type")
        if kind == "begin":
            return self._begin_as_typed(message.get("name", ""))
        if kind == "beat":
            reading = self._running()
            return reading.log.claim(reading.reader)
        with _starting("Not stored"):
            self._store(self._running(), message)
        with _starting("Stored, but the page cannot go on"):
            return self._show()

    def _running(self) -> Reading:
        if self.reading is None:
            raise LogError(f"This page's session has ended. {RELOAD}")
        return self.reading

    def _begin_as_typed(self, name: str) -> None:
        try:
            self._begin(name, confirmed=name == self._asked)
        except Unknown:
            self._asked = name  # the same name once more says that it is meant
            raise

    def _begin(self, name: str, confirmed: bool) -> None:
        self._end()
        self._check_design()
        self._take_over(name)
        log = ReadingLog(self.database, self.design.study, model=self.design.card["model"])
        self.reading = Reading(self.design, log, name, confirmed)
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

    def _store(self, reading: Reading, message: dict) -> None:
        kind, case = str(message.get("kind")), str(message.get("case"))
        reading.submit(kind, case, message.get("payload") or {}, str(message.get("id")))

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
        state |= {"stage": here.stage, "case": here.step.case, "shown": None}
        state |= {"training": here.step.phase == "training"}
        heat = {}
        if here.stage == "aided":
            heat = self._reveal(reading, here.step.case, state)
        with self.hold_sync():
            self._send_slices(reading, here, state)
            self._heat, self.state = heat, state
        self._told = (here.step, here.stage)

    def _common(self, reading: Reading, here: Position) -> dict:
        steps = reading.steps
        practice = sum(step.phase == "training" for step in steps)
        answers = reading.answers()
        return {
            "title": self.design.card["title"],
            "reader": reading.reader,
            "key": f"{self.design.study} {reading.reader}",
            "number": here.index + 1,
            "done": here.index,
            "total": len(steps),
            "practice": practice,
            "answers": answers,
            "feedback": self._feedback(here, answers),
        }

    def _send_slices(self, reading: Reading, here: Position, state: dict) -> None:
        wanted = [step.case for step in reading.steps[here.index : here.index + 2]]
        self._packed = {case: self._packed.get(case) or self._pack(case) for case in wanted}
        self._slices = self._packed
        state["next"] = wanted[1] if len(wanted) > 1 else ""

    def _pack(self, case: str) -> dict:
        return pack_slice(np.load(self.design.image_path(case), allow_pickle=False))

    def _reveal(self, reading: Reading, case: str, state: dict) -> dict[str, dict]:
        """Ask the keeper, which asks the log; only then may the answer stand on the page."""
        assert self.keeper is not None  # it lives as long as the reading
        shown = self.keeper.reveal(reading.reader, case)
        self._practice = {"case": case, **{k: shown.get(k) for k in ("truth", "cnn_prediction")}}
        state["shown"] = {k: shown[k] for k in ("cnn_prediction", "cnn_probability")}
        unaided = [row.get("unaided") for row in state["answers"] if row["case"] == case]
        state["unaided"] = unaided[0] if unaided and _sequential(reading, case) else None
        pixels, shape = unpack_map(shown)
        heat = np.frombuffer(pixels, np.uint8).reshape(shape).astype(np.float32) / 255
        return {case: pack_map(heat)}

    def _feedback(self, here: Position, answers: list[dict]) -> str:
        """After a practice case: what it was. The truth is told in practice only."""
        known = self._practice
        last = answers[-1] if answers else {}
        if not known or known["truth"] is None or last.get("case") != known["case"]:
            return ""
        if here.step is not None and here.step.case == known["case"]:
            return ""
        words = {0: "no tumor", 1: "tumor"}
        said = last.get("aided", {}).get("diagnosis", "")
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


def _sequential(reading: Reading, case: str) -> bool:
    """Whether the case is answered twice in a row, without and with the network."""
    phases = {step.phase for step in reading.steps if step.case == case}
    return bool(phases & {"training", "sequential"})


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
