"""A session's kernel for tests: the real code, driven by messages as the page sends them."""

import os
import time

from camreader.session import widget as session_module
from camreader.session.log import ReadingLog
from camreader.session.sealed import release
from camreader.session.widget import ReadingSession


class KeeperHere:
    """The keeper without its own process, which takes a second to start."""

    def __init__(self, folder, database, session):
        from camreader.session.progress import Design

        self.design = Design.load(folder)
        self.log = ReadingLog(database, self.design.study, session=session)

    def reveal(self, reader, case):
        return release(self.design, self.log, reader, case)

    def close(self):
        self.log.close()


class Page:
    """Stands where the browser does: sends as the page sends, hears what the kernel says."""

    def __init__(self, folder, name="Ann", **options):
        self.session, self.heard, self.sent = ReadingSession(folder, **options), [], 0
        self.session.send = lambda message, *_: self.heard.append(message)
        self.begun = self.say(type="begin", name=name) if name else None

    def say(self, **message):
        self.sent += 1
        self.session._on_message(self.session, {"id": f"{id(self)}-{self.sent}", **message}, [])
        return self.heard[-1]

    def event(self, kind, payload, case=None, **more):
        return self.say(type="event", kind=kind, case=case or self.case, payload=payload, **more)

    @property
    def state(self):
        return self.session.state

    @property
    def case(self):
        return self.state["case"]


def run(folder, pipe, own_keeper=False):
    """A kernel's life: answer each message with (reply, where the session stands) until killed."""
    if not own_keeper:
        session_module.Keeper = KeeperHere
    page = Page(folder, None)
    while True:
        try:
            message = pipe.recv()
        except EOFError:
            os._exit(0)
        start = time.monotonic()
        reply = page.say(**message)
        pipe.send((reply, page.state, time.monotonic() - start))
