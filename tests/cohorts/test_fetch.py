"""From a real archive to a cohort, the server stopped twice on the way, and back again."""

import argparse
import threading
import time

import numpy as np
import pydicom
import pytest
import requests
from identifiers_fixture import PLANTED, SECRETS, plant
from orthanc import PASSWORD, USER, Orthanc, missing

from camreader.cohorts import cohort, fetch, pacs, pixels, send
from camreader.common.errors import DataError, StudyError
from camreader.heatmaps import dicom_export, map_export

PATIENTS, SLICES = 20, 3


def slices(folder):
    """60 slices of 20 patients, each full of identifiers, and the list a department would write."""
    rng, paths, lines = np.random.default_rng(0), [], ["StudyInstanceUID,label"]
    for who in range(PATIENTS):
        study = f"1.2.826.0.1.47114711.{who + 10}"
        lines.append(f"{study},{who % 2}")
        for place in range(SLICES):
            stored = rng.integers(900, 1200, (64, 64)).astype(np.uint16)
            stored[20:30, 20:30] += 200 * (who % 2)
            told = {"PatientID": f"{PLANTED['PatientID']}{who}", "StudyInstanceUID": study}
            told |= {"SeriesInstanceUID": f"{study}.1", "ImagePositionPatient": [0, 0, 5 * place]}
            told |= {"StudyDate": f"202003{who + 1:02d}", "AccessionNumber": f"ACC-123456-{who}"}
            paths.append(plant(folder / f"{who}_{place}.dcm", stored, **told))
    table = folder / "list.csv"
    table.write_text("\n".join(lines) + "\n")
    return paths, table


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    if missing():
        pytest.skip(missing())
    server = Orthanc(tmp_path_factory.mktemp("orthanc")).start()
    yield server
    server.stop()


@pytest.fixture
def known_here(monkeypatch):
    monkeypatch.setenv("CAMREADER_PACS_USER", USER)
    monkeypatch.setenv("CAMREADER_PACS_PASSWORD", PASSWORD)


def stopping(monkeypatch, server, name, away, dead):
    """Kill the server at a method's `away`-th call, to come back soon, and at its `dead`-th."""
    calls = {"n": 0}
    plain = pacs.client

    def client(url):
        made = plain(url)
        method = getattr(made, name)

        def counted(*args, **kwargs):
            calls["n"] += 1
            if calls["n"] == away:
                server.stop()
                threading.Timer(1.0, server.start).start()
            if calls["n"] == dead:
                server.stop()
            return method(*args, **kwargs)

        setattr(made, name, counted)
        return made

    monkeypatch.setattr(pacs, "client", client)
    return calls


def test_round_trip_with_the_server_stopped_twice_each_way(
    archive, known_here, tmp_path, monkeypatch, capsys
):
    paths, table = slices(tmp_path / "hospital")
    for path in paths:
        archive.put(path)
    assert archive.count() == 60
    out = tmp_path / "in"
    monkeypatch.setattr(pacs, "WAITS", (0.5, 1, 2, 4, 8))
    calls = stopping(monkeypatch, archive, "retrieve_instance", 15, 41)
    done = threading.Event()

    def impatient():  # after the second stop nobody comes back: the run ends in words
        while calls["n"] < 41 and not done.is_set():
            time.sleep(0.01)
        pacs.WAITS = (0.1,)

    threading.Thread(target=impatient, daemon=True).start()
    with pytest.raises(StudyError, match="goes on from there"):
        fetch.fetch(archive.url, out, table)
    done.set()
    there = {p: p.stat().st_mtime_ns for p in out.rglob("*.dcm")}
    assert 30 < len(there) < 60
    archive.start()
    monkeypatch.undo()
    monkeypatch.setenv("CAMREADER_PACS_USER", USER)
    monkeypatch.setenv("CAMREADER_PACS_PASSWORD", PASSWORD)
    report = fetch.fetch(archive.url, out, table)
    assert report["files"] == 60 and not report["withheld"]
    assert report["cleaned_in_this_run"] == 60 - len(there)  # nothing is fetched twice
    assert all(p.stat().st_mtime_ns == when for p, when in there.items())
    assert not (out / ".key").exists()
    written = [p for p in out.rglob("*") if p.is_file()]
    for path in written:  # every byte of every file, and every name
        content = (path.read_bytes() + str(path.relative_to(out)).encode()).lower()
        assert not [s for s in SECRETS if s.lower().encode() in content], path
    said = "".join(capsys.readouterr())
    assert PASSWORD not in said and not [s for s in SECRETS if s in said]

    frame, card = cohort.load(out)
    assert len(frame) == 60 and frame["label"].sum() == 30 and frame["patient_id"].nunique() == 20
    frame, card = pixels.bring_in(frame, card, tmp_path / "copy")
    stored = sorted(pydicom.dcmread(p).pixel_array.astype(int).sum() - 1024 * 4096 for p in paths)
    found = [pixels.read_hu(f"{card['source']}/{n}").astype(int).sum() for n in frame["image_path"]]
    assert sorted(found) == stored  # the same pixels, each once

    results = tmp_path / "results"
    cases = frame.head(20).assign(boxes=[[]] * 20, truth=1, predicted=1, probability=0.9)
    values = [pixels.read_hu(f"{card['source']}/{n}") for n in cases["image_path"]]
    maps = np.random.default_rng(1).random((20, 8, 8)).astype(np.float32)
    facts = {"title": "Fetched", "name": "fetched", "synthetic": False, "window": [50, 400]}
    greys = [(v.clip(-150, 250) + 150) / 400 for v in values]
    dicom_export.export(results, cases, greys, maps, facts, "layer")
    map_export.export(results, cases, values, maps, facts, "layer")
    count = len(list(results.glob("*.dcm")))
    monkeypatch.setattr(pacs, "WAITS", (0.5, 1, 2, 4, 8))
    calls = stopping(monkeypatch, archive, "store_instances", 10, 30)
    threading.Thread(target=revived, args=(archive, calls, 30), daemon=True).start()
    assert send.send(results, archive.url) == (count, 0)
    assert archive.count() == 60 + count
    assert send.send(results, archive.url) == (0, count) and archive.count() == 60 + count
    back = requests.get(f"{archive.root}/instances", auth=archive.auth, timeout=30).json()
    assert len(set(back)) == 60 + count


def revived(server, calls, dead):
    """Start the server again a second after its second stop."""
    end = time.monotonic() + 120
    while calls["n"] < dead and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(1)
    server.start()


def test_a_query_brings_what_it_names(archive, known_here, tmp_path, monkeypatch):
    if archive.count() == 0:
        for path in slices(tmp_path / "hospital")[0]:
            archive.put(path)
    monkeypatch.setenv("CAMREADER_KEY", "a key of the department")
    one = fetch.fetch(archive.url, tmp_path / "one", query=["StudyDate=20200301-20200302"])
    assert one["files"] == 6 and one["replaced"]["StudyDate"] == 6
    fetch.fetch(archive.url, tmp_path / "one", query=["StudyDate=20200303"])  # added later
    assert len(list((tmp_path / "one").rglob("*.dcm"))) == 9
    options = argparse.Namespace(url=archive.url, folder=str(tmp_path / "two"), list=None)
    options.query, options.modality, options.keep = ["PatientID=nobody"], None, []
    assert fetch.run(options) == 1  # nothing of that kind is there


def test_a_wrong_password_is_said_in_words(archive, monkeypatch, tmp_path):
    monkeypatch.setenv("CAMREADER_PACS_USER", USER)
    monkeypatch.setenv("CAMREADER_PACS_PASSWORD", "guess")
    with pytest.raises(StudyError, match="asks for credentials") as raised:
        fetch.fetch(archive.url, tmp_path / "x", query=["StudyDate=20200301"])
    assert "guess" not in str(raised.value)


def test_addresses_and_lists_that_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="holds a name or password"):
        pacs.client("https://me:secret@pacs/dicom-web")
    with pytest.raises(DataError, match="Not an address"):
        pacs.client("pacs/dicom-web")
    monkeypatch.setenv("CAMREADER_PACS_TOKEN", "t")
    with pytest.raises(DataError, match="unencrypted"):
        pacs.client("http://pacs.example/dicom-web")
    with pytest.raises(DataError, match="either --list or --query"):
        list(fetch.asked_for(None, []))
    (tmp_path / "l.csv").write_text("study,label\n,1\n")
    with pytest.raises(DataError, match="StudyInstanceUID") as raised:
        list(fetch.asked_for(tmp_path / "l.csv", []))
    assert raised.value.places["row"] == 2
    (tmp_path / "l.csv").write_text("accession;label\nA1;1\n")
    assert list(fetch.asked_for(tmp_path / "l.csv", [])) == [{"accession": "A1", "label": "1"}]


def test_a_finished_folder_is_not_added_to_without_its_key(tmp_path):
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "a.dcm").write_bytes(b"x")
    with pytest.raises(StudyError, match="CAMREADER_KEY"):
        fetch.folder_key(tmp_path)
