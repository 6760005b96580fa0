"""Sealed envelopes: truth, network's answer and heat-map, opened only after the lock.

A reading session must not hold what the reader may not know yet. Each case has an envelope with
its facts and one for each stage that shows something, encrypted on disk (Fernet: AES-128-CBC with
an HMAC) and all of one length. A process of its own, the keeper, opens a stage's once the log
holds this reader's answers to every earlier stage of that very case; it writes `revealed` into
the log before it hands anything over. The truth leaves the keeper for training cases only.

An envelope guards against an accidental look (a file browser, a search, a curious cell), not
against somebody who has the key: run the keeper under another account (CAMREADER_KEEPER, for
example "sudo -u study") where readers have a login on the machine that holds the key.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from cryptography.fernet import Fernet, InvalidToken

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path
from camreader.session.log import LogError, ReadingLog, Refused
from camreader.session.progress import Design, enrolled, log_phase, position

KEY_FILE = "keeper.key"
ITEMS = {  # what a stage shows: fields of its envelope
    "answer": ("cnn_prediction",),
    "probability": ("cnn_probability",),
    "map": ("map", "shape"),
    "text": ("text",),
}


def new_key(folder: str | Path) -> bytes:
    """Make (or read) the study's key, 32 random bytes readable by its owner alone."""
    path = Path(folder) / KEY_FILE
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def read_key(folder: str | Path) -> bytes:
    """The study's key; DataError, in words, where it is missing or not ours to read."""
    path = Path(folder) / KEY_FILE
    try:
        return path.read_bytes()
    except OSError as error:
        words = f"The key to the sealed truth cannot be read: {error.strerror}"
        raise DataError(words, file=path) from None


def seal(content: bytes, key: bytes) -> bytes:
    """A Fernet token of `content`; key: 32 bytes."""
    return _fernet(key).encrypt(content)


def unseal(sealed: bytes, key: bytes) -> bytes:
    """The content of an envelope; DataError if it was changed or the key is another's."""
    try:
        return _fernet(key).decrypt(sealed)
    except (InvalidToken, ValueError):
        return _unseal_first_format(sealed, key)


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))


def _unseal_first_format(sealed: bytes, key: bytes) -> bytes:
    """Envelopes of earlier versions, for readings under way: nonce, XOR with SHAKE-256, HMAC."""
    nonce, content, tag = sealed[:16], sealed[16:-32], sealed[-32:]
    if not hmac.compare_digest(hmac.digest(key, sealed[:-32], "sha256"), tag):
        raise DataError("Sealed envelope was altered, or its key belongs to another study")
    stream = hashlib.shake_256(key + nonce).digest(len(content))
    return bytes(a ^ b for a, b in zip(content, stream, strict=True))


def write_envelopes(folder: str | Path, contents: Mapping[str, dict]) -> None:
    """Seal {case: JSON-able dict} into <folder>/sealed, all envelopes of one length."""
    key = new_key(folder)
    texts = {case: json.dumps(content).encode() for case, content in contents.items()}
    longest = max((len(text) for text in texts.values()), default=0)
    for case, text in texts.items():
        with atomic_path(Path(folder) / "sealed" / case) as temporary:
            temporary.write_bytes(seal(text.ljust(longest), key))  # a length would tell, too


def open_envelope(folder: str | Path, case: str, key: bytes) -> dict:
    """One case's content, a dict."""
    path = Path(folder) / "sealed" / case
    try:
        return json.loads(unseal(path.read_bytes(), key))
    except OSError as error:
        raise DataError(f"Envelope cannot be read: {error.strerror}", file=path) from None


def open_all(folder: str | Path) -> dict[str, dict]:
    """{case: facts} of a whole study, for its analysis; never call it in a reading session."""
    key = read_key(folder)
    return {
        path.name: open_envelope(folder, path.name, key)
        for path in sorted((Path(folder) / "sealed").iterdir())
        if "." not in path.name
    }


def release(design: Design, log: ReadingLog, reader: str, case: str) -> dict:
    """What a reader may see of `case` now, a dict; Refused while the answer is not locked."""
    slots = {name: slot for slot, name in enrolled(log).items()}
    if reader not in slots:
        raise Refused("This reader is not part of the study")
    steps = design.steps(slots[reader])
    here = position(steps, log.events(reader=reader), design.card.get("washout_days", 0))
    stage = design.paradigm.stages.get(here.stage)
    if here.step is None or here.step.case != case or stage is None or not stage.shows:
        raise Refused("The network's answer stays sealed until the earlier answers are locked")
    key = read_key(design.folder)
    names = [name for shown in stage.shows for name in ITEMS[shown]]
    content = open_envelope(design.folder, stage_envelope(design, case, stage.name), key)
    shown = {name: content[name] for name in names if name in content}
    noted = {name: value for name, value in shown.items() if name not in ITEMS["map"]}
    log.append("revealed", reader, case, log_phase(here.step, here.stage), noted)
    last = here.step.phase == "training" and here.stage == here.step.stages[-1]
    return shown | (_truth(open_envelope(design.folder, case, key)) if last else {})


def _truth(content: dict) -> dict:
    """What a practice case was, told with its last stage; lesions where their place is known."""
    names = ("truth", "cnn_prediction", "lesions")
    return {name: content[name] for name in names if name in content}


def stage_envelope(design: Design, case: str, stage: str) -> str:
    """Name of the envelope with what `stage` shows of a case; in the first format all is in one."""
    return case if "paradigm" not in design.card else f"{case}.{stage}"


def serve(
    folder: str | Path,
    database: str,
    session: str,
    requests: IO[str] = sys.stdin,
    replies: IO[str] = sys.stdout,
) -> None:
    """Answer one JSON request {"reader", "case"} a line until the session closes the pipe."""
    design = Design.load(folder)
    log = ReadingLog(database, design.study, model=design.card["model"], session=session)
    for line in requests:
        reply: dict[str, Any]
        try:
            wanted = json.loads(line)
            reply = {"shown": release(design, log, wanted["reader"], wanted["case"])}
        except Refused as error:
            reply = {"refused": str(error)}
        except (LogError, DataError, ValueError, KeyError) as error:
            reply = {"failed": str(error)}
        print(json.dumps(reply), file=replies, flush=True)


class Keeper:
    """The session's end of the pipe to the keeper; starts it, and restarts it if it has died."""

    def __init__(self, folder: str | Path, database: str | Path, session: str) -> None:
        self.arguments = [str(folder), str(database), session]
        self.process = self._start()

    def _start(self) -> subprocess.Popen:
        prefix = shlex.split(os.environ.get("CAMREADER_KEEPER", ""))
        command = [*prefix, sys.executable, "-m", "camreader.session.sealed", *self.arguments]
        pipe = subprocess.PIPE
        # A session of its own: an interrupted kernel must not take its keeper along.
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)

    def reveal(self, reader: str, case: str) -> dict:
        """The dict of `release`; Refused before the lock, LogError if the keeper cannot answer."""
        for _ in range(2):
            try:
                asked = json.dumps({"reader": reader, "case": case})
                print(asked, file=self.process.stdin, flush=True)
                line = self.process.stdout.readline() if self.process.stdout else ""
            except (OSError, ValueError):
                line = ""
            if line:
                return _shown(json.loads(line))
            self.close()
            self.process = self._start()
        raise LogError("The sealed answer cannot be opened: the keeper does not start")

    def close(self) -> None:
        """End the keeper."""
        for pipe in filter(None, (self.process.stdin, self.process.stdout)):
            with contextlib.suppress(OSError):  # its other end is gone: as wanted
                pipe.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _shown(reply: dict) -> dict:
    if "refused" in reply:
        raise Refused(reply["refused"])
    if "failed" in reply:
        raise LogError(reply["failed"])
    return reply["shown"]


def pack_map(heat: np.ndarray) -> dict[str, Any]:
    """A heat-map (h, w) of 0..1 as base64 of bytes; not compressed, as the size would tell."""
    steps = (heat * 255).round().astype("uint8")
    return {"map": base64.b64encode(steps.tobytes()).decode(), "shape": list(steps.shape)}


def unpack_map(content: Mapping[str, Any]) -> tuple[bytes, tuple[int, int]]:
    """Bytes of a released map and its (h, w)."""
    return base64.b64decode(content["map"]), tuple(content["shape"])


if __name__ == "__main__":
    try:
        serve(sys.argv[1], sys.argv[2], sys.argv[3])
    except BrokenPipeError:  # the session was killed while it asked
        os._exit(0)
