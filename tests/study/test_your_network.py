"""Six networks of other kinds, each from a configuration to report and reading session.

The whole `make report` is run for a network of a Python file and for results without a network; the
others take the same steps through the rooms, on a cohort of 64 tiny slices that all share.
"""

import importlib.util
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from explained_fixture import SIZE, write_study
from own_networks import write_code
from safetensors.torch import save_file
from study_run import QUICK, run
from vendor_results import maps_for, write

from camreader.common import own_code
from camreader.common.errors import Refusal
from camreader.common.storage import read_json, read_table
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.evaluation import classes, protocols
from camreader.heatmaps import cases, findings, maps, methods, shortcuts, tables
from camreader.report import workflow
from camreader.session import prepare
from camreader.session.plan import Plan
from camreader.session.progress import Design
from camreader.session.sealed import open_all
from camreader.training import description, experiments, runs, train
from camreader.training.experiments import Settings

TRANSFORMER = """
def vit():
    from torchvision.models import VisionTransformer
    return VisionTransformer(64, 16, 2, 2, 16, 32, num_classes=2)
"""
QUICKLY = ("gradcam", "layercam", "gradient_input", "attention_rollout", "random", "centre")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a cohort, code and files of weights."""
    folder = tmp_path_factory.mktemp("yours")
    study = write_study(folder)
    shutil.rmtree(study.runs)
    with open(write_code(folder), "a") as code:
        code.write(TRANSFORMER)
    torch.manual_seed(0)
    for function in ("build", "three_classes", "vit"):
        network = own_code.function_of(f"{folder}/my_net.py:{function}")()
        save_file(network.state_dict(), folder / f"{function}.safetensors")
    from torchvision.models import resnet18

    torch.save(resnet18(num_classes=2).state_dict(), folder / "resnet18.pth")
    frame = read_table(study.cohort_table, Cohort)
    words = np.where(frame["label"] == 1, "tumor", np.where(frame.index % 2, "cyst", "normal"))
    frame.assign(class_name=words).to_parquet(study.cohort_table)
    write(folder / "vendor", frame, maps_for(len(frame), SIZE))
    return folder


def timm_weights(folder):
    import timm

    save_file(
        timm.create_model("resnet10t", num_classes=1).state_dict(), folder / "timm.safetensors"
    )


CASES = {
    "ResNet-18 of torchvision with a file of weights": (
        {"NETWORK": "torchvision:resnet18", "WEIGHTS": "{}/resnet18.pth"},
        {"CHANNELS": 3, "MEAN": [0.485, 0.456, 0.406], "STD": [0.229, 0.224, 0.225]},
    ),
    "two logits in Python": (
        {"NETWORK": "{}/my_net.py:build", "WEIGHTS": "{}/build.safetensors"},
        {"WINDOW": "60 300"},
    ),
    "three channels of timm": (
        {"NETWORK": "timm:resnet10t", "WEIGHTS": "{}/timm.safetensors"},
        {"CHANNELS": 3},
    ),
    "a vision transformer": (
        {"NETWORK": "{}/my_net.py:vit", "WEIGHTS": "{}/vit.safetensors"},
        {"CHANNELS": 3, "INPUT_SIZE": 64},
    ),
    "three classes": (
        {"NETWORK": "{}/my_net.py:three_classes", "WEIGHTS": "{}/three_classes.safetensors"},
        {"OUTPUTS": ["normal", "tumor", "cyst"], "CLASS": "tumor"},
    ),
    "predictions and maps only": ({"NETWORK": "results:{}/vendor"}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_from_a_configuration_to_every_table_and_a_reading(case, place, monkeypatch):
    if "timm" in case:
        if not importlib.util.find_spec("timm"):
            pytest.skip("timm is not installed")
        timm_weights(place)
    files, values = CASES[case]
    said = {name: text.format(place) for name, text in files.items()} | values
    results = said["NETWORK"].startswith("results:")
    said |= {} if results else {"TRAIN": "use"}
    config = yaml.safe_load(yaml.safe_dump({"parameters": {"02_train": said}}))
    workflow.check_own(config)
    own = description.from_parameters(config["parameters"]["02_train"])
    study = Study(str(place / "data"), "sample", str(place / "reports"))
    settings = Settings(own=own)

    records = train.train_all(study, experiments.MAIN, (0,), settings)
    predictions = runs.collect(study, records)
    cohort = read_table(study.cohort_table, Cohort)
    assert len(predictions) == len(cohort) == 64
    metrics = protocols.metrics_table(predictions, cohort, study.card, draws=10)
    final = metrics[(metrics["protocol"] == "sound") & (metrics["run"] == "final")]
    assert final.set_index("metric").loc["accuracy", "n"] == len(cohort)

    several = classes.tested(study, cohort)
    assert isinstance(several, Refusal) == (case != "three classes")
    rows = classes.table(several)
    if case == "three classes":
        assert set(rows["class"]) == {"normal", "tumor", "cyst", "all"}
        assert any("macro AUC" in line for line in classes.finding(rows))

    explained = cases.load(study)
    stored, facts = maps.store(study, explained, progress=False)
    names = ["given", *QUICKLY] if results else list(QUICKLY)
    found = maps.tumor_maps(study, explained, names)
    transformer = "transformer" in case
    expected = {"given"} if results else {"gradcam", "layercam", "gradient_input"}
    expected |= {"random", "centre"} | ({"attention_rollout"} if transformer else set())
    assert set(found) == expected
    truth = cases.truths(study, explained.cases, SIZE)["box"]
    table = tables.localisation_table({"box": tables.score(explained, found, truth)}, names)
    whole = table[table["kind"] == "all"].set_index("method")
    assert (whole.loc[list(expected), "n"] > 0).all()
    curves, areas = tables.faithfulness_curves(explained, found, count=2)
    randomised = tables.sanity(explained, count=2, draws=1)
    faithful = tables.faithfulness_table(
        areas, randomised, tables.seeds_table(study, explained, [0]), found
    )
    said = " ".join(findings.findings(table, faithful, explained.banner))
    outside = " ".join(shortcuts.finding(shortcuts.table(study, explained, stored)))
    if results:
        assert curves.empty and randomised.empty
        assert (faithful["note"] == methods.NO_NETWORK).all()
        assert "needs the network" in said and "needs the network" in outside
    else:
        assert set(randomised["method"]) >= {"gradcam", "layercam", "gradient_input"}
        assert set(curves["method"]) == expected and "needs the network" not in said
    tables.heatmaps_table(study, explained, facts, stored, truth)

    design = prepare.set_up(study, Plan(cases=10, readers=2, training_cases=0), force=True)
    sealed = open_all(design.folder)
    assert len(sealed) == 10 and design.card["model"].startswith("sound-final-seed0")
    answers = predictions.set_index("slice_id")["predicted"]
    assert all(c["cnn_prediction"] == answers[c["slice_id"]] for c in sealed.values())
    shutil.rmtree(study.readings)


def configured(checkout, **values):
    """The finished checkout with these parameters of notebook 02, few slow maps, and a report."""
    config = yaml.safe_load(yaml.safe_dump(QUICK))
    config["parameters"]["02_train"] |= values
    config["parameters"]["04_gradcam"] |= {"SLOW_SLICES": 3, "FAITHFUL_SLICES": 3}
    (checkout / "config.yaml").write_text(yaml.safe_dump(config))
    return run(checkout)


@pytest.mark.long
def test_a_network_in_a_file_goes_to_the_report_by_one_command(finished_copy):
    code = write_code(finished_copy)
    network = own_code.function_of(f"{code}:build")()
    save_file(network.state_dict(), finished_copy / "w.safetensors")
    (finished_copy / "cam.py").write_text(
        "def dark(model, images, classes):\n    return -images[:, 0]"
    )
    settings = {"NETWORK": "my_net.py:build", "WEIGHTS": "w.safetensors", "TRAIN": "use"}
    wrong = settings | {"LAYERS": ["nowhere"]}
    status, words = configured(finished_copy, **wrong)
    assert status == 1 and words.startswith("LAYERS names a layer that the network does not have")
    status, words = configured(finished_copy, **settings)
    assert status == 0, words[-4000:]
    assert "training" not in words  # no job trains
    tables_folder = finished_copy / "reports" / "tables"
    runs_table = pd.read_csv(tables_folder / "02_runs.csv")
    assert runs_table["status"].tolist() == ["refused"] * 3 + ["finished"]
    record = read_json(finished_copy / "data/runs/phantom/sound-final-seed0/model.json")
    assert record["architecture"] == "my_net.py:build" and record["n_test"] == 60
    leaks = pd.read_csv(tables_folder / "03_leakage.csv")
    assert leaks["note"].str.contains("Nothing is trained").all()
    assert (finished_copy / "reports/index.html").read_text().count("my_net.py:build") >= 1


@pytest.mark.long
def test_results_alone_go_to_the_report_by_one_command(finished_copy):
    frame = read_table(finished_copy / "data/cohorts/phantom/cohort.parquet", Cohort)
    write(finished_copy / "vendor", frame, maps_for(len(frame), 512), ".png")
    status, words = configured(finished_copy, NETWORK="results:vendor")
    assert status == 0, words[-4000:]
    table = pd.read_csv(finished_copy / "reports/tables/04_localisation.csv")
    hits = table[table["kind"] == "all"].groupby("method")["n"].max()
    assert hits["given"] > 0 and hits["gradcam"] == 0
    design = Design.load(finished_copy / "data/readings/phantom")
    assert (
        design.card["cases"]
        and "needs the network"
        in (finished_copy / "reports/tables/04_gradcam_findings.json").read_text()
    )
