"""The command line: every command explains itself, and bad input ends in words."""

import subprocess
import sys

import pytest
from places import ROOT

from camreader.__main__ import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert " ".join(COMMANDS[command][1].split())[1:] in said


def test_the_overview_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out.split()
    assert set(COMMANDS) <= set(said)


def test_bad_input_ends_in_words_without_a_traceback(capsys):
    assert main(["report", "--data", "no/such/folder"]) == 1
    assert capsys.readouterr().err.startswith("No such folder (file: no/such/folder")


def test_an_unknown_command_is_answered_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["raed"])
    assert ended.value.code == 2 and "read" in capsys.readouterr().err


def test_the_module_runs_as_the_installed_program_does():
    done = subprocess.run(
        [sys.executable, "-m", "camreader", "--version"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and done.stdout.startswith("camreader ")
