"""`make read`: what is served keeps to the project's own files, wherever its kernel runs."""

import nbformat
import pytest
from nbclient import NotebookClient
from places import ROOT
from reading_room import (
    Room,
    begin,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    serving,
    wait_for,
)
from reading_study import make_study

from browser import chromium  # noqa: F401 (a fixture)
from camreader.common.configuration import parameter_values
from camreader.common.study import Study
from camreader.session import server
from camreader.session.log import ReadingLog
from camreader.session.tidy import load_tidy

NOTEBOOK = ROOT / "notebooks" / "07_reading_session.ipynb"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder with a reading set up, and the folder we are in."""
    folder = tmp_path / "project"
    make_study(folder / "data" / "readings" / "tiny", cases=4, training_cases=0, size=8)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("address", ["data/shared.sqlite", "sqlite:///data/shared.sqlite"])
def test_a_relative_log_is_the_projects_and_not_the_kernels(project, tmp_path, address):
    """The kernel runs in a temporary folder, which goes with the server."""
    study = Study("data", "tiny", "reports")
    page = server.page(study, {"DATABASE": address}, NOTEBOOK)
    page.cells[-1].source = page.cells[-1].source.replace("DATABASE,", "DATABASE, 'Ann',")
    (tmp_path / "served").mkdir()
    where = {"metadata": {"path": str(tmp_path / "served")}}
    NotebookClient(nbformat.from_dict(page), kernel_name="python3", resources=where).execute()
    design = server.Design.load(study.readings)
    events = ReadingLog(project / "data" / "shared.sqlite", design.study, readonly=True).events()
    assert [event["kind"] for event in events] == ["enrolled", "started"]


def test_the_address_in_the_notebook_is_served_as_jupyterlab_opens_it(project):
    (project / "notebooks").mkdir()
    source = NOTEBOOK.read_text().replace('DATABASE = \\"\\"', 'DATABASE = \\"../data/x.sqlite\\"')
    notebook = project / "notebooks" / "07_reading_session.ipynb"
    notebook.write_text(source)
    study = Study("data", "tiny", "reports")
    served = {}
    for given in ("", "other.sqlite", "postgresql+pg8000://study@host/readings"):
        nbformat.write(server.page(study, {"DATABASE": given}, notebook), project / "out.ipynb")
        cells = nbformat.read(project / "out.ipynb", 4).cells
        (cell,) = [c for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
        exec(cell.source, served)
        found = served["DATABASE"]
        expected = {"": project / "notebooks" / ".." / "data" / "x.sqlite"}
        assert found == str(expected.get(given, given if "://" in given else project / given))
    assert parameter_values(NOTEBOOK)["DATABASE"] == ""


def test_a_correction_shows_the_comment_and_keeps_it_unless_it_is_emptied(
    open_page,  # noqa: F811
    tmp_path,
):
    room = Room(tmp_path, cases=2, training_cases=0)
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        press_answer(page, "tumor", 3)
        wait_for(page, "aided")
        page.keyboard.press("m")
        page.keyboard.type("beside the aorta")
        page.keyboard.press("Escape")
        press_answer(page, "tumor", 4)
        page.keyboard.press("j")
        wait_for(page, "unaided")
        for comment in ("beside the aorta", ""):
            page.keyboard.press("u")
            page.get_by_role("button", name="Correct").click()
            box = page.locator(".cr-answers textarea")
            assert box.input_value() == "beside the aorta"
            box.fill(comment)
            page.get_by_role("button", name="Store the correction").click()
            page.get_by_role("button", name="Back").click()
            wait_for(page, "unaided")
            aided = load_tidy(room.database).query("modality == 'aided'")
            assert aided["comment"].tolist() == [comment] and aided["corrected"].all()


def test_a_second_reader_confirms_the_new_name(open_page, tmp_path):  # noqa: F811
    room = Room(tmp_path, cases=2, training_cases=0)
    ReadingLog(room.database, room.design.study).append("enrolled", "Ann", payload={"slot": 1})
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page, "Bob")
        page.wait_for_selector(".cr-said.cr-bad")
        assert "Nobody has read under the name Bob yet" in page.locator(".cr-said").inner_text()
        page.get_by_role("button", name="Start reading").click()
        wait_for(page, "unaided", room.design.steps(2)[0].case)
        assert page.locator(".cr-said").inner_text() == ""
