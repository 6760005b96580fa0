"""The admin page of a served reading: who is how far, pause a reader, export the log.

It never shows an answer or a truth while anybody may still read: until the study is closed, the log
is exported without what the events say. Closing is final, and ends every link.
Tested in tests/browser/test_room.py (and test_walk.py).
"""

import asyncio
import html
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tornado.web import HTTPError

from camreader.common.errors import StudyError
from camreader.session import tidy
from camreader.session.database import log_address
from camreader.session.door import PAGE, Guarded
from camreader.session.links import ADMIN
from camreader.session.log import ReadingLog

BARE = (  # of an event, what tells nothing of an answer
    "sequence", "utc", "monotonic_ms", "reader", "session", "case_id", "phase", "kind", "simulated",
)  # fmt: skip
COLUMNS = ("Reader", "Link", "Page", "Done", "Now at", "Last event (UTC)", "")
BUTTONS = {"pause": "Pause", "resume": "Let go on", "revoke": "End the link"}


class Admin(Guarded):
    """A handler for whoever has the admin link."""

    of_admin = True

    def enter(self) -> None:
        """Readers are told what strangers are told."""
        if self.who != ADMIN:
            raise HTTPError(403, "Open the admin link: this address alone shows nothing.")

    @property
    def database(self) -> str:
        """Address of the log, "" for the design's own."""
        return self.room.seats.options.get("database", "")


class AdminPage(Admin):
    """One row per reader."""

    async def get(self) -> None:
        """The page; it comes anew every half minute."""
        head = '<meta http-equiv="refresh" content="30">'
        told = await asyncio.get_running_loop().run_in_executor(None, rows, self)
        body = _body(self, told)
        self.finish(PAGE.format(title="Reading room", base=self.room.base, head=head, body=body))


def rows(handler: Admin) -> list[dict[str, Any]]:
    """{"reader", "link", "page", "done", "steps", "stage", "last"} of everyone with a link or a
    place; how far they are, and nothing of what they said."""
    links, seats = handler.room.links, handler.room.seats
    assert links is not None  # an admin link is one of them
    told = tidy.progress(handler.room.design, handler.database)
    far = {row["reader"].casefold(): row for row in told.to_dict("records")}
    names = {name.casefold(): name for name in (*told["reader"], *links.readers)}
    found = []
    for key, name in names.items():
        row, account = far.get(key, {}), seats.accounts.get(name)
        done = {"done": row.get("answered", 0), "steps": row.get("steps")}
        where = {"stage": row.get("stage", "not begun"), "last": row.get("last_utc", "–")}
        link = (links.why_not(name) or "valid") if name in links.readers else "none"
        page = ("open" if account.open else f"left {_ago(account.seen)}") if account else "–"
        found.append({"reader": name, "link": link, "page": page} | done | where)
    return found


def _ago(moment: float) -> str:
    minutes = round((time.time() - moment) / 60)
    return "just now" if minutes < 1 else f"{minutes} min ago"


def _body(handler: Admin, told: list[dict[str, Any]]) -> str:
    links, say = handler.room.links, html.escape
    assert links is not None
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    lines = "".join(f"<tr>{_row(row, bool(links.closed))}</tr>" for row in told)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    if links.closed:
        end = (
            f"<p>Closed {say(links.closed)}. <a href='admin/answers.csv'>Answers with the "
            "truth</a> (CSV) · <a href='admin/events.json'>every event</a> (JSON)</p>"
        )
    else:
        left = sum(row["stage"] != "finished" for row in told)
        end = (
            "<form method='post' action='admin/close'><h3>The end of the study</h3>"
            f"<p>{left} of {len(told)} have not finished. Answers and truth can be seen once the "
            "study is closed; nobody reads or corrects after that.</p><label><input "
            "type='checkbox' name='sure' required> Close it for good</label> "
            "<button>Close the study</button></form>"
        )
    title = say(str(handler.room.design.card["title"]))
    log = "<p><a href='admin/log.json'>The log so far</a> (JSON: who did what when, no answers)</p>"
    return f"<main class='cr-admin'><h2>Reading room</h2><p>{title}</p>{table}{log}{end}</main>"


def _row(row: dict[str, Any], closed: bool) -> str:
    acts = {"valid": ("pause", "revoke"), "paused": ("resume", "revoke")}.get(row["link"], ())
    name = html.escape(row["reader"], quote=True)
    forms = "".join(
        f"<form method='post' action='admin/{act}'><input type='hidden' name='reader' "
        f'value="{name}"><button>{BUTTONS[act]}</button></form>'
        for act in acts
        if not closed
    )
    done = f"{row['done']} of {row['steps']}" if row["steps"] else "–"
    cells = (row["reader"], row["link"], row["page"], done, row["stage"], row["last"])
    return "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + f"<td>{forms}</td>"


class AdminAct(Admin):
    """Pause, resume, end a link; close the study."""

    async def post(self, act: str) -> None:
        """Do it, end the sessions that it ends, and show the page again."""
        links, reader = self.room.links, self.get_body_argument("reader", "")
        assert links is not None
        if act == "close" and self.get_body_argument("sure", ""):
            links.close()
        elif act == "revoke":
            links.revoke(reader)
        elif act in ("pause", "resume"):
            links.set(reader, paused=act == "pause")
        await self.room.seats.look_after()
        self.redirect("../admin", status=303)


class AdminFile(Admin):
    """The log; once the study is closed, answers with their truth as well."""

    def get(self, name: str) -> None:
        """Send a file."""
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        if name == "log.json":
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(bare_events(self), indent=1))
            return
        links = self.room.links
        if links is None or not links.closed:
            raise HTTPError(403, "Answers can be seen once the study is closed.")
        design = self.room.design
        address = log_address(design.folder, self.database)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            try:
                if path.suffix == ".json":
                    tidy.write_events(address, path, design.study)
                else:
                    tidy.write_tidy(tidy.load_tidy(address, design.folder), path)
            except StudyError as error:
                raise HTTPError(409, str(error)) from error
            self.finish(path.read_bytes())


def bare_events(handler: Admin) -> list[dict[str, Any]]:
    """Every event of the log, without what it says."""
    design = handler.room.design
    log = ReadingLog(log_address(design.folder, handler.database), design.study, readonly=True)
    try:
        return [{name: event[name] for name in BARE} for event in log.events()]
    finally:
        log.close()
