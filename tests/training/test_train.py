"""Training: killed and resumed, the two protocols' rules, refusals in words, gradients."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from training_fixture import make_cohort

from camreader.__main__ import main
from camreader.cohorts.splits import by_image
from camreader.common.errors import DataError
from camreader.training import compute, experiments, plots, runs, train, trainer
from camreader.training.experiments import Ended, Settings
from camreader.training.networks import GenericCNN

QUICK = Settings(epochs=3, least_steps=1, batch_size=16, resamples=2, extensions=0)


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
    command += ["--protocol", "paper", "--run", "final", "--epochs", "16", "--resamples", "2"]
    command += ["--least-steps", "1", "--extensions", "1", "--target-error", "-1"]
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
    assert killed_at == sorted(killed_at) and killed_at[0] > 0 and killed_at[-1] < 48
    subprocess.run(options(broken.data), check=True, capture_output=True, env=environment)
    other = runs.folder(whole, "paper-final", 0)
    mine, theirs = (load_file(f / "model.safetensors") for f in (where, other))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    for name in ("history", "predictions"):
        tables = [pd.read_parquet(f / f"{name}.parquet") for f in (where, other)]
        pd.testing.assert_frame_equal(*tables)
    assert sorted(p.name for p in where.iterdir()) == sorted(p.name for p in other.iterdir())


def test_two_processes_train_one_network(tmp_path):
    """torchrun on the CPU: gradients are averaged, process 0 decides and writes, both end."""
    study = make_cohort(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command += ["-m", "--", "camreader", "train", "--data", study.data, "--cohort", "small"]
    command += ["--protocol", "sound", "--run", "final", "--epochs", "12", "--least-steps", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)
    record = runs.record(study, "sound-final")
    history = pd.read_parquet(runs.folder(study, "sound-final", 0) / "history.parquet")
    assert record["epochs"] == len(history) and record["wrong_test"] < 0.3 * record["n_test"]
    assert history["train_loss"].iloc[-1] < 0.7 * history["train_loss"].iloc[0]


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
    changed = train.train(study, "paper-first", 0, replace(QUICK, epochs=2))
    assert changed["epochs"] == 2 and path.stat().st_mtime_ns > before


def history_of(study, name):
    return pd.read_parquet(runs.folder(study, name, 1) / "history.parquet")


def test_the_paper_asks_its_test_set_once_a_draw_when_the_training_is_over(study):
    settings = replace(QUICK, epochs=20, target_accuracy=0.9)
    record = train.train(study, "paper-final", 1, settings)
    assert record["ended"] == Ended.TARGET and record["wrong_test"] <= 0.1 * 24
    assert record["epochs"] == 20 * record["draws"]  # no draw ends early, however good it looks
    history = history_of(study, "paper-final")
    asked = history[history["watched"].notna()]  # every fifth epoch
    assert list(asked["epoch"]) == record["draws"] * [5, 10, 15, 20]
    assert asked["watched"].eq("test").all() and asked["watched_accuracy"].iloc[:-1].max() > 0.9
    assert record["kept_epoch"] == 20
    assert history["watched_accuracy"].iloc[-1] == 1 - record["wrong_test"] / record["n_test"]


def test_a_bar_out_of_reach_keeps_the_last_network_not_the_best_on_the_test_set(study):
    record = train.train(study, "paper-final", 1, replace(QUICK, target_accuracy=2))
    assert record["ended"] == Ended.BUDGET and record["draws"] == 2 and record["epochs"] == 6
    assert (record["kept_draw"], record["kept_epoch"]) == (1, 3)


def test_the_sound_run_never_looks_at_its_test_set(study):
    record = train.train(study, "sound-final", 1, replace(QUICK, epochs=4))
    history = history_of(study, "sound-final")
    assert history["watched"].eq("validation").all()
    best = history.loc[history["watched_loss"].idxmin(), "epoch"]
    assert record["kept_epoch"] == best


def test_the_sound_run_stops_when_its_validation_loss_no_longer_improves(study):
    record = train.train(study, "sound-final", 1, replace(QUICK, epochs=60, patience=0.1))
    assert record["ended"] == Ended.NO_BETTER and record["epochs"] == record["kept_epoch"] + 6


def state_of(study, plan, settings, **facts):
    """A training of `plan` that has come as far as `facts` say."""
    frame, images = train.load_slices(study, experiments.PLANS[plan])
    state = trainer.Fit(frame, images, experiments.PLANS[plan], settings, 0)
    for name, value in facts.items():
        setattr(state, name, value)
    return state


@pytest.mark.parametrize(
    ("losses", "error", "goes_on"),
    [
        ([0.8, 0.7, 0.6, 0.5], 0.3, True),
        ([0.8, 0.7, 0.6, 0.6], 0.3, False),  # no longer falling
        ([0.8, 0.7, 0.6, 0.5], 0.1, False),  # not far from the 5 %
    ],
)
def test_a_network_that_underfits_and_still_learns_goes_on(study, losses, error, goes_on):
    settings = replace(QUICK, epochs=4, extensions=1)
    rows = [{"draw": 0, "train_loss": loss, "train_error": error} for loss in losses]
    state = state_of(study, "paper-first", settings, history=rows)
    state.epoch = 4
    assert (state.reason_to_stop(rows[-1]) is None) is goes_on
    assert state.cycle == ([4, 6] if goes_on else [0, 4]) and state.extended == goes_on
    state.epoch = state.cycle[1]
    assert state.reason_to_stop(rows[-1]) is Ended.BUDGET  # a stated number of times


def test_networks_that_are_compared_are_trained_for_one_schedule(study):
    settings = replace(QUICK, epochs=4, extensions=1)
    rows = [{"draw": 0, "train_loss": loss, "train_error": 0.3} for loss in (0.8, 0.7, 0.6, 0.5)]
    state = state_of(study, "paper-first", settings, history=rows, epoch=4)
    state.plan = experiments.PLANS["leakage-slices_truth"]
    assert state.reason_to_stop(rows[-1]) is Ended.PLANNED and state.extended == 0


def test_only_repeatable_algorithms_do_not_load_the_compiler():
    code = """import sys
from camreader.training import compute
with compute.repeatable():
    assert "torch._inductor" not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_underfitting_is_said(study):
    settings = replace(QUICK, epochs=1, learning_rate=1e-9)
    table = runs.summary(train.train_all(study, ["paper-first"], (0,), settings))
    (words,) = runs.finding(table)
    assert "has not learned its own training slices" in words and table["underfits"].all()
    table = runs.summary(train.train_all(study, ["paper-first"], (0,), replace(QUICK, epochs=30)))
    (words,) = runs.finding(table)
    assert Ended.TARGET in words and "has not learned" not in words
    assert table["underfits"].tolist() == [False]


def test_a_redrawn_split_keeps_the_size_of_the_test_set_and_is_no_cohorts_own(study):
    state = state_of(study, "paper-final", QUICK)
    drawn = [state.split_of(draw) for draw in range(1, 4)]
    assert {(split == "test").sum() for split in drawn} == {24}  # of 96: TEST_SHARE was 0.25
    own = [by_image(96, 0.25, seed) for seed in range(5)]
    assert not any((split == other).all() for split in drawn for other in own)
    assert len({tuple(split) for split in drawn}) == 3


def test_a_redrawn_split_keeps_copies_on_one_side(study):
    state = state_of(study, "paper-final", QUICK)
    state.frame = state.frame.assign(duplicate_group=[f"g{k // 4}" for k in range(96)])
    for draw in range(1, 6):
        sides = pd.Series(state.split_of(draw)).groupby(np.arange(96) // 4).nunique()
        assert (sides == 1).all()


def test_a_split_that_came_with_the_data_is_not_drawn_again(tmp_path):
    study = make_cohort(tmp_path)
    never = replace(QUICK, target_accuracy=2.0, resamples=3, epochs=1)
    assert train.train(study, "paper-final", 0, never)["draws"] == 3
    study.save_card(study.card | {"own_split": True, "source": str(tmp_path)})
    assert train.train(study, "paper-final", 0, never)["draws"] == 1


def test_the_other_network_is_trained_saved_and_loaded_too(tmp_path):
    study = make_cohort(tmp_path)
    other = replace(QUICK, architecture="resnet18", epochs=1)
    record = train.train(study, "sound-final", 0, other)
    where = runs.folder(study, "sound-final", 0)
    network = runs.load_model(where)[0]
    assert len(load_file(where / "model.safetensors")) == len(network.state_dict())
    images = train.load_slices(study, experiments.PLANS["sound-final"])[1]
    logits = pd.read_parquet(where / "predictions.parquet")["logit"]
    np.testing.assert_allclose(trainer.predict(network, images), logits, atol=1e-4)
    assert record["parameters"] == sum(p.numel() for p in network.parameters())


def test_the_finding_counts_epochs_and_draws(study):
    settings = replace(QUICK, epochs=1, target_accuracy=2, patience=2)
    names = ["paper-final", "sound-final"]
    table = runs.summary(train.train_all(study, names, (5,), settings))
    paper, sound = runs.finding(table)
    assert f"{Ended.BUDGET} after 2 epochs in 2 draws of the split; training error" in paper
    assert f"{Ended.PLANNED} after 1 epoch; training error" in sound


def test_the_curves_count_whole_epochs_and_hide_no_value(study):
    settings = replace(QUICK, epochs=2, target_accuracy=2)
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
        ({}, "lung-final", "No training on lung slices: the cohort has no slice of the kind"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(tmp_path, arguments, name, words):
    study = make_cohort(tmp_path, **arguments)
    with pytest.raises(DataError, match=r"Cannot train|No training") as refusal:
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


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({}, "float32")],
)
def test_bfloat16_is_used_where_the_processor_multiplies_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False} | capabilities
    )
    cpu, values = torch.device("cpu"), torch.ones(2, 2)
    assert compute.precision(cpu) == expected
    with compute.mixed_precision(cpu):
        assert (values @ values).dtype == getattr(torch, expected)


def test_the_record_says_the_precision_and_predictions_are_float32(study):
    record = train.train(study, "sound-final", 0, QUICK)
    assert record["precision"] == compute.precision(torch.device("cpu"))
    network = runs.load_model(runs.folder(study, "sound-final", 0))[0]
    images = train.load_slices(study, experiments.PLANS["sound-final"])[1]
    with torch.no_grad():
        logits = network(images)  # float32, as Grad-CAM explains it
    stored = pd.read_parquet(runs.folder(study, "sound-final", 0) / "predictions.parquet")["logit"]
    np.testing.assert_allclose(logits, stored, atol=1e-5)


def test_a_gradient_that_is_not_finite_stops_the_run(study):
    with pytest.raises(FloatingPointError, match="not finite"):
        train.train(study, "sound-final", 9, replace(QUICK, epochs=5, learning_rate=1e30))


def test_the_gradient_of_the_network_is_that_of_finite_differences():
    """torch.autograd.gradcheck on every weight, in double precision."""
    torch.manual_seed(0)
    network = GenericCNN(32, channels=(2, 2, 2, 2), hidden=3, dropout=0.0).double().eval()
    images = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    small = {
        n: w.detach().requires_grad_() for n, w in network.named_parameters() if w.numel() < 80
    }

    def logits(*values):
        chosen = dict(zip(small, values, strict=True))
        return torch.func.functional_call(network, chosen, (images,))

    assert torch.autograd.gradcheck(logits, tuple(small.values()))


def test_every_run_of_the_study_has_a_plan_and_a_command():
    asked = {*experiments.MAIN, *experiments.REGIONS, *experiments.LEAKAGE}
    assert asked | set(experiments.YOURS.values()) == set(experiments.PLANS)
    assert experiments.yours({"sound": "no patients"}) == "yours_slices-final"
    assert experiments.yours({}) == "yours-final"
    for name in experiments.PLANS:
        assert "-".join(experiments.part_of_study(name)) == name
