"""A network used as it is: tested once on every slice, nothing trained, and recorded as such."""

import numpy as np
import pytest
import torch
from own_networks import write_code
from safetensors.torch import save_file
from training_fixture import make_cohort
from vendor_results import maps_for, write

from camreader.cohorts import windows
from camreader.common.errors import DataError, NotApplicable
from camreader.common.own_code import function_of
from camreader.common.storage import read_table
from camreader.common.tables import Cohort
from camreader.training import experiments, learned, network_plots, networks, plots, runs, train
from camreader.training.description import Description
from camreader.training.experiments import Settings


@pytest.fixture
def study(tmp_path):
    return make_cohort(tmp_path / "study", slices=48, patients=12)


def used(study, tmp_path, function="build", **values):
    code = write_code(tmp_path)
    network = function_of(f"{code}:{function}")()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    own = Description(f"{code}:{function}", str(tmp_path / "w.safetensors"), "use", **values)
    records = train.train_all(study, experiments.MAIN, (0,), Settings(own=own))
    return network.eval(), records


def test_it_is_tested_once_on_every_slice_by_its_own_answers(study, tmp_path):
    network, records = used(study, tmp_path, window="60 300", mean=(0.5,))
    assert records["status"].tolist() == ["refused"] * 3 + ["finished"]
    assert "it is tested once, as sound-final" in records["reason"].iloc[2]
    table = runs.collect(study, records)
    frame = read_table(study.cohort_table, Cohort)
    assert table["slice_id"].tolist() == frame["slice_id"].tolist()
    assert table["split"].eq("test").all()
    seen = torch.from_numpy(windows.model_input(np.load(study.pixels), 60, 300)) - 0.5
    with torch.no_grad():
        expected = network(seen).softmax(1)[:, 1].numpy()
    np.testing.assert_allclose(table["probability"], expected, atol=1e-5)
    summary = runs.summary(records).iloc[-1]
    assert summary["stopping_rule"] == "none: not trained here" and summary["n_test"] == 48
    assert any(
        "used as it is, not trained here" in line
        for line in runs.finding(records.pipe(runs.summary))
    )
    judged = learned.worth_explaining(study)
    assert "not trained here" in judged.words and judged.difference.n == 48
    assert learned.of_study(study).words == judged.words
    assert learned.rows([judged])["run"].tolist() == ["sound-final"]
    again = train.train(
        study,
        "sound-final",
        0,
        Settings(
            own=Description(
                f"{tmp_path}/my_net.py:build",
                str(tmp_path / "w.safetensors"),
                "use",
                window="60 300",
                mean=(0.5,),
            )
        ),
    )
    assert again["seconds"] == records["seconds"].iloc[-1]  # found finished, not asked again


def test_the_finished_run_gives_network_figures_and_layers_back(study, tmp_path):
    network, records = used(study, tmp_path)
    model, record = runs.network_of(study, "sound-final")
    assert (
        record["architecture"] == "my_net.py:build" and str(tmp_path) not in record["architecture"]
    )
    images = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(model.raw(images), network(images))
    layers = networks.layers(model, 32)
    assert network_plots.architecture(layers, "mine").axes
    figure = network_plots.components(model, images[0, 0].numpy())
    assert figure.axes[-1].get_title().startswith("Answer")
    words = plots.curves(runs.history(study, records), records).axes[0].texts[0].get_text()
    assert "Nothing was trained" in words


@pytest.mark.parametrize("how", ["train", "fine-tune"])
def test_a_network_of_ones_own_is_trained_as_the_workbooks_is(study, tmp_path, how):
    code, file = write_code(tmp_path), tmp_path / "w.safetensors"
    first = function_of(f"{code}:build")().state_dict()
    save_file(first, file)
    own = Description(f"{code}:build", str(file) if how == "fine-tune" else "", how)
    settings = Settings(own=own, epochs=1, least_steps=1, resamples=1, extensions=0)
    records = train.train_all(study, ["paper-second", "sound-final"], (0,), settings)
    assert records["status"].eq("finished").all()
    record = runs.record(study, "sound-final")
    rate = record["settings"]["learning_rate"]
    assert rate == pytest.approx(3e-4 if how == "fine-tune" else 3e-3)
    model, _ = runs.load_model(runs.folder(study, "sound-final", 0))
    moved = max(
        float((value.detach() - first[name.removeprefix("network.")]).abs().max())
        for name, value in model.named_parameters()
    )
    assert (0 < moved < 0.01) == (how == "fine-tune")  # steps of at most the rate
    again = train.train(study, "sound-final", 0, settings)
    assert again["seconds"] == record["seconds"]  # found finished


def test_several_classes_leave_their_probabilities(study, tmp_path):
    names = ("cyst", "tumor", "none")
    used(study, tmp_path, "three_classes", outputs=names, class_="tumor")
    found = read_table(runs.folder(study, "sound-final", 0) / "classes.parquet")
    assert list(found) == ["slice_id", "cyst", "tumor", "none"]
    np.testing.assert_allclose(found[list(names)].sum(axis=1), 1, atol=1e-6)


def test_results_alone_are_a_run_without_a_network(study, tmp_path):
    frame = read_table(study.cohort_table, Cohort)
    write(tmp_path / "vendor", frame, maps_for(len(frame)))
    settings = Settings(own=Description(f"results:{tmp_path}/vendor"))
    records = train.train_all(study, experiments.MAIN, (0,), settings)
    assert records["status"].tolist() == ["refused"] * 3 + ["finished"]
    model, record = runs.network_of(study, "sound-final")
    assert model is None and record["architecture"] == "results:vendor"
    with pytest.raises(NotApplicable, match="only the results"):
        runs.load_model(runs.folder(study, "sound-final", 0))
    layers = networks.layers(None)
    for figure in (network_plots.architecture(layers, "x"), network_plots.components(None, None)):
        assert "only the results" in figure.axes[0].texts[0].get_text()


def test_without_patients_it_is_the_papers_protocol_and_without_a_network_nothing(study):
    frame = read_table(study.cohort_table, Cohort).assign(patient_id=None, split_patient=None)
    frame.to_parquet(study.cohort_table)
    settings = Settings(own=Description(train="use"))
    with pytest.raises(DataError, match="it is tested once, as paper-final"):
        train.train(study, "sound-final", 0, settings)
    with pytest.raises(DataError, match="TRAIN: use needs a NETWORK"):
        train.train(study, "paper-final", 0, settings)
    with pytest.raises(DataError, match="Nothing is trained"):
        train.train(study, "leakage-slices_truth", 0, settings)
