"""Training: killed and resumed, the two protocols' rules, refusals in words, gradients."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from training_fixture import make_cohort

from camreader.__main__ import main
from camreader.common.errors import DataError
from camreader.training import compute, experiments, plots, runs, train, trainer
from camreader.training.experiments import Settings
from camreader.training.networks import GenericCNN

QUICK = Settings(closeups=2, epochs=3, batch_size=16, resamples=2)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("small"))


def options(data, *more):
    """The shell's way to the paper's final run, its target out of reach: every draw is used up."""
    command = [
        sys.executable,
        "-m",
        "camreader",
        "train",
        "--data",
        str(data),
        "--cohort",
        "small",
    ]
    command += ["--protocol", "paper", "--run", "final", "--epochs", "14", "--resamples", "2"]
    command += ["--closeups", "8"]
    return [*command, "--target-accuracy", "2", *more]


def run_and_kill(command, where, times, environment):
    """Start the run, kill -9 it at a random moment after each new checkpoint, `times` times."""
    seen, killed_at, chance = 0, [], random.Random(7)
    for _ in range(times):
        quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=environment, **quiet)
        path = where / "checkpoint.safetensors"
        while process.poll() is None:
            if path.exists() and path.stat().st_mtime_ns > seen:
                break
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        seen = path.stat().st_mtime_ns
        killed_at.append(len(runs_so_far(path)))
    return killed_at


def runs_so_far(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as handle:
        return json.loads(handle.metadata()["facts"])["history"]


def test_killed_three_times_it_ends_as_the_unbroken_run(tmp_path):
    broken, whole = (make_cohort(tmp_path / name) for name in ("broken", "whole"))
    # one thread in every process: sums in another order would differ in their last digits
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(options(whole.data), check=True, capture_output=True, env=environment)
    where = runs.folder(broken, "paper-final", 0)
    killed_at = run_and_kill(options(broken.data), where, 3, environment)
    assert killed_at == sorted(killed_at) and killed_at[0] > 0 and killed_at[-1] < 44
    subprocess.run(options(broken.data), check=True, capture_output=True, env=environment)
    other = runs.folder(whole, "paper-final", 0)
    mine, theirs = (load_file(f / "model.safetensors") for f in (where, other))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    for name in ("history", "predictions"):
        tables = [pd.read_parquet(f / f"{name}.parquet") for f in (where, other)]
        pd.testing.assert_frame_equal(*tables)
    assert sorted(p.name for p in where.iterdir()) == sorted(p.name for p in other.iterdir())


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path):
    studies = [make_cohort(tmp_path / name) for name in "ab"]
    records = [train.train(s, "sound-final", 3, QUICK) for s in studies]
    assert records[0]["wrong_test"] == records[1]["wrong_test"]
    weights = [load_file(runs.folder(s, "sound-final", 3) / "model.safetensors") for s in studies]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    train.train(studies[0], "sound-final", 4, QUICK)
    other = load_file(runs.folder(studies[0], "sound-final", 4) / "model.safetensors")
    assert not torch.equal(other["features.0.weight"], weights[0]["features.0.weight"])


def test_a_finished_run_is_not_trained_again_but_other_settings_are(study):
    first = train.train(study, "paper-first", 0, QUICK)
    path = runs.folder(study, "paper-first", 0) / "model.json"
    before = path.stat().st_mtime_ns
    assert train.train(study, "paper-first", 0, QUICK) == first
    assert path.stat().st_mtime_ns == before
    changed = train.train(study, "paper-first", 0, Settings(closeups=2, epochs=2, batch_size=16))
    assert changed["epochs"] == 2 and path.stat().st_mtime_ns > before


def whole_slices(study, name):
    """History of seed 1 on whole slices; its close-ups before must have watched nothing."""
    history = pd.read_parquet(runs.folder(study, name, 1) / "history.parquet")
    close_ups = history["stage"] == "close-ups"
    assert close_ups.any() and history.loc[close_ups, "watched"].isna().all()
    return history[~close_ups]


def test_the_network_learns_and_the_paper_stops_at_its_target(study):
    settings = Settings(closeups=2, epochs=30, batch_size=8, target_accuracy=0.9)
    record = train.train(study, "paper-final", 1, settings)
    assert record["stopped"].startswith("reached") and record["wrong_test"] <= 0.1 * 24
    assert record["epochs"] < 90
    history = whole_slices(study, "paper-final")
    assert history["watched"].eq("test").all()
    assert history["watched_accuracy"].iloc[-1] == 1 - record["wrong_test"] / record["n_test"]


def test_the_sound_run_never_looks_at_its_test_set(study):
    record = train.train(study, "sound-final", 1, Settings(closeups=2, epochs=4, batch_size=8))
    history = whole_slices(study, "sound-final")
    assert history["watched"].eq("validation").all()
    best = history.loc[history["watched_loss"].idxmin(), "epoch"]
    assert record["kept_epoch"] == best


def test_the_other_network_is_trained_saved_and_loaded_too(tmp_path):
    study = make_cohort(tmp_path)
    other = Settings(architecture="resnet18", closeups=1, epochs=1, batch_size=16)
    record = train.train(study, "sound-final", 0, other)
    where = runs.folder(study, "sound-final", 0)
    network = runs.load_model(where)[0]
    assert len(load_file(where / "model.safetensors")) == len(network.state_dict())
    images = train.load_slices(study, experiments.PLANS["sound-final"])[1]
    logits = pd.read_parquet(where / "predictions.parquet")["logit"]
    np.testing.assert_allclose(trainer.predict(network, images), logits, atol=1e-4)
    assert record["parameters"] == sum(p.numel() for p in network.parameters())


def test_the_finding_counts_epochs_and_draws(study):
    settings = Settings(closeups=0, epochs=1, batch_size=16, resamples=2, target_accuracy=2)
    names = ["paper-final", "sound-final"]
    table = runs.summary(train.train_all(study, names, (5,), settings))
    paper, sound = runs.finding(table)
    assert "planned end after 2 epochs in 2 draws of the split; training error" in paper
    assert "planned end after 1 epoch; training error" in sound


def test_the_curves_count_whole_epochs_and_hide_no_value(study):
    settings = Settings(closeups=1, epochs=2, batch_size=16, resamples=2, target_accuracy=2)
    records = train.train_all(study, ["paper-final", "sound-final"], (6,), settings)
    history = runs.history(study, records)
    history.loc[history.index[-1], ["watched_loss", "watched_accuracy"]] = 3.0, 0.1
    figure = plots.curves(history, records)
    figure.draw_without_rendering()
    for axis in figure.axes:
        ticks = [label.get_text() for label in axis.get_xticklabels()]
        assert all("." not in tick for tick in ticks)
        low, high = axis.get_ylim()
        drawn = np.concatenate([line.get_ydata() for line in axis.lines[:2]])
        assert np.nanmin(drawn) >= low and np.nanmax(drawn) <= high
    patch = figure.axes[0].get_legend().legend_handles[0]
    assert patch.get_edgecolor() != patch.get_facecolor()  # seen on the shade itself


def test_the_second_run_goes_on_from_the_first(tmp_path):
    study = make_cohort(tmp_path)
    train.train(study, "paper-second", 0, QUICK)
    frame, images = train.load_slices(study, experiments.PLANS["paper-second"])
    weights = runs.load_model(runs.folder(study, "paper-first", 0))[0].state_dict()
    state = trainer.Fit(frame, images, experiments.PLANS["paper-second"], QUICK, 0, weights=weights)
    assert all(torch.equal(state.network.state_dict()[n], w) for n, w in weights.items())


def test_predictions_cover_every_slice_once_and_agree_with_the_record(study):
    records = train.train_all(study, ["paper-first", "sound-final"], (0,), QUICK)
    table = runs.collect(study, records)
    assert table.groupby(["protocol", "run"])["slice_id"].nunique().eq(96).all()
    assert ((table["probability"] >= 0.5) == (table["predicted"] == 1)).all()
    row = records.iloc[1]
    assert row["n_train"] + row["n_validation"] + row["n_test"] == 96
    assert np.allclose(table["probability"], 1 / (1 + np.exp(-table["logit"])))


@pytest.mark.parametrize(
    ("arguments", "name", "words"),
    [
        ({"slices": 8, "patients": 4}, "paper-first", "too few slices"),
        ({"slices": 40, "labels": np.ones(40)}, "paper-first", "too few slices in its train part"),
        ({"patients": 2}, "sound-final", "3 patients needed, 2 found"),
        ({}, "lung-final", "found: 0 tumor and 0 no tumor; expected: at least 4 of each"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(tmp_path, arguments, name, words):
    study = make_cohort(tmp_path, **arguments)
    with pytest.raises(DataError, match="Cannot train") as refusal:
        train.train(study, name, 0, QUICK)
    assert words in str(refusal.value)
    records = train.train_all(study, [name], (0,), QUICK)
    assert records["status"].tolist() == ["refused"] and words in records["reason"].iloc[0]
    assert runs.summary(records)["n_test"].isna().all()
    with pytest.raises(DataError, match="No run of this cohort can be trained"):
        runs.collect(study, records)


def test_a_refused_run_is_recorded_and_never_loaded(tmp_path):
    study = make_cohort(tmp_path, patients=2)
    command = ["train", "--data", study.data, "--cohort", "small", "--protocol", "sound"]
    assert main([*command, "--may-refuse"]) == 0
    with pytest.raises(DataError, match="3 patients needed, 2 found"):
        runs.load_model(runs.folder(study, "sound-final", 0))
    assert main(command) == 1


@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
def test_torchs_settings_are_left_as_they_were_found(before):
    def found():
        strict = torch.are_deterministic_algorithms_enabled()
        lenient = torch.is_deterministic_algorithms_warn_only_enabled()
        return strict, lenient, torch.utils.deterministic.fill_uninitialized_memory

    try:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        with pytest.raises(KeyboardInterrupt), compute.repeatable():
            assert found() == (True, True, False)
            raise KeyboardInterrupt
        assert found() == (*before, True)
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_gradient_that_is_not_finite_stops_the_run(study):
    with pytest.raises(FloatingPointError, match="not finite"):
        train.train(study, "sound-final", 9, Settings(closeups=0, epochs=5, learning_rate=1e30))


def test_the_gradient_of_the_network_is_that_of_finite_differences():
    """torch.autograd.gradcheck on every weight, in double precision."""
    torch.manual_seed(0)
    network = GenericCNN(32, channels=(2, 2, 2, 2), hidden=3, dropout=0.0).double()
    images = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    small = {
        n: w.detach().requires_grad_() for n, w in network.named_parameters() if w.numel() < 80
    }

    def logits(*values):
        chosen = dict(zip(small, values, strict=True))
        return torch.func.functional_call(network, chosen, (images,))

    assert torch.autograd.gradcheck(logits, tuple(small.values()))


def test_every_run_of_the_study_has_a_plan_and_a_command():
    assert set(experiments.MAIN) | set(experiments.REGIONS) | set(experiments.LEAKAGE) == set(
        experiments.PLANS
    )
    for name in experiments.PLANS:
        assert "-".join(experiments.part_of_study(name)) == name
