"""The reading session in the browser: the kernel's side of the page.

The page (session*.js, on the drawing of the slice viewer) asks; this module answers from the
stored log, and says "on disk" before anything moves on. It holds no truth, no network's answer
and no heat-map of a case until the keeper has released it after the lock.
"""

import weakref
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import traitlets
from anywidget import AnyWidget

from camreader.cohorts.windows import presets
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.session.database import log_address
from camreader.session.log import LogError, ReadingLog, Refused
from camreader.session.progress import Design, Reading, Unknown, clean_name
from camreader.session.sealed import Keeper, unpack_map
from camreader.viewer.html import STATIC as VIEWER_STATIC
from camreader.viewer.html import bundle
from camreader.viewer.widget import SCRIPTS, _colours, pack_map, pack_slice

STATIC = Path(__file__).parent / "static"
PAGES = [
    STATIC / f"{name}.js" for name in ("session_store", "session_page", "session_acts", "session")
]
_OPEN = weakref.WeakSet()  # sessions of this process: a cell that is run again takes over
INTRODUCTION = (
    "Each slice comes twice: first alone, and you lock your answer; then with the answer and the "
    "heat-map of a neural network, and you answer again. The first cases are for practice."
)
CROSSOVER = (
    "Each slice comes once alone and once with the answer and the heat-map of a neural network, "
    "in two parts some weeks apart. The first cases are for practice."
)
RELOAD = "Reload the page (in JupyterLab: Run > Run All Cells)"


@contextmanager
def _starting(words):
    """Let an error say first whether the answer is stored; what is refused says it all itself."""
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

    def __init__(self, folder, database="", reader="", *, idle_seconds=120, one_key=True):
        self.reading = self.keeper = None
        self.design = Design.load(folder)
        self.database = log_address(self.design.folder, database)
        self._told, self._packed, self._practice, self._asked = None, {}, None, None
        _OPEN.add(self)
        card = self.design.card
        crossover = card["plan"]["design"] == "crossover"
        start = {"stage": "start", "title": card["title"], "reader": reader}
        start["introduction"] = CROSSOVER if crossover else INTRODUCTION
        settings = {
            "title": card["title"],
            "unit": card["unit"],
            "window": card["window"],
            "presets": presets(card["unit"], card["window"]),
            "idle_seconds": idle_seconds,
            "one_key": one_key,
        }
        super().__init__(state=start, settings=settings, _colours=_colours())
        self.on_msg(self._on_message)
        if reader:
            self._begin(reader, confirmed=True)

    def __repr__(self):
        return f"ReadingSession of {self.design.study}: {self.state['stage']}"

    def _on_message(self, _widget, message, _buffers):
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

    def _act(self, message):
        kind = message.get("type")
        if kind == "begin":
            return self._begin_as_typed(message.get("name", ""))
        if kind == "beat":
            self._check_running()
            return self.reading.log.claim(self.reading.reader)
        with _starting("Not stored"):
            self._check_running()
            self._store(message)
        with _starting("Stored, but the page cannot go on"):
            return self._show()

    def _check_running(self):
        if self.reading is None:
            raise LogError(f"This page's session has ended. {RELOAD}")

    def _begin_as_typed(self, name):
        try:
            self._begin(name, confirmed=name == self._asked)
        except Unknown:
            self._asked = name  # the same name once more says that it is meant
            raise

    def _begin(self, name, confirmed):
        self._end()
        self._check_design()
        self._take_over(name)
        log = ReadingLog(self.database, self.design.study, model=self.design.card["model"])
        self.reading = Reading(self.design, log, name, confirmed)
        self.keeper = Keeper(self.design.folder, self.database, log.session)
        self._show()

    def _check_design(self):
        """A page can stay open while the study is set up anew, with other cases."""
        if Design.load(self.design.folder).study != self.design.study:
            raise LogError(f"The study was set up anew after this page was opened. {RELOAD}")

    def _take_over(self, name):
        """Let the same reader's session in this very process go: its cell was run again."""
        name, here = clean_name(name).casefold(), (self.design.study, str(self.database))
        for other in list(_OPEN):
            if other.reading is None or (other.design.study, str(other.database)) != here:
                continue
            if other.reading.reader.casefold() == name:
                other._end()
                other.state = {**other.state, "stage": "moved"}

    def _store(self, message):
        kind, case = message.get("kind"), message.get("case")
        self.reading.submit(kind, case, message.get("payload") or {}, str(message.get("id")))

    # ---- what the page shows ----

    def _show(self):
        self._check_design()
        here = self.reading.position()
        state = self._common(here)
        if here.step is None or here.stage == "waiting":
            self._slices, self._heat = {}, {}
            until = here.until.strftime("%Y-%m-%d %H:%M UTC") if here.until else ""
            self.state = state | {"stage": here.stage, "until": until}
            return
        if self._told != (here.step, here.stage):
            self.reading.start_case()
        state |= {"stage": here.stage, "case": here.step.case, "shown": None}
        state |= {"training": here.step.phase == "training"}
        heat = {}
        if here.stage == "aided":
            heat = self._reveal(here.step.case, state)
        with self.hold_sync():
            self._send_slices(here, state)
            self._heat, self.state = heat, state
        self._told = (here.step, here.stage)

    def _common(self, here):
        steps = self.reading.steps
        practice = sum(step.phase == "training" for step in steps)
        answers = self.reading.answers()
        return {
            "title": self.design.card["title"],
            "reader": self.reading.reader,
            "key": f"{self.design.study} {self.reading.reader}",
            "number": here.index + 1,
            "done": here.index,
            "total": len(steps),
            "practice": practice,
            "answers": answers,
            "feedback": self._feedback(here, answers),
        }

    def _send_slices(self, here, state):
        wanted = [step.case for step in self.reading.steps[here.index : here.index + 2]]
        self._packed = {case: self._packed.get(case) or self._pack(case) for case in wanted}
        self._slices = self._packed
        state["next"] = wanted[1] if len(wanted) > 1 else ""

    def _pack(self, case):
        return pack_slice(np.load(self.design.image_path(case), allow_pickle=False))

    def _reveal(self, case, state):
        """Ask the keeper, which asks the log; then the answer may stand on the page."""
        shown = self.keeper.reveal(self.reading.reader, case)
        self._practice = {"case": case, **{k: shown.get(k) for k in ("truth", "cnn_prediction")}}
        state["shown"] = {k: shown[k] for k in ("cnn_prediction", "cnn_probability")}
        row = next((row for row in state["answers"] if row["case"] == case), {})
        state["unaided"] = row.get("unaided") if self._sequential(case) else None
        pixels, shape = unpack_map(shown)
        heat = np.frombuffer(pixels, np.uint8).reshape(shape).astype(np.float32) / 255
        return {case: pack_map(heat)}

    def _sequential(self, case):
        phases = {step.phase for step in self.reading.steps if step.case == case}
        return bool(phases & {"training", "sequential"})

    def _feedback(self, here, answers):
        """After a practice case: what it was. Practice is the only place where truth is told."""
        known = self._practice
        last = answers[-1] if answers else {}
        if not known or known["truth"] is None or last.get("case") != known["case"]:
            return ""
        if here.step is not None and here.step.case == known["case"]:
            return ""
        words = {0: "no tumor", 1: "tumor"}
        said = last.get("aided", {}).get("diagnosis", "")
        return (
            f"Practice: the case before was {words[known['truth']]}; the network said "
            f"{words[known['cnn_prediction']]}, you said {said}."
        )

    def _end(self):
        if self.keeper is not None:
            self.keeper.close()
        if self.reading is not None:
            self.reading.close()
        self.reading = self.keeper = self._told = None

    def close(self):
        """End the session: the reader may begin another one at once."""
        self._end()
        super().close()


def open_session(study, database="", reader="", **options):
    """The session of `study` (files.Study); DataError names what has to be set up first."""
    if not isinstance(study, Study):
        study = Study(*study)
    return ReadingSession(study.readings, database, reader, **options)
