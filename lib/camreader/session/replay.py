"""Readers who never lived, through the real log: every event says `simulated`.

For rehearsing a study before a radiologist spends an evening on it: invented answers travel the
same road, from the log to the figures of notebook 08, and can never pass as real ones.
"""

import pandas as pd

from camreader.session.questions import ANSWERS, CODES

EXTRA = ("truth", "cnn_prediction", "score")  # what a simulated event may say, a real one never
FIELDS = ("diagnosis", "confidence", "helpfulness", "milliseconds", *EXTRA)


def replay(frame, log):
    """Write tidy answers, row by row, into a log that marks its events as simulated.

    frame: DataFrame with the tidy columns of `readings` in the order of answering; cells that
    are missing stay missing, and seconds stand in for missing milliseconds.
    """
    if not log.simulated:
        raise ValueError("Simulated answers may only go into a log opened with simulated=True")
    for slot, reader in enumerate(frame["reader"].drop_duplicates(), start=1):
        log.append("enrolled", reader, payload={"slot": slot})
    for row in frame.astype(object).to_dict("records"):
        phase = row["modality"]
        log.append(ANSWERS[phase], row["reader"], str(row["case"]), phase, _payload(row))


def _payload(row):
    words = {code: diagnosis for diagnosis, code in CODES.items()}
    known = {name: _plain(row[name]) for name in FIELDS if not _missing(row.get(name))}
    if "milliseconds" not in known and not _missing(row.get("seconds")):
        known["milliseconds"] = round(1000 * float(row["seconds"]))
    if "diagnosis" in known:
        known["diagnosis"] = words.get(known["diagnosis"], known["diagnosis"])
    return known


def _missing(value):
    return value is None or value == "" or bool(pd.isna(value))


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
