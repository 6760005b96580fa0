"""One of several readers who answer at once, as a process of its own.

    python reading_writer.py ADDRESS STUDY READER COUNT

Says "ready", waits for a line, stores COUNT answers and prints the seconds of each as JSON.
"""

import json
import subprocess
import sys
import time

from camreader.session.log import ReadingLog


def write(address, study, reader, count):
    """Store `count` answers of `reader`, each with its renewed lease; the seconds of each."""
    log, seconds = ReadingLog(address, study), []
    log.claim(reader)
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(count):
        start = time.monotonic()
        log.append("locked", reader, f"C{n}", "unaided", {"n": n})
        log.claim(reader)
        seconds.append(time.monotonic() - start)
    return seconds


def write_at_once(address, study, readers, count):
    """[seconds of each answer] per reader; all begin together, each in its own process."""
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, __file__, str(address), study]
    writers = [subprocess.Popen([*command, name, str(count)], **pipe) for name in readers]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    return [json.loads(writer.communicate("go\n", timeout=60)[0]) for writer in writers]


if __name__ == "__main__":
    print(json.dumps(write(*sys.argv[1:4], int(sys.argv[4]))))
