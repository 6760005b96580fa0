"""What a reader may answer, checked field by field; an answer as one number for ROC analysis."""

import math

from camreader.session.log import Refused

DIAGNOSES = ("tumor", "no tumor", "other")
CODES = {"tumor": "1", "no tumor": "0", "other": "other"}  # as tables write a diagnosis
CONFIDENCES = (1, 2, 3, 4, 5)
HELPFULNESS = ("yes", "some", "no")
MODALITIES = {"locked": "unaided", "revised": "aided"}  # what an answer was given with
ANSWERS = {modality: kind for kind, modality in MODALITIES.items()}  # and the event that holds it
HISTORY = ("window_centre", "window_width", "opacity", "threshold", "show_heat")
LONGEST_COMMENT, LONGEST_HISTORY = 2000, 5000
# Wide: a page may stay open over the holidays, and a reader may type any level; no answer is
# refused for that.
YEAR_MS, WIDEST = 366 * 86_400_000, 1e15


def check_answer(kind, payload):
    """The payload of an answer, checked field by field; Refused in words if it is not one."""
    wanted = {"diagnosis": DIAGNOSES, "confidence": CONFIDENCES}
    if kind == "revised":
        wanted["helpfulness"] = HELPFULNESS
    for name, allowed in wanted.items():
        value = payload.get(name)
        if isinstance(value, bool) or value not in allowed:
            choices = ", ".join(str(choice) for choice in allowed)
            raise Refused(f"The answer needs its {name}: one of {choices}")
    known = {*wanted, "comment", "milliseconds", "window", "history", "target"}
    if set(payload) - known:
        raise Refused(f"The answer holds unknown fields: {sorted(set(payload) - known)}")
    check_text(payload.get("comment", ""))
    _check_number("milliseconds", payload.get("milliseconds", 0), 0, YEAR_MS)
    for value in payload.get("window", ()):
        _check_number("window", value, -WIDEST, WIDEST)
    _check_history(payload.get("history", []))
    return payload


def check_text(comment):
    """Refused, in words, unless it is a text of a comment's length."""
    if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT:
        raise Refused(f"A comment is a text of at most {LONGEST_COMMENT} characters")


def _check_number(name, value, low, high):
    fit = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fit or not low <= value <= high:
        raise Refused(f"{name} must be a number between {low:g} and {high:g}")


def check_pause(payload):
    """{"reason": text, "idle_ms": number}, both optional; Refused, in words, for anything else."""
    if set(payload) - {"reason", "idle_ms"}:
        raise Refused("A pause has a reason and the milliseconds without a movement")
    check_text(payload.get("reason", ""))
    _check_number("idle_ms", payload.get("idle_ms", 0), 0, YEAR_MS)


def _check_history(history):
    """[[milliseconds, what, value], ...]: how window and opacity moved while the case was open."""
    if not isinstance(history, list) or len(history) > LONGEST_HISTORY:
        raise Refused(f"The history is a list of at most {LONGEST_HISTORY} entries")
    for entry in history:
        if not (isinstance(entry, list) and len(entry) == 3 and entry[1] in HISTORY):
            raise Refused("Each entry of the history is [milliseconds, what, value]")
        _check_number("history", entry[0], 0, YEAR_MS)
        value = float(entry[2]) if isinstance(entry[2], bool) else entry[2]
        _check_number(entry[1], value, -WIDEST, WIDEST)


def score(diagnosis, confidence):
    """An answer on one scale for ROC analysis, 1..10: sure of no tumor .. sure of tumor.

    "Other finding" says that what is seen is no tumor, and counts so.
    """
    return 5 + confidence if diagnosis == "tumor" else 6 - confidence
