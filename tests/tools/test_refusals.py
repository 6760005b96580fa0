"""docs/refusals.md is the code's own list, and every refusal says what to do."""

import ast

import refusals

MODULE = """
def check(value, words, file):
    def _no(bad, words, expected=None):
        if bad:
            raise DataError(words, file=file, expected=expected)
    if not value:
        raise DataError(f"No value in {file}", expected="a value" if words else "two values")
    _no(value > 2, "Too large", expected=f"at most {limit}")
    why = "it is small" if value else "it is odd"
    return Refusal("The sum", why, "more rows")
"""


def test_the_page_is_what_the_code_says():
    """Run `make refusals` after changing a refusal."""
    assert refusals.PAGE.read_text(encoding="utf-8") == refusals.page(refusals.entries())


def test_every_refusal_says_what_to_do():
    bare = [f"{e.room}.{e.module}: {e.words}" for e in refusals.entries() if e.says and not e.todo]
    assert not bare, "add `expected=`, or a line to common.advice"


def test_refusals_are_found_however_they_are_made(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "sample.py").write_text(MODULE)
    found = {(e.words, e.why, e.todo) for e in refusals.entries(tmp_path) if e.says}
    assert found == {
        ("No value in …", "", "expected: a value, or two values"),
        ("Too large", "", "expected: at most …"),
        ("The sum", "it is small / it is odd", "expected: more rows"),
    }


def test_no_refusal_of_the_code_escapes_the_list():
    """Counted by another way: as many calls as the words of their names are found in the files."""
    calls = 0
    for path in refusals.CODE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        raised = [n.exc for n in ast.walk(tree) if isinstance(n, ast.Raise)]
        calls += sum(getattr(getattr(e, "func", None), "id", "") == "DataError" for e in raised)
    assert calls > 250 and len(refusals.entries()) >= calls
