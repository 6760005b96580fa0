"""docs/refusals.md: every refusal of the package, why, and what to do, read from the code.

A refusal is where the code makes a DataError, a Refusal or one of their kin. Its words are read
from the call, the advice from what it says is `expected` or from `common.advice`. `make refusals`
writes the page anew; a test holds it against the code.
"""

import argparse
import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from camreader.common import advice
from camreader.common.storage import atomic_path

SHARED = {"refuse": ((2, "words"), (4, "expected"))}  # io.refuse, which several modules call
KINDS = ("DataError", "NotApplicable", "Refusal", "LogError", "Refused", "StudyError")
CODE = Path(advice.__file__).parents[1]
PAGE = Path(__file__).parents[1] / "docs" / "refusals.md"
ANY = "…"  # what only the run can say
ROOMS = {  # why each room refuses
    "common": "A file that is damaged, or that could be read in two ways, would give wrong numbers"
    " without a word.",
    "statistics": "A statistic outside what it was made for looks like any other number.",
    "phantom": "The phantom and its truth belong together.",
    "cohorts": "A slice read wrongly, labelled twice or left out changes every later number.",
    "training": "A network that does not fit its input or its weights still gives an answer.",
    "evaluation": "A group too small, or a split that leaks, shows an accuracy that is none.",
    "heatmaps": "A map of something else than was asked for looks like any map.",
    "viewer": "A page that cannot be read whole is not shown in part.",
    "published": "What is typed from the paper has to agree with itself.",
    "session": "A reading that leaks the answer, or joins another truth, cannot be repaired.",
    "reader_study": "Readings of other people, cases or designs must not be analysed as these.",
    "report": "A run that cannot end well is better not begun.",
}
HEAD = """# What is refused, and what to do

This page is made from the code (`make refusals`), so it is complete: every message with which
the workbook stops or leaves something out. Each names the file, and where there is one the row and
the column. “…” stands for what only the run knows. Nothing is changed in your files, and what was
finished before is kept: mend it and start the same command again.
"""


@dataclass(frozen=True, order=True)
class Entry:
    """One refusal: the room and module that make it, its words, why, and what to do."""

    room: str
    module: str
    words: str
    why: str
    todo: str

    @property
    def says(self) -> bool:
        """False where the run alone knows the words: then another entry has them."""
        return bool(self.words.strip(ANY + " :,()"))


def entries(code: Path = CODE) -> list[Entry]:
    """Every refusal of the package in the order of rooms, modules and words."""
    found = {entry for path in sorted(code.rglob("*.py")) for entry in _of_module(path, code)}
    order = list(ROOMS)
    return sorted(found, key=lambda e: (order.index(e.room), e.module, e.words, e.why, e.todo))


def _of_module(path: Path, code: Path) -> Iterator[Entry]:
    where = path.relative_to(code).with_suffix("").parts
    if len(where) < 2:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    handed = _handed_on(functions)
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        if (pair := _said(call, handed)) is None:
            continue
        first, expected = pair
        around = [f for f in functions if f.lineno <= call.lineno <= (f.end_lineno or 0)]
        asked = {name for function in around for name in _parameters(function)}
        if isinstance(first, ast.Name) and first.id in asked:
            continue  # its callers say the words
        scopes = [*reversed(around), tree]
        own = scopes[:-1] if getattr(expected, "id", "") in asked else scopes
        said = {"expected": _words(expected, own) if expected else ""}
        why = ""
        if _called(call) == "Refusal":
            given = _given(call)
            parts = [_words(argument, scopes) for argument in call.args]
            why = parts[1] if len(parts) > 1 else _words(given["why"], scopes)
            needed = _words(given["needed"], scopes) if "needed" in given else ""
            said["expected"] = parts[2] if len(parts) > 2 else needed
        for words in _words(first, scopes).split(" / ") if first else ():
            yield Entry(where[0], ".".join(where[1:]), words, why, _todo(words, why, said))


Place = tuple[int, str] | None  # of a parameter: its number and name


def _handed_on(functions: list[ast.FunctionDef]) -> dict[str, tuple[Place, Place]]:
    """{function: places of the words and of what is expected} that hand them to a refusal."""
    found: dict[str, tuple[Place, Place]] = dict(SHARED)
    for _ in range(3):  # one may hand them to another
        for function in functions:
            names = _parameters(function)
            for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
                others = {name: place for name, place in found.items() if name != function.name}
                if (pair := _said(call, others)) is None:
                    continue
                words, expected = (
                    (names.index(node.id), node.id)
                    if isinstance(node, ast.Name) and node.id in names
                    else None
                    for node in pair
                )
                if words:
                    found[function.name] = (words, expected)
    return found


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _given(call: ast.Call) -> dict[str | None, ast.expr]:
    return {k.arg: k.value for k in call.keywords}


def _said(
    call: ast.Call, handed: dict[str, tuple[Place, Place]]
) -> tuple[ast.expr | None, ast.expr | None] | None:
    """(words, what is expected) of a call that refuses, or hands them on; None for any other."""
    name = _called(call)
    if name in KINDS and call.args:
        return call.args[0], _given(call).get("expected")
    if name not in handed:
        return None
    words, expected = handed[name]
    return _argument(call, words), _argument(call, expected)


def _parameters(function: ast.FunctionDef) -> list[str]:
    """Names of a function's parameters, as they are counted in a call."""
    names = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def _argument(call: ast.Call, place: Place) -> ast.expr | None:
    """The argument of a call that goes to a parameter."""
    if place is None:
        return None
    number, name = place
    return _given(call).get(name) or (call.args[number] if number < len(call.args) else None)


def _todo(words: str, why: str, said: dict[str, str]) -> str:
    """What to do: what the call says is expected, and what is known of such words."""
    expected = said.get("expected", "").replace(" / ", ", or ")
    told = advice.of(words) or advice.of(why)
    parts = [f"expected: {expected}"] if expected.strip(ANY + " ") else []
    return "; ".join([*parts, told]) if told else "".join(parts)


def _words(node: ast.expr, scopes: list) -> str:
    """The text that an expression gives, with … for what is known at run time only."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(_words(part, scopes) for part in node.values)
        case ast.BinOp(op=ast.Add()):
            return _words(node.left, scopes) + _words(node.right, scopes)
        case ast.IfExp():
            both = (_words(node.body, scopes), _words(node.orelse, scopes))
            return " / ".join(dict.fromkeys(text for text in both if text)) or ANY
        case ast.BoolOp(op=ast.Or()):
            return _words(node.values[-1], scopes)
        case ast.Name() | ast.FormattedValue(value=ast.Name()):
            name = node.id if isinstance(node, ast.Name) else node.value.id  # type: ignore[attr-defined]
            formatted = isinstance(node, ast.FormattedValue)
            return ANY if formatted and not name.isupper() else _of_name(name, scopes)
    return ANY


def _of_name(name: str, scopes: list) -> str:
    """The text of a variable that is given once or in a few ways, in the nearest scope."""
    for scope in scopes:
        values = [
            n.value
            for n in ast.walk(scope)
            if isinstance(n, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == name for t in n.targets)
        ]
        if values:
            texts = dict.fromkeys(_words(value, scopes[1:]) for value in values)
            return " / ".join(t for t in texts if t.strip(ANY + " ")) or ANY
    return ANY


def page(found: list[Entry]) -> str:
    """The page as markdown: a table per room."""
    parts = [HEAD]
    for room, why in ROOMS.items():
        own = [entry for entry in found if entry.room == room and entry.says]
        if not own:
            continue
        parts.append(f"## {room}\n\n{why}\n\n| it says | made by | what to do |\n|---|---|---|")
        for entry in own:
            words = entry.words + (f": {entry.why}" if entry.why.strip(ANY + " ") else "")
            cells = (words, f"`{entry.module}`", entry.todo)
            parts[-1] += "\n| " + " | ".join(_cell(cell) for cell in cells) + " |"
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", default=str(PAGE), help="file to write")
    target = parser.parse_args().target
    with atomic_path(target) as temporary:
        temporary.write_text(page(entries()), encoding="utf-8")
    print(target)
