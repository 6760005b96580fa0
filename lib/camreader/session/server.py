"""`make read`: the reading session as a page of its own, without code, for this machine alone.

Voila runs the session's cells of notebook 07 and shows their output. The server listens on
127.0.0.1 only and answers no request without the token of the address it prints; pages may not
fetch anything from elsewhere, and a page cannot send code to its kernel.
"""

import argparse
import hmac
import os
import secrets
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from tornado.web import HTTPError
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler

from camreader.common.configuration import cohort_name, parameter_values
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.session.database import settled
from camreader.session.progress import Design

NOTEBOOK = Path("notebooks/07_reading_session.ipynb")
PORT = 8866
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' ws://127.0.0.1:* data: blob:; frame-ancestors 'none'"
)
STYLE = """<style>
html, body.jp-Notebook { background: #0b0e11 !important; }
.cr-session { border: 0; --around: 176px; }
body.jp-Notebook { padding: 0; overflow: auto; }
.jp-Cell, .jp-OutputArea-child, .jp-Cell-outputWrapper { margin: 0; padding: 0; }
.jp-OutputPrompt, .jp-OutputArea-promptOverlay { display: none; }
</style>"""


def page(
    study: Study, parameters: Mapping[str, Any], notebook: str | Path = NOTEBOOK
) -> nbformat.NotebookNode:
    """The notebook to serve: parameters, and of notebook 07 the cells tagged `session`."""
    source = load_notebook_node(str(notebook))
    source.cells = [
        cell
        for cell in source.cells
        if {"parameters", "session"} & set(cell.metadata.get("tags", []))
    ]
    # The kernel runs in a temporary folder: no path may hang on where it runs.
    places = {"DATA": str(Path(study.data).absolute()), "COHORT": study.cohort}
    places["REPORTS"] = str(Path(study.reports).absolute())
    places["DATABASE"] = _database(parameters, notebook)
    shown = parameterize_notebook(source, {**parameters, **places})
    shown.metadata["title"] = "Reading session"
    shown.cells.insert(0, nbformat.v4.new_markdown_cell(STYLE))
    return shown


def _database(parameters: Mapping[str, Any], notebook: str | Path) -> str:
    """The log's address; a relative file is the project's, or the notebook's where it names one."""
    if parameters.get("DATABASE"):
        return settled(parameters["DATABASE"])
    own = parameter_values(notebook)["DATABASE"]
    return settled(own, Path(notebook).parent) if own else ""


class ReadingServer(Voila):
    """Voila that serves nothing, static files included, without the token."""

    def init_handlers(self) -> list[tuple]:
        """Every handler of Voila's, each asking for the token first."""
        return [
            (path, _guarded(handler), *rest) for path, handler, *rest in super().init_handlers()
        ]


def _guarded(handler: type) -> type:
    """The handler's class, refusing requests with neither the token nor the cookie it set."""

    class Guarded(handler):  # type: ignore[misc, valid-type]
        def prepare(self) -> Any:
            provider = self.settings["identity_provider"]
            words = self.request.headers.get("Authorization", "").split()[-1:]
            given = self.get_query_argument("token", words[0] if words else "")
            known = self.get_signed_cookie(provider.get_cookie_name(self)) is not None
            if not known and not hmac.compare_digest(given.encode(), provider.token.encode()):
                raise HTTPError(403, "The address needs its token: copy it from the terminal")
            return super().prepare()

    if issubclass(handler, VoilaShutdownKernelHandler):
        # A page that closes says so without the form field against forgery; it has the cookie, and
        # its kernel's name is a secret of its own. The reader is let go at once.
        Guarded.check_xsrf_cookie = lambda self: None
    return Guarded


def find_study(config: Mapping[str, Any], cohort: str = "") -> Study:
    """The Study to read: the one named, the configured one, or the only one set up.

    DataError names the command that sets one up.
    """
    data, reports = config["data"], config["reports"]
    ready = sorted(path.parent.name for path in Path(data, "readings").glob("*/design.json"))
    wanted = cohort or cohort_name(config)
    if wanted not in ready and not cohort and len(ready) == 1:
        wanted = ready[0]
    if wanted not in ready:
        others = f"; set up are {', '.join(ready)}: ARGS='--cohort NAME'" if ready else ""
        words = f"No reading is set up for {wanted!r}: run `make report`{others}"
        raise DataError(words, file=Path(data, "readings"))
    return Study(data, wanted, reports)


def free_port(wanted: int) -> int:
    """The wanted port of 127.0.0.1, or any free one while something else uses it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings(folder: Path, options: argparse.Namespace) -> Config:
    """Voila's settings: one notebook, this machine only, no file of any folder."""
    config = Config()
    config.Voila.update(
        {
            "ip": "127.0.0.1",
            "port": free_port(options.port),
            "port_retries": 0,
            "open_browser": options.browser,
            "token": options.token or secrets.token_urlsafe(24),
            "notebook_path": str(folder / "reading.ipynb"),
            "root_dir": str(folder),
            "tornado_settings": {"headers": {"Content-Security-Policy": POLICY}},
        }
    )
    # A page that was closed leaves its kernel behind; it ends when nobody came back to it.
    config.MappingKernelManager.update({"cull_idle_timeout": 120, "cull_interval": 30})
    config.VoilaConfiguration.update(
        {"theme": "dark", "file_allowlist": [], "strip_sources": True, "show_tracebacks": False}
    )
    return config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `camreader read`."""
    parser.add_argument("--cohort", default="", help="the study; default: as config.yaml says")
    parser.add_argument("--config", default="config.yaml")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--token", default="", help="default: a new one at every start")
    parser.add_argument("--database", default="", help="PostgreSQL address or SQLite file")
    parser.add_argument("--no-browser", dest="browser", action="store_false")


def run(options: argparse.Namespace) -> None:
    """Serve the reading until it is stopped."""
    config = yaml.safe_load(Path(options.config).read_text(encoding="utf-8"))
    parameters = dict(config["parameters"].get(NOTEBOOK.stem) or {})
    parameters |= {"DATABASE": options.database} if options.database else {}
    study = find_study(config, options.cohort)
    if refused := Design.load(study.readings).refused:
        raise DataError(refused, file=study.readings)
    with tempfile.TemporaryDirectory(prefix="camreader-read-") as folder:
        nbformat.write(page(study, parameters), Path(folder) / "reading.ipynb")
        os.environ["MPLBACKEND"] = "agg"
        server = ReadingServer.instance(config=settings(Path(folder), options))
        server.initialize([])
        address = f"http://127.0.0.1:{server.port}/?token={server.token}"
        print(f"\n    Reading session: {address}\n\n    Stop it with Ctrl+C.\n", flush=True)
        server.start()
