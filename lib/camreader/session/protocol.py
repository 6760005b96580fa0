"""The sealed protocol: what the readings will be asked, written before the first answer.

`protocol.json` stands beside design.json: the design, the primary endpoint, the contrast, the
margin and the analysis, with a date and a digest that the report quotes. From the first answer on
nothing that readers meet can be changed; a change of the margin or of the contrast can be forced,
and is then part of the protocol's history. `ro-crate-metadata.json` describes both files for a
deposit (RO-Crate 1.1).
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from camreader.common.crate import file_entity, write_crate
from camreader.common.errors import DataError
from camreader.common.storage import digest, read_json, write_json
from camreader.session.marks import MODES, rule_in_words

FILE = "protocol.json"
ENDPOINT = "area under the ROC curve of the score ({score})"
ANALYSIS = (
    "Obuchowski-Rockette with Hillis's degrees of freedom, jackknife covariances, readers and "
    "cases random, patients as units where cases of one repeat; every other pair of stages is "
    "secondary, with Holm's adjustment"
)


def content(card: Mapping[str, Any]) -> dict[str, Any]:
    """What is sealed of a design.json: all that readers meet, and how it will be analysed."""
    paradigm, plan = card["paradigm"], card["plan"]
    first, second = paradigm["contrast"]
    score = plan.get("score_question") or "diagnosis and confidence"
    marks = {}
    if plan.get("marks"):
        accepted = rule_in_words(plan["marks_within_mm"])
        marks = {"marks": f"{MODES[plan['marks']]}; accepted {accepted}"}
    return marks | {
        "study": card["study"],
        "title": card["title"],
        "network": card["model"],
        "design": paradigm,
        "plan": {name: value for name, value in plan.items() if name != "margin"},
        "questions": card["questions"],
        "profile": card.get("profile", []),
        "cases and orders": digest(json.dumps([card["cases"], card["orders"]], sort_keys=True)),
        "primary endpoint": ENDPOINT.format(score=score),
        "primary contrast": f"{first} minus {second}",
        "margin": plan["margin"],
        "analysis": ANALYSIS,
    }


def digest_of(sealed: Mapping[str, Any]) -> str:
    """The digest of a protocol's content, hexadecimal."""
    return digest(json.dumps(sealed, sort_keys=True))


def write(folder: str | Path, card: Mapping[str, Any]) -> None:
    """Write the protocol of a design that nobody has read yet, and its crate."""
    sealed = content(card)
    found = {"written": _now(), "digest": digest_of(sealed), "protocol": sealed, "changes": []}
    write_json(found, Path(folder) / FILE)
    _write_crate(Path(folder), found)


def amend(folder: str | Path, card: Mapping[str, Any], words: str) -> None:
    """Record a change that was forced after the first answer: when, what, and both digests."""
    found, sealed = load(folder), content(card)
    entry = {"when": _now(), "what": words, "before": found["digest"], "after": digest_of(sealed)}
    found |= {"digest": digest_of(sealed), "protocol": sealed}
    found["changes"] = [*found["changes"], entry]
    write_json(found, Path(folder) / FILE)
    _write_crate(Path(folder), found)


def load(folder: str | Path) -> dict[str, Any]:
    """The protocol in `folder`; DataError where there is none, or where it was edited by hand."""
    path = Path(folder) / FILE
    if not path.exists():
        raise DataError("This reading has no sealed protocol: it was set up before there was one")
    found = read_json(path)
    if digest_of(found["protocol"]) != found["digest"]:
        words = "The sealed protocol was edited: its digest does not fit"
        raise DataError(
            words, file=path, found=digest_of(found["protocol"]), expected=found["digest"]
        )
    return found


def changes(folder: str | Path) -> list[str]:
    """Every change since the protocol was sealed, in words; also that it was edited by hand."""
    if not (Path(folder) / FILE).exists():
        return []
    try:
        found = load(folder)
    except DataError as error:
        return [str(error)]
    return [f"{entry['when']}: {entry['what']}" for entry in found["changes"]]


def quoted(folder: str | Path) -> str:
    """Date and digest, as a report quotes them; empty where nothing was sealed."""
    if not (Path(folder) / FILE).exists():
        return ""
    found = read_json(Path(folder) / FILE)
    return f"protocol sealed {found['written']}, digest {found['digest'][:16]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_crate(folder: Path, found: Mapping[str, Any]) -> None:
    names = {FILE: "The protocol, sealed before the first answer", "design.json": "The design"}
    root = {
        "name": f"Reader study: {found['protocol']['title']}",
        "description": f"{found['protocol']['primary contrast']}; digest {found['digest']}",
        "datePublished": found["written"],
    }
    write_crate(folder, root, [file_entity(folder, *item) for item in names.items()])
