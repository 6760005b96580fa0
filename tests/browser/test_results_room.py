"""A reading of somebody else's maps: set up from a folder of results, five cases in the browser."""

import shutil

import numpy as np
import pytest
import yaml
from explained_fixture import SIZE, write_study
from reading_room import (
    PARAMETERS,
    Room,
    begin,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    serving,
    wait_for,
)
from reading_study import everything
from vendor_results import maps_for, write

from browser import chromium  # noqa: F401 (a fixture)
from camreader.common.storage import read_table
from camreader.common.tables import Cohort
from camreader.session import prepare
from camreader.session.plan import Plan
from camreader.session.sealed import unpack_map
from camreader.session.tidy import load_tidy
from camreader.training import experiments, runs, train
from camreader.training.description import Description
from camreader.training.experiments import Settings


class ResultsRoom(Room):
    """The same, of predictions and maps that came in a folder."""

    def __init__(self, folder):
        self.study = write_study(folder)
        shutil.rmtree(self.study.runs)
        self.frame = read_table(self.study.cohort_table, Cohort)
        self.maps = maps_for(len(self.frame), SIZE)
        write(folder / "vendor", self.frame, self.maps, ".png")
        settings = Settings(own=Description(f"results:{folder}/vendor"))
        runs.collect(self.study, train.train_all(self.study, experiments.MAIN, (0,), settings))
        plan = Plan(cases=5, readers=1, training_cases=0, design="sequential")
        self.design = prepare.set_up(self.study, plan, force=True)
        self.truth = everything(self.design)
        self.database = self.study.readings / "readings.sqlite"
        self.config = folder / "config.yaml"
        config = {"source": "", "cohort": self.study.cohort, "data": str(self.study.data)}
        config |= {"reports": str(self.study.reports)}
        config |= {"parameters": {"07_reading_session": PARAMETERS}}
        self.config.write_text(yaml.safe_dump(config))


@pytest.fixture
def room(tmp_path):
    return ResultsRoom(tmp_path)


def test_five_cases_are_read_with_the_maps_as_they_came(room, open_page):  # noqa: F811
    places = {name: row for row, name in enumerate(room.frame["slice_id"])}
    for content in room.truth.values():
        raw, shape = unpack_map(content)
        shown = np.frombuffer(raw, np.uint8).reshape(shape) / 255
        given = room.maps[places[content["slice_id"]]] / 255
        assert np.abs(shown - given).max() < 0.01
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page, "Ann")
        for step in room.design.steps(1):
            wait_for(page, "unaided", step.case)
            assert "The network says" not in page.content()
            press_answer(page, "tumor", 4)
            wait_for(page, "aided", step.case)
            press_answer(page, "no tumor", 2)
            page.keyboard.press("j")
        wait_for(page, "finished")
        assert not page.errors
    frame = load_tidy(room.database)
    assert len(frame) == 10 and set(frame["modality"]) == {"unaided", "aided"}
    said = frame[frame["modality"] == "aided"].set_index("case")
    assert all(said.loc[case, "truth"] == c["truth"] for case, c in room.truth.items())
