"""A reading begun with earlier code opens, goes on, is exported and analysed as it was then."""

import json

import pandas as pd
import pytest
from reading_kernel import KeeperHere, Page

from camreader.__main__ import main
from camreader.common.study import Study
from camreader.reader_study.study import load
from camreader.session import widget as session_widget
from camreader.session.questions import QUESTIONS, Question
from camreader.session.sealed import open_all

REVISED = {"diagnosis": "other", "confidence": 2, "helpfulness": "some"}


def test_its_envelopes_open(before):
    assert open_all(before) == json.loads((before / "opened.json").read_text())


NEW = {"patient", "arm", "period", "map", "map_hit", "cnn_probability", "region"}
NEW |= {"opacity_changes", "opacity_last", "opacity_max", "threshold_last"}


def test_its_table_is_the_same_but_for_columns_that_came_later(before, tmp_path):
    main(["readings", "export", "--folder", str(before), str(tmp_path / "tidy.csv")])
    as_text = {"dtype": str, "keep_default_na": False}
    now, then = (pd.read_csv(x / "tidy.csv", **as_text) for x in (tmp_path, before))
    pd.testing.assert_frame_equal(now[then.columns], then)
    assert set(now) - set(then) == NEW and now["patient"].eq("").all()
    assert now["map"].eq("gradcam").tolist() == now["modality"].eq("aided").tolist()
    assert set(now["arm"]) == {"sequential"} and set(now["period"]) == {"1"}


@pytest.mark.parametrize("name", ["events.json", "scores.imrmc"])
def test_its_export_is_the_same_byte_for_byte(before, tmp_path, name):
    main(["readings", "export", "--folder", str(before), str(tmp_path / name)])
    assert (tmp_path / name).read_bytes() == (before / name).read_bytes()


@pytest.mark.parametrize("name", ["readings.sqlite", "tidy.csv"])
def test_its_analysis_reads_the_same(before, name):
    study = load(str(before / name), Study(str(before), "tiny", str(before)))
    then = pd.read_csv(before / "readings.csv")
    now = study.readings[then.columns].replace("", None)
    pd.testing.assert_frame_equal(now, then, check_dtype=False)


def test_its_readers_go_on_where_they_stopped(before, monkeypatch):
    """Bob had locked his third answer; he is asked what he was asked, whatever the list says."""
    monkeypatch.setattr(session_widget, "Keeper", KeeperHere)
    QUESTIONS.append(Question("trust", "slider", "How far do you trust the network?"))
    try:
        page = Page(before, "Bob")
    finally:
        del QUESTIONS[-1]
    assert page.begun["ok"] and (page.state["stage"], page.state["number"]) == ("aided", 3)
    names = [question["name"] for question in page.session.settings["questions"]]
    assert names == ["diagnosis", "confidence", "helpfulness", "comment"]
    truth = json.loads((before / "opened.json").read_text())[page.case]
    assert page.state["shown"]["cnn_probability"] == truth["cnn_probability"]
    assert page.state["said"]["comment"] == "seen, äh"
    assert page.event("revised", REVISED)["ok"] and page.state["number"] == 4
    page.session.close()
