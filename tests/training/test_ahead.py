"""A draw trained beside the one before: the same network as draws one after the other."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from training_fixture import make_cohort

from camreader.common import machine
from camreader.training import ahead, runs, train
from camreader.training.experiments import Ended, Settings
from camreader.training.trainer import Fit

MISSED = Settings(  # a target that no draw reaches
    epochs=3, least_steps=1, batch_size=16, resamples=3, extensions=0, target_accuracy=2
)
TIMES = ["seconds", "fingerprint"]


@pytest.fixture
def study(tmp_path):
    return make_cohort(tmp_path)


def trained(study, settings=MISSED):
    record = train.train(study, "paper-final", 0, settings)
    folder = runs.folder(study, "paper-final", 0)
    network = runs.load_model(folder)[0].state_dict()
    return record, network, pd.read_parquet(folder / "history.parquet")


@pytest.fixture
def taken(monkeypatch):
    """What `take` returned, one entry an epoch."""
    told, take = [], ahead.Ahead.take
    monkeypatch.setattr(ahead.Ahead, "take", lambda *a: told.append(take(*a)) or told[-1])
    return told


def test_the_draws_are_those_of_one_after_the_other(study, tmp_path_factory, taken, monkeypatch):
    monkeypatch.setattr(machine, "cpus", lambda: 1)
    record, network, history = trained(study)
    assert not any(taken) and history["draw"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    taken.clear()
    monkeypatch.setattr(machine, "cpus", lambda: 2)
    again, same, story = trained(make_cohort(tmp_path_factory.mktemp("again")))
    assert taken == [False] * 5 + [True] and again["ended"] == Ended.BUDGET
    pd.testing.assert_frame_equal(story, history)
    assert all(torch.equal(same[name], value) for name, value in network.items())
    assert {k: v for k, v in again.items() if k not in TIMES} == {
        k: v for k, v in record.items() if k not in TIMES
    }


def test_a_draw_that_is_not_needed_is_thrown_away(study, monkeypatch):
    monkeypatch.setattr(machine, "cpus", lambda: 2)
    begun, begin = [], ahead.Ahead.begin

    def watched(self):
        begin(self)
        begun.append(self.process)
        self.fit.settings = replace(MISSED, target_accuracy=2 if self.fit.draw == 0 else 0)

    monkeypatch.setattr(ahead.Ahead, "begin", watched)
    record, _, history = trained(study)
    assert record["ended"] == Ended.TARGET and history["draw"].max() == 1
    assert begun[0] is None and begun[-1] is not None and not begun[-1].is_alive()


def test_a_draw_whose_process_was_lost_is_trained_here(study, taken, monkeypatch):
    monkeypatch.setattr(machine, "cpus", lambda: 2)
    monkeypatch.setattr(ahead, "_train", lost)
    _, _, history = trained(study)
    assert not any(taken) and history["draw"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def lost(*_):
    """In place of a draw's process: it ends at once."""


def test_only_the_papers_final_run_on_a_processor_begins_ahead(study, monkeypatch):
    monkeypatch.setattr(machine, "cpus", lambda: 2)
    for name in ("paper-first", "sound-final"):
        plan = train.PLANS[name]
        fit = Fit(*train.load_slices(study, plan), plan, MISSED, 0)
        fit.begin_draw(1)
        with ahead.Ahead(fit) as found:
            found.begin()
            assert found.process is None
