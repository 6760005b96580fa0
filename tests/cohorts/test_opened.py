"""Files are parsed once while they are asked for, and again when they changed."""

import os

import pytest

from camreader.cohorts.opened import Opened
from camreader.common.errors import DataError


@pytest.fixture()
def opened():
    parsed = []

    def parse(path):
        parsed.append(path.name)
        return path.read_text()

    return Opened("Volume", parse, most=2), parsed


def test_the_last_two_are_kept_and_a_changed_file_is_parsed_again(opened, tmp_path):
    files, parsed = opened
    for name in "abc":
        (tmp_path / name).write_text(name)
    for name in "abab":
        assert files.get(tmp_path / name) == name
    assert parsed == ["a", "b"]
    files.get(tmp_path / "c")
    files.get(tmp_path / "a")  # dropped, so parsed anew
    assert parsed == ["a", "b", "c", "a"]
    (tmp_path / "a").write_text("other")
    os.utime(tmp_path / "a", ns=(1, 1))
    assert files.get(tmp_path / "a") == "other"


def test_a_file_that_is_gone_is_named(opened, tmp_path):
    with pytest.raises(DataError, match="Volume cannot be read") as raised:
        opened[0].get(tmp_path / "none")
    assert raised.value.places["file"] == tmp_path / "none"
