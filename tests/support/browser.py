"""Real browsers and a real JupyterLab for tests; skips, saying why, where there is none.

    from browser import chromium, jupyterlab  # fixtures, one browser and one server per module

    def test_something(chromium, jupyterlab):
        page = chromium.new_page()
        open_notebook(page, jupyterlab, "x.ipynb")  # a file in jupyterlab.folder
        run_all(page)

Playwright's synchronous interface keeps an event loop running: execute notebooks in another
process (`execute`), not with nbclient in the test itself.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from PIL import Image

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TOKEN = "test"
QUIET = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
}
KERNEL_IDLE = (
    "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
)


def chromium_path():
    """Path of an installed Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def open_chromium():
    """A headless browser driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def chromium():
    """A browser for the module; skips where none is installed."""
    pytest.importorskip("playwright", reason="Playwright is not installed")
    if chromium_path() is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    with open_chromium() as browser:
        yield browser


@contextmanager
def open_jupyterlab(folder):
    """A real JupyterLab serving `folder`; its settings live there too, not in the user's home."""
    folder = Path(folder)
    hidden = folder / ".jupyter"
    hidden.mkdir()
    (hidden / "overrides.json").write_text(json.dumps(QUIET))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(hidden / "server.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *_lab_flags(folder, hidden, port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "JUPYTER_RUNTIME_DIR": str(hidden),
                "JUPYTER_CONFIG_DIR": str(hidden),
            },
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for_server(url, server, hidden / "server.log")
        yield SimpleNamespace(url=url, folder=folder, process=server)
    finally:
        server.terminate()  # the server shuts its kernels down
        server.wait(20)


def _lab_flags(folder, hidden, port):
    return [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.app_settings_dir={hidden}",
        f"--LabApp.user_settings_dir={hidden}",
        f"--LabApp.workspaces_dir={hidden}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ]


def _wait_for_server(url, server, log, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api?token={TOKEN}", timeout=2)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory):
    """A JupyterLab for the module: .url, .folder (put notebooks there), .process."""
    with open_jupyterlab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def write_notebook(path, *cells):
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path


def execute(path):
    """Run a notebook in place with papermill, in its own process; widgets' state is saved."""
    command = [sys.executable, "-m", "papermill", str(path), str(path), "--cwd", str(path.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def open_notebook(page, lab, name, timeout=60_000):
    """Open a notebook in JupyterLab and wait for its kernel."""
    page.goto(f"{lab.url}/lab/tree/{name}?reset&token={TOKEN}")
    page.wait_for_function(KERNEL_IDLE, timeout=timeout)


def run_all(page):
    """Start all cells; returns at once (wait for what the cells show)."""
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")


def pixels(locator):
    """Screenshot of an element as an int array (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def requests_of(page):
    """A list that fills with every address the page asks for, from now on."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    return asked
