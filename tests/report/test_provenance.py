"""What made a figure: the notebook's code and its modules, whatever its outputs."""

import json
import subprocess

import pytest
from places import ROOT

from camreader.report import provenance


@pytest.fixture()
def copy(tmp_path, monkeypatch):
    """A folder with notebook 05, where code digests are computed anew."""
    (tmp_path / "notebooks").mkdir()
    notebook = tmp_path / "notebooks" / "05_reader_results.ipynb"
    notebook.write_text((ROOT / "notebooks" / notebook.name).read_text())
    monkeypatch.chdir(tmp_path)
    provenance.code_of.cache_clear()
    yield notebook
    provenance.code_of.cache_clear()


def test_outputs_and_prose_do_not_change_the_code_but_a_cell_does(copy):
    before = provenance.code_of("05_reader_results")
    content = json.loads(copy.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], 7
        else:
            cell["source"] = ["other words"]
    copy.write_text(json.dumps(content))
    provenance.code_of.cache_clear()
    assert provenance.code_of("05_reader_results") == before
    content["cells"].append({"cell_type": "code", "source": ["1 + 1"]})
    copy.write_text(json.dumps(content))
    provenance.code_of.cache_clear()
    assert provenance.code_of("05_reader_results") != before


def test_a_commit_is_named_and_that_files_differ_from_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == ""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("1")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], check=True)
    clean = provenance.commit()
    assert len(clean) == 40
    (tmp_path / "file").write_text("2")
    assert provenance.commit() == f"{clean}, changed since"
