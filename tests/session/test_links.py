"""Links of readers: only hashes on disk, one per reader, and what ends them."""

import json
import stat

import pytest
import yaml
from places import ROOT
from reading_study import make_study

from camreader.__main__ import main
from camreader.common.errors import DataError
from camreader.session.links import ADMIN, FILE, Links, readers_of
from camreader.session.log import ReadingLog, Refused


@pytest.fixture
def design(tmp_path):
    return make_study(tmp_path / "tiny", cases=4, training_cases=0, size=8, readers=3)


def test_the_disk_holds_no_link_and_only_its_owner_reads_it(design):
    links = Links(design)
    made = links.make(["Ann", "Bo"]) | {ADMIN: links.admin()}
    stored = (design.folder / FILE).read_text()
    assert all(token not in stored and len(token) >= 43 for token in made.values())  # 256 bits
    assert stat.S_IMODE((design.folder / FILE).stat().st_mode) == 0o600
    assert {links.who(token): token for token in made.values()} == made
    assert links.who("wrong") is None and links.who("") is None


def test_a_renewed_link_ends_the_old_one_and_another_process_sees_it(design):
    links, other = Links(design), Links(design)
    old = links.make(["Ann"])["Ann"]
    assert other.who(old) == "Ann"
    new = links.renew("ann")
    assert other.who(old) is None and other.who(new) == "Ann"


def test_paused_revoked_and_closed(design):
    links = Links(design)
    links.make(["Ann", "Bo"])
    assert links.why_not("Ann") == "" and links.why_not("Nobody") == "revoked"
    links.set("Ann", paused=True)
    assert (links.why_not("Ann"), links.why_not("Bo")) == ("paused", "")
    links.set("Ann", paused=False)
    links.revoke("Bo")
    assert (links.why_not("Ann"), links.why_not("Bo")) == ("", "revoked")
    closed = links.close()
    assert links.why_not("Ann") == "closed" and links.close() == closed


def test_there_are_as_many_links_as_places(design):
    links = Links(design)
    assert list(links.make(taken=["Ann"])) == ["Ann", "R1", "R2"]
    assert links.make() == {}
    with pytest.raises(DataError, match="no place"):
        links.make(["Bo"])
    with pytest.raises(DataError, match="has a link already"):
        links.make(["ann"])
    links.revoke("R2")
    assert list(links.make(["Bo"])) == ["Bo"]  # R2 never began: the place is free
    links.revoke("Bo")
    with pytest.raises(DataError, match="no place"):
        links.make(["Cy"], taken=["Ann", "Bo"])  # Bo did
    with pytest.raises(Refused):
        links.make(["a\nb\u200b"])


def test_links_of_another_design_open_nothing(design):
    links = Links(design)
    token = links.make(["Ann"])["Ann"]
    path = design.folder / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"study": "another"}))
    assert links.who(token) is None and links.readers == {}
    assert list(links.make(["Bo"])) == ["Bo"] and list(links.readers) == ["Bo"]


def test_who_reads_already_has_a_place(design, tmp_path):
    assert readers_of(design) == []
    log = ReadingLog(tmp_path / "x.sqlite", design.study)
    log.append("enrolled", "Ann", payload={"slot": 1})
    assert readers_of(design, tmp_path / "x.sqlite") == ["Ann"]


def test_the_command_prints_a_link_once(tmp_path, monkeypatch, capsys):
    make_study(tmp_path / "data/readings/tiny", cases=4, training_cases=0, size=8, readers=2)
    config = {"source": "", "cohort": "tiny", "data": str(tmp_path / "data")}
    config |= {"reports": "reports", "parameters": {}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(ROOT)  # where notebook 07 is

    def say(*words):
        status = main(["links", *words, "--config", str(tmp_path / "config.yaml")])
        told = capsys.readouterr()
        return status, told.out + told.err

    assert "No links yet" in say("list")[1]
    status, told = say("make", "--address", "https://study.example/reading")
    assert status == 0 and told.count("https://study.example/reading/enter#") == 3
    links = Links(_design(tmp_path))
    (ann,) = [line for line in told.splitlines() if line.startswith("R1 ")]
    assert links.who(ann.rpartition("#")[2]) == "R1"
    assert "#" not in say("list")[1]
    assert say("revoke", "R1")[0] == 0 and "revoked" in say("list")[1]
    assert say("revoke", "Nobody")[0] == 1 and say("renew")[0] == 1
    assert say("close")[0] == 0 and links.closed


def _design(folder):
    from camreader.session.progress import Design

    return Design.load(folder / "data/readings/tiny")
