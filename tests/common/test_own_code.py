"""A function in somebody's file: found, or said in one sentence why not."""

import pytest

from camreader.common import own_code
from camreader.common.errors import DataError


def test_a_function_is_imported_once_and_may_import_what_lies_beside_it(tmp_path):
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    (tmp_path / "mine.py").write_text("from beside import VALUE\ndef give():\n    return VALUE\n")
    give = own_code.function_of(f"{tmp_path}/mine.py:give")
    assert give() == 7 and own_code.function_of(f"{tmp_path}/mine.py:give") is give
    (tmp_path / "mine.py").write_text("def give():\n    return 8\n")
    assert own_code.function_of(f"{tmp_path}/mine.py:give")() == 8


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        ("def f(): pass", "mine.py", "Not a function in a file"),
        ("def f(): pass", "mine.txt:f", "Not a function in a file"),
        ("def f(): pass", "other.py:f", "No such file"),
        ("def f(): pass", "mine.py:g", "No such function.*found: g; expected: f"),
        ("f = 3", "mine.py:f", "No such function"),
        ("1 / 0", "mine.py:f", "Importing it fails: ZeroDivisionError"),
        ("import nowhere_at_all", "mine.py:f", "Importing it fails: ModuleNotFoundError"),
        ("raise SystemExit(3)", "mine.py:f", "Importing it fails: SystemExit: 3"),
        ("def f(:", "mine.py:f", "Importing it fails: SyntaxError"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, code, text, words):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(DataError, match=words) as error:
        own_code.function_of(f"{tmp_path}/{text}")
    assert "\n" not in str(error.value)
