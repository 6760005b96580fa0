"""One small study, its explained run and the quick methods' maps, for the tests of this room."""

import pytest
import torch
from explained_fixture import QUICK, write_study

from camreader.heatmaps import cases, maps

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("explained"))


@pytest.fixture(scope="session")
def run(study):
    return cases.load(study)


@pytest.fixture(scope="session")
def found(study, run):
    return maps.tumor_maps(study, run, QUICK)
