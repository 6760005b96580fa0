"""A reading for other programs: every event as JSON, and scores in the format of iMRMC."""

import json
import re

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path
from camreader.session.log import ReadingLog


def write_events(source, path, study=None):
    """Every event of the log as JSON: answers, corrections, pauses, windows and opacities."""
    events = ReadingLog(source, study, readonly=True).events()
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(events, indent=1) + "\n")


def write_imrmc(frame, path):
    """Tidy rows in iMRMC's format (FDA's reader-study software): truths, then scores.

    DataError where two readers' names differ only in signs that the format cannot hold.
    """
    truth = frame.groupby("case")["truth"].first()
    head = [
        f"N0:{(truth == 0).sum()}",
        f"N1:{(truth == 1).sum()}",
        f"NR:{frame['reader'].nunique()}",
        f"NM:{frame['modality'].nunique()}",
        "BEGIN DATA:",
    ]
    cases, readers = _fields(frame["case"]), _fields(frame["reader"])
    lines = [f"truth,{cases[case]},truth,{value}" for case, value in truth.items()]
    names = frame["reader"].map(readers), frame["case"].map(cases), frame["modality"]
    lines += [
        ",".join(cells) for cells in zip(*names, frame["score"].map("{:.12g}".format), strict=True)
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


def _fields(column):
    """{name: as .imrmc, which has no quoting, can hold it}; DataError where two would be one."""
    fields = {name: re.sub(r"[,\"\r\n]", "_", str(name)) for name in column.unique()}
    clash = [name for name in fields if list(fields.values()).count(fields[name]) > 1]
    if clash:
        words = "Names that would be the same in an .imrmc file; export a .csv"
        raise DataError(words, column=column.name, found=" and ".join(clash))
    return fields
