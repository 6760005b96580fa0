"""The keeper: truth, CNN answer and heat-map in sealed envelopes, opened only after the lock.

A reading session must not hold what the reader may not know yet. Each case therefore lies in an
envelope on disk, and a process of its own, the keeper, opens one when the log holds the reader's
locked unaided answer to that very case; it writes `revealed` into the log before it hands
anything over. The truth leaves the keeper for training cases only.

An envelope keeps a secret from an accidental look (a file browser, a search, a curious cell), not
from somebody who has the key: run the keeper under another account (CAMREADER_KEEPER, for example
"sudo -u study") where readers have a login on the machine that holds the key.
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
from pathlib import Path

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path
from camreader.session.log import LogError, ReadingLog, Refused
from camreader.session.progress import Design, enrolled, position

KEY_FILE, NONCE, TAG = "keeper.key", 16, 32


def new_key(folder):
    """Make (or read) the study's key, 32 random bytes readable by its owner alone."""
    path = Path(folder) / KEY_FILE
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def read_key(folder):
    """The study's key; DataError, in words, where it is missing or not ours to read."""
    path = Path(folder) / KEY_FILE
    try:
        return path.read_bytes()
    except OSError as error:
        words = f"The key to the sealed truth cannot be read: {error.strerror}"
        raise DataError(words, file=path) from None


def seal(content, key):
    """Bytes that say nothing without `key`: nonce, content XOR SHAKE-256 stream, HMAC tag."""
    nonce = secrets.token_bytes(NONCE)
    body = nonce + _mix(content, key, nonce)
    return body + hmac.digest(key, body, "sha256")


def unseal(sealed, key):
    """The content of an envelope; DataError if it was changed or the key is another's."""
    body, tag = sealed[:-TAG], sealed[-TAG:]
    if not hmac.compare_digest(hmac.digest(key, body, "sha256"), tag):
        raise DataError("Sealed envelope was changed, or its key belongs to another study")
    return _mix(body[NONCE:], key, body[:NONCE])


def _mix(content, key, nonce):
    stream = hashlib.shake_256(key + nonce).digest(len(content))
    mixed = int.from_bytes(content, "big") ^ int.from_bytes(stream, "big")
    return mixed.to_bytes(len(content), "big")


def write_envelopes(folder, contents):
    """Seal {case: JSON-able dict} into <folder>/sealed, all envelopes of one length."""
    key = new_key(folder)
    texts = {case: json.dumps(content).encode() for case, content in contents.items()}
    longest = max((len(text) for text in texts.values()), default=0)
    for case, text in texts.items():
        with atomic_path(Path(folder) / "sealed" / case) as temporary:
            temporary.write_bytes(seal(text.ljust(longest), key))  # a length would tell, too


def open_envelope(folder, case, key):
    """One case's content, a dict."""
    path = Path(folder) / "sealed" / case
    try:
        return json.loads(unseal(path.read_bytes(), key))
    except OSError as error:
        raise DataError(f"Envelope cannot be read: {error.strerror}", file=path) from None


def open_all(folder):
    """{case: content} of a whole study, for its analysis; never call it in a reading session."""
    key = read_key(folder)
    return {
        path.name: open_envelope(folder, path.name, key)
        for path in sorted((Path(folder) / "sealed").iterdir())
        if not path.name.startswith(".")
    }


def release(design, log, reader, case):
    """What a reader may see of `case` now, a dict; Refused while the answer is not locked."""
    slots = {name: slot for slot, name in enrolled(log).items()}
    if reader not in slots:
        raise Refused("This reader is not part of the study")
    steps = design.steps(slots[reader])
    here = position(steps, log.events(reader=reader), design.card.get("washout_days", 0))
    if here.stage != "aided" or here.step.case != case:
        raise Refused("The network's answer stays sealed until the unaided answer is locked")
    content = open_envelope(design.folder, case, read_key(design.folder))
    training = here.step.phase == "training"
    names = ("cnn_prediction", "cnn_probability", "map", "shape")
    shown = {name: content[name] for name in names}
    noted = {name: content[name] for name in names[:2]}
    log.append("revealed", reader, case, "training" if training else "aided", noted)
    return shown | ({"truth": content["truth"]} if training else {})


def serve(folder, database, session, requests=sys.stdin, replies=sys.stdout):
    """Answer one JSON request {"reader", "case"} a line until the session closes the pipe."""
    design = Design.load(folder)
    log = ReadingLog(database, design.study, model=design.card["model"], session=session)
    for line in requests:
        try:
            wanted = json.loads(line)
            reply = {"shown": release(design, log, wanted["reader"], wanted["case"])}
        except Refused as error:
            reply = {"refused": str(error)}
        except (LogError, DataError, ValueError, KeyError) as error:
            reply = {"failed": str(error)}
        print(json.dumps(reply), file=replies, flush=True)


class Keeper:
    """The session's end of the pipe to the keeper; starts it, and again if it has died."""

    def __init__(self, folder, database, session):
        self.arguments = [str(folder), str(database), session]
        self.process = None
        self._start()

    def _start(self):
        prefix = shlex.split(os.environ.get("CAMREADER_KEEPER", ""))
        command = [*prefix, sys.executable, "-m", "camreader.session.sealed", *self.arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        # A session of its own: an interrupted kernel must not take its keeper along.
        self.process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)

    def reveal(self, reader, case):
        """The dict of `release`; Refused before the lock, LogError if the keeper cannot answer."""
        for _ in range(2):
            try:
                print(json.dumps({"reader": reader, "case": case}), file=self.process.stdin)
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            except (OSError, ValueError):
                line = ""
            if line:
                return _shown(json.loads(line))
            self.close()
            self._start()
        raise LogError("The sealed answer cannot be opened: the keeper does not start")

    def close(self):
        """End the keeper."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # its other end is gone: as wanted
                pipe.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _shown(reply):
    if "refused" in reply:
        raise Refused(reply["refused"])
    if "failed" in reply:
        raise LogError(reply["failed"])
    return reply["shown"]


def pack_map(heat):
    """A heat-map (h, w) of 0..1 as base64 of bytes; not compressed, as the size would tell."""
    steps = (heat * 255).round().astype("uint8")
    return {"map": base64.b64encode(steps.tobytes()).decode(), "shape": list(steps.shape)}


def unpack_map(content):
    """Bytes of a released map and its (h, w)."""
    return base64.b64decode(content["map"]), tuple(content["shape"])


if __name__ == "__main__":
    try:
        serve(*sys.argv[1:4])
    except BrokenPipeError:  # the session was killed while it asked
        os._exit(0)
