"""Advice fits the refusals there are; the command line prints it."""

import re

from refusals import entries

from camreader.__main__ import main
from camreader.common import advice


def test_every_line_of_advice_is_for_some_refusal():
    said = [text for entry in entries() for text in (entry.words, entry.why)]
    unused = [how for how, _ in advice.ADVICE if not any(re.match(how, text) for text in said)]
    assert not unused


def test_the_command_line_prints_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--config", "gone.yaml"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("No such configuration file") and "What to do: check the path" in told
    assert advice.of("words that nobody wrote") == ""
