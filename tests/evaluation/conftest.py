"""One small cohort for the tests of this room."""

import pytest
from training_fixture import make_cohort

from camreader.common.storage import read_table
from camreader.common.tables import Cohort
from camreader.training import experiments, runs, train
from camreader.training.experiments import Settings


@pytest.fixture(scope="session")
def quick():
    return Settings(epochs=2, least_steps=1, batch_size=16, resamples=1, extensions=0)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("small"), slices=120, patients=24)


@pytest.fixture(scope="session")
def cohort(study):
    return read_table(study.cohort_table, Cohort)


@pytest.fixture(scope="session")
def predictions(study, quick):
    records = train.train_all(study, experiments.MAIN, (0, 1), quick)
    return runs.collect(study, records)
