"""Heat outside the body and answers that hang on it are found."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from training_fixture import make_cohort

from camreader.common.storage import read_table
from camreader.heatmaps import shortcuts
from camreader.heatmaps.cases import Explained

SIDE = 32


def slice_of(unit="HU"):
    """A body (disc) with a lung in it above a table that does not touch it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    air, fat, lung, table = (-1000, -80, -850, 100) if unit == "HU" else (3, 120, 10, 200)
    image = np.full((SIDE, SIDE), air, np.int16)
    disc = (y - 14) ** 2 + (x - 16) ** 2 <= 100
    image[disc] = fat
    image[(y - 14) ** 2 + (x - 12) ** 2 <= 9] = lung
    image[28:30, 4:28] = table
    return image, disc


@pytest.mark.parametrize("unit", ["HU", "grey"])
def test_the_body_is_its_outline_with_its_lungs_and_without_the_table(unit):
    image, disc = slice_of(unit)
    found = shortcuts.body(image[None], unit)
    assert np.array_equal(found[0], disc)
    dark = shortcuts.blanked(image[None], found, unit)[0]
    assert np.array_equal(dark[disc], image[disc])
    assert set(dark[~disc].tolist()) == {-1024 if unit == "HU" else 3}


def test_a_picture_without_a_body_has_none():
    assert not shortcuts.body(np.full((1, SIDE, SIDE), -1000, np.int16)).any()


class Corner(nn.Module):
    """Says tumor where the upper left corner is bright."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return images[:, 0, 0, 0] - 0.5


@pytest.fixture
def cornered(tmp_path):
    """A study whose tumor slices carry a bright mark in the air, and a network that reads it."""
    study = make_cohort(tmp_path)
    cohort = read_table(study.cohort_table)
    values = np.stack([slice_of()[0]] * len(cohort))
    values[cohort["label"] == 1, 0, 0] = 400
    np.save(study.pixels, values)
    cases = cohort.reset_index(names="row").query("split_image == 'test'").reset_index(drop=True)
    cases = cases.assign(predicted=cases["label"])
    record = {"window": "soft tissue"}
    return study, Explained("paper", Corner(), record, cases, torch.zeros(len(cases), 1, 1, 1))


def test_a_network_that_reads_a_mark_in_the_air_is_caught(cornered):
    study, run = cornered
    maps = np.zeros((len(run.cases), SIDE, SIDE), np.float32)
    maps[:, 0, 0], maps[:, 14, 16] = 3, 1  # three quarters of the heat on the mark
    found = shortcuts.table(study, run, maps).set_index("measure")
    assert found.loc["heat outside the body", "value"] == pytest.approx(0.75)
    outside = 1 - slice_of()[1].mean()
    assert found.loc["area outside the body", "value"] == pytest.approx(outside)
    assert found.loc["accuracy", "value"] == 1
    free = (run.cases["label"] == 0).mean()  # without the mark it always says no tumor
    assert found.loc["accuracy, outside blanked", "value"] == pytest.approx(free)
    lost = found.loc["accuracy lost by blanking"]
    assert lost["value"] == pytest.approx(1 - free) and 0 < lost["low"] < lost["value"]
    said = " ".join(shortcuts.finding(found.reset_index()))
    assert "75.0% " in said and "The network uses what lies there" in said


def test_blank_maps_have_no_heat_to_share_out(cornered):
    study, run = cornered
    found = shortcuts.table(study, run, np.zeros((len(run.cases), SIDE, SIDE), np.float32))
    heat = found.iloc[0]
    assert heat["n"] == 0 and np.isnan(heat["value"]) and "no map" in heat["note"]
    assert isinstance(found, pd.DataFrame) and list(shortcuts.finding(found))
