"""A reading set up in a folder, served as `make read` does, and opened in a browser of its own."""

import contextlib
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest
import yaml
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from places import ROOT
from postgres import free_port
from reading_study import everything, make_study

from browser import chromium, requests_of  # noqa: F401 (a fixture)
from camreader.common.study import Study
from camreader.session.log import ReadingLog

TOKEN = "a-token-of-this-test"
GRID = {"tumor": "qwert", "no tumor": "asdfg", "other": "zxcvb"}
CASES, PRACTICE = 20, 2
PARAMETERS = {"IDLE_SECONDS": 600, "UNDO_SECONDS": 0, "DISPLAY_CHECK": False}


class Room:
    """A reading set up in a folder of its own, as `make report` leaves it."""

    def __init__(self, folder, **plan):
        plan = {"cases": CASES, "training_cases": PRACTICE, "size": 48, **plan}
        self.study = Study(str(folder / "data"), "tiny", str(folder / "reports"))
        self.design = make_study(self.study.readings, **plan)
        self.truth = everything(self.design)
        self.database = self.study.readings / "readings.sqlite"
        self.config = folder / "config.yaml"
        config = {"source": "", "cohort": "tiny", "data": self.study.data}
        config |= {"reports": self.study.reports, "parameters": {"07_reading_session": PARAMETERS}}
        self.config.write_text(yaml.safe_dump(config))

    def events(self, **wanted):
        return ReadingLog(self.database, self.design.study, readonly=True).events(**wanted)

    def notebook(self):
        """Of notebook 07 the cells tagged `session`, with this room's places."""
        source = load_notebook_node(str(ROOT / "notebooks/07_reading_session.ipynb"))
        wanted = {"parameters", "session"}
        source.cells = [c for c in source.cells if wanted & set(c.metadata.get("tags", []))]
        places = {"DATA": self.study.data, "COHORT": self.study.cohort}
        places |= {"REPORTS": self.study.reports, **PARAMETERS}
        return parameterize_notebook(source, places)


@contextlib.contextmanager
def serving(room, *options):
    """`make read` for a room; yields its address with the token."""
    port, log = free_port(), room.config.with_suffix(".log")
    command = [sys.executable, "-m", "camreader", "read", "--config", str(room.config)]
    command += ["--port", str(port), "--token", TOKEN, "--no-browser", *options]
    with open(log, "w") as out:
        server = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            if "Reading session: http" in log.read_text() and _answers(port):
                break
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.1)
        yield f"http://127.0.0.1:{port}/?token={TOKEN}"
    finally:
        server.terminate()
        server.wait(20)


def _answers(port):
    with contextlib.suppress(urllib.error.HTTPError):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
    return True


class Traffic:
    """Frames that came to the page and left it through its websocket, and what it asked for."""

    def __init__(self, page):
        self.frames, self.sent, self.asked = [], [], requests_of(page)
        page.on("websocket", self._listen)

    def _listen(self, socket):
        for name, frames in (("framereceived", self.frames), ("framesent", self.sent)):
            socket.on(name, lambda frame, frames=frames: frames.append(_bytes(frame)))

    @property
    def received(self):
        return b"\n".join(self.frames)


def _bytes(frame):
    return frame if isinstance(frame, bytes) else frame.encode()


@pytest.fixture
def open_page(chromium):  # noqa: F811
    """A browser of its own, with its storage and its traffic."""
    contexts = []

    def open_(width=1280, height=800, context=None):
        if context is None:
            context = chromium.new_context(viewport={"width": width, "height": height})
            contexts.append(context)
        page = context.new_page()
        page.traffic, page.errors = Traffic(page), []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        return page

    yield open_
    for context in contexts:
        context.close()


def begin(page, name="Ann"):
    page.wait_for_selector(".cr-start input.cr-name", timeout=90_000)
    page.locator(".cr-name").fill(name)
    page.locator(".cr-name").press("Enter")


def wait_for(page, stage, case=None):
    """Wait for a stage, and until its first moments are over: a press in them does not count."""
    place = f'.cr-session[data-stage="{stage}"][data-waiting="false"]'
    page.wait_for_selector(f'{place}[data-case="{case}"]' if case else place, timeout=60_000)
    page.wait_for_timeout(450)  # SETTLE_MS of session.js


def until(page, expression, seconds=30):
    """Wait for a JavaScript expression to hold; `wait_for_function` needs eval, forbidden there."""
    for _ in range(20 * seconds):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never held: {expression}")


def said(page):
    return page.locator(".cr-said").inner_text()


def press_answer(page, diagnosis, confidence):
    page.keyboard.press(GRID[diagnosis][confidence - 1])


def kernels_of(pid):
    """Processes that hold sessions: kernels of JupyterLab, or the server of `make read`."""
    children = psutil.Process(pid).children(recursive=True)
    holders = ("ipykernel_launcher", "camreader read")
    return [c for c in children if any(name in " ".join(c.cmdline()) for name in holders)]


def mount(*arguments):
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode == 0


@contextlib.contextmanager
def small_disk(tmp_path):
    """A room whose log is on a disk of its own, of two megabytes."""
    room, disk = Room(tmp_path, cases=4, training_cases=1), tmp_path / "disk"
    disk.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", disk):
        pytest.skip("a small disk needs a mount, which needs root")
    try:
        room.database = disk / "readings.sqlite"
        room.config.write_text(
            room.config.read_text().replace("IDLE_SECONDS: 600", f"DATABASE: {room.database}")
        )
        yield room
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path):
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as handle:
        while True:
            handle.write(b"x" * 1024)
