"""`camreader new`: a whole study folder, or none, and never over somebody's files."""

import os
import tomllib

import pytest
from places import ROOT

from camreader.__main__ import main
from camreader.common.errors import DataError
from camreader.report import new_study

STUDY = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["camreader"]["study"]


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def carried(tmp_path, monkeypatch):
    """An installed package's study, read-only as an administrator leaves it."""
    folder = tmp_path / "site" / "_study"
    (folder / "notebooks" / "__pycache__").mkdir(parents=True)
    for name in ("Snakefile", "notebooks/01.ipynb", "notebooks/__pycache__/x.pyc"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o444)
    monkeypatch.setattr(new_study, "CARRIED", folder)
    return folder


def test_a_checkouts_study_is_laid_out_with_all_that_a_run_reads(tmp_path):
    new_study.lay_out(tmp_path / "study")
    laid = files(tmp_path / "study")
    assert {name.split("/")[0] for name in laid} == {name.split("/")[0] for name in STUDY}
    assert {path.name for path in (ROOT / "notebooks").glob("0*.ipynb")} <= {
        name.partition("/")[2] for name in laid
    }
    assert "data/published/claims.csv" in laid and "profiles/slurm/config.yaml" in laid
    assert not any("checkpoints" in name or "__pycache__" in name for name in laid)


def test_an_installed_packages_study_can_be_edited(tmp_path, carried):
    study = new_study.lay_out(tmp_path / "a" / "b")
    assert files(study) == {"Snakefile", "notebooks/01.ipynb"}
    assert os.stat(study / "Snakefile").st_mode & 0o200


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(tmp_path, carried):
    (tmp_path / "empty").mkdir()
    assert files(new_study.lay_out(tmp_path / "empty")) == {"Snakefile", "notebooks/01.ipynb"}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        new_study.lay_out(tmp_path / "full")
    with pytest.raises(DataError, match="not empty"):
        new_study.lay_out(tmp_path / "full" / "notes.txt")
    assert files(tmp_path / "full") == {"notes.txt"}


def test_a_copy_that_fails_leaves_nothing(tmp_path, carried, monkeypatch):
    def full(_source, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new_study.shutil, "copyfile", full)
    with pytest.raises(DataError, match="No space left"):
        new_study.lay_out(tmp_path / "study")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]


def test_a_package_without_a_study_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(new_study, "CARRIED", tmp_path / "none")
    monkeypatch.setattr(new_study, "PROJECT", tmp_path / "pyproject.toml")
    with pytest.raises(DataError, match="carries no study"):
        new_study.lay_out(tmp_path / "study")


def test_the_command_says_the_next_one(tmp_path, carried, capsys):
    assert main(["new", str(tmp_path / "my study")]) == 0
    said = capsys.readouterr().out
    assert f"cd '{tmp_path}/my study'" in said and "camreader report" in said
    assert main(["new", str(tmp_path / "my study")]) == 1
    assert "not empty" in capsys.readouterr().err
