"""Notebook 04's tables on a small study: files like DeepLesion's, a network with random weights."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from slices_fixture import write_deeplesion, write_truth

from camreader.__main__ import main
from camreader.cohorts import cohort, pixels, windows
from camreader.common import storage
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.common.tables import Cohort, Heatmaps, Predictions
from camreader.heatmaps import cases as explained
from camreader.heatmaps import comparison, faithfulness, findings, gradcam, showcase
from camreader.heatmaps import maps as map_store
from camreader.heatmaps import methods as rivals
from camreader.heatmaps import tables as map_tables
from camreader.training import runs
from camreader.training.networks import GenericCNN

torch.set_num_threads(1)
SIZE = 64
QUICK = ("gradcam", "hirescam", "cam", "saliency", "random", "centre")


def write_run(study, frame, seed, split="split_patient", protocol="sound"):
    """A finished final run of a network with random weights; returns its predictions."""
    torch.manual_seed(seed)
    network = GenericCNN(SIZE).eval()
    images = torch.from_numpy(windows.model_input(np.load(study.pixels), 50, 400))
    with torch.no_grad():
        # Some of each answer, and none so close to the border that rounding decides.
        network.head[-1].bias -= network(images).quantile(0.4)
        logits = network(images).numpy().astype(float)
    table = pd.DataFrame(
        {
            "slice_id": frame["slice_id"],
            "protocol": protocol,
            "run": "final",
            "seed": seed,
            "split": frame[split],
            "logit": logits,
            "probability": 1 / (1 + np.exp(-logits)),
            "predicted": (logits > 0).astype(int),
        }
    )
    record = {"architecture": "generic", "image_size": SIZE, "window": "soft tissue"}
    where = runs.folder(study, f"{protocol}-final", seed)
    runs.finish(where, network.state_dict(), pd.DataFrame(), table, record)
    return table


def write_study(folder, patients=8, **run):
    """A study of `patients` series whose final runs of seeds 0 and 1 are finished."""
    source = folder / "source"
    write_deeplesion(source, patients)
    write_truth(source, patients)
    study = Study(folder / "data", "sample", folder / "reports")
    frame, card = cohort.load(source, "auto", 10.0, 0, 900, 0.4)
    pixels.ingest(frame, card["source"], study.pixels, SIZE, progress=False)
    storage.write_table(frame, study.cohort_table, Cohort)
    study.save_card(card | {"name": "sample"})
    tables = [write_run(study, frame, seed, **run) for seed in (0, 1)]
    table = pd.concat(tables, ignore_index=True)
    storage.write_table(table, study.runs / "predictions.parquet", Predictions)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def run(study):
    return explained.load(study)


@pytest.fixture(scope="module")
def found(study, run):
    return comparison.tumor_maps(study, run, QUICK)


@pytest.fixture(scope="module")
def table(study, run, found):
    truths = explained.truths(study, run.cases, SIZE)
    scored = {name: map_tables.score(run, found, truth) for name, truth in truths.items()}
    return map_tables.localisation_table(scored, QUICK, draws=50)


def test_only_test_slices_with_their_own_pixels(study, run):
    cases = run.cases
    assert run.protocol == "sound" and set(cases["split"]) == {"test"}
    hu = np.load(study.pixels)
    for k in (0, len(cases) - 1):
        expected = windows.window(hu[cases["row"][k]], 50, 400)
        np.testing.assert_array_equal(run.images[k, 0], expected)
    with torch.no_grad():
        np.testing.assert_allclose(run.model(run.images), cases["logit"], atol=1e-5)
    kinds = cases.groupby("outcome")[["label", "predicted"]].first()
    assert kinds.loc["false negative"].tolist() == [1, 0]
    assert (cases["lesion"] == (cases["label"] == 1)).all()


def test_the_other_protocol_stands_in_where_one_was_refused(tmp_path):
    study = write_study(tmp_path, 3, split="split_image", protocol="paper")
    assert explained.load(study, "sound").protocol == "paper"
    with pytest.raises(DataError, match="this seed"):
        explained.load(study, "sound", seed=7)
    with pytest.raises(DataError, match="make report"):
        explained.load(Study(tmp_path, "none", tmp_path))


def test_stored_maps_explain_the_decision_and_a_second_call_repeats_nothing(study, run):
    maps, records = explained.store(study, run, progress=False)
    expected = gradcam.explain(run.model, run.images)
    np.testing.assert_allclose(maps, expected.maps, atol=1e-3)  # kept as float16
    assert records["explained_class"].tolist() == run.cases["predicted"].tolist()
    assert (records["score"] >= 0).all() and set(records["layer"]) == {"features.9"}
    path = study.runs / "heatmaps" / "gradcam.npy"
    written = path.stat().st_mtime_ns
    explained.store(study, run, progress=False)
    assert path.stat().st_mtime_ns == written
    other = explained.load(study, seed=1)
    changed, _ = explained.store(study, other, progress=False)
    assert path.stat().st_mtime_ns != written and not np.allclose(changed, expected.maps, atol=0.01)


def test_a_killed_storing_goes_on_where_it_stopped(tmp_path, run):
    calls = []

    def read(start, stop):
        calls.append(start)
        if len(calls) == 4:  # the first call asks for the size
            raise KeyboardInterrupt
        return run.images[start:stop]

    path, many = tmp_path / "maps.npy", {"count": len(run.images), "chunk": 3, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        map_store.store(path, run.model, read, **many)
    assert not path.exists()
    maps, records = map_store.store(path, run.model, read, **many)
    assert calls[4:6] == [0, 6]  # size again, then the chunk that was cut off
    np.testing.assert_allclose(maps, gradcam.grad_cam(run.model, run.images), atol=1e-3)
    assert records["done"].all() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("renames", range(5))
def test_a_kill_between_any_two_renames_leaves_no_wrong_map(tmp_path, run, monkeypatch, renames):
    arguments = (run.model, lambda start, stop: run.images[start:stop], len(run.images))
    left, replace = [renames], os.replace

    def killed(*names):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        replace(*names)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        map_store.store(tmp_path / "maps.npy", *arguments, progress=False)
    maps, records = map_store.store(tmp_path / "maps.npy", *arguments, progress=False)
    expected = gradcam.explain(run.model, run.images)
    np.testing.assert_allclose(maps, expected.maps, atol=1e-3)
    np.testing.assert_allclose(records["score"], expected.score, atol=1e-5)


@pytest.mark.parametrize("end", ["maps", "records"])
def test_half_of_what_a_killed_call_left_is_not_gone_on_with(tmp_path, run, end):
    def read(start, stop):
        if start >= 6:
            raise KeyboardInterrupt
        return run.images[start:stop]

    many = {"count": len(run.images), "chunk": 3, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        map_store.store(tmp_path / "maps.npy", run.model, read, **many)
    next(tmp_path.glob(f".*.{end}.npy")).unlink()
    images = run.images
    maps, _ = map_store.store(tmp_path / "maps.npy", run.model, lambda a, b: images[a:b], **many)
    np.testing.assert_allclose(maps, gradcam.grad_cam(run.model, images), atol=1e-3)


@pytest.mark.parametrize("name", ["maps.npy", "maps.records.npy", "maps.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_stored_file_that_is_missing_or_damaged_is_made_again(tmp_path, run, name, damage):
    arguments = (run.model, lambda start, stop: run.images[start:stop], len(run.images))
    map_store.store(tmp_path / "maps.npy", *arguments, progress=False)
    damage(tmp_path / name)
    maps, records = map_store.store(tmp_path / "maps.npy", *arguments, progress=False)
    np.testing.assert_allclose(maps, gradcam.grad_cam(run.model, run.images), atol=1e-3)
    assert records["done"].all()


def test_tumor_maps_are_of_lesion_slices_and_slow_methods_see_a_sample(study, run):
    methods = ("gradcam", "occlusion", "cam")
    maps = comparison.tumor_maps(study, run, methods, slow_slices=2)
    assert set(maps) == {"gradcam", "occlusion"}  # CAM does not apply to this head
    assert maps["gradcam"][0].tolist() == np.flatnonzero(run.cases["lesion"]).tolist()
    few, drawn = maps["occlusion"]
    assert len(few) == 2 and drawn.shape == (2, SIZE, SIZE) and set(few) <= set(maps["gradcam"][0])


def test_maps_made_by_a_job_are_found_and_made_anew_only_where_they_do_not_fit(study, run):
    path = study.runs / "heatmaps" / "guided_gradcam.safetensors"

    def maps(explained=run):
        return comparison.tumor_maps(study, explained, ["guided_gradcam"])["guided_gradcam"][1]

    assert not path.exists()
    main(f"maps --data {study.data} --cohort sample --method guided_gradcam".split())
    made = path.stat().st_mtime_ns
    expected = rivals.compute("guided_gradcam", run.model, run.images[run.cases["lesion"]], 1)
    np.testing.assert_array_equal(maps(), expected)
    assert path.stat().st_mtime_ns == made
    other = explained.load(study, seed=1)  # another network
    assert not np.array_equal(maps(other), expected) and path.stat().st_mtime_ns > made
    path.write_bytes(path.read_bytes()[:1000])  # cut off
    np.testing.assert_array_equal(maps(), expected)


def test_maps_table_counts_what_peers_would_leave_blank(run):
    records = gradcam.explain(run.model, run.images)
    frame = pd.DataFrame(
        {name: getattr(records, name) for name in ("explained_class", "blank", "relative")}
    ).assign(layer=records.layer)
    table = map_tables.maps_table(run, frame).set_index("outcome")
    positive = gradcam.explain(run.model, run.images, 1).blank
    for outcome, row in table.iterrows():
        mine = (run.cases["outcome"] == outcome).to_numpy()
        assert row["n"] == mine.sum() and row["peer_blank"] == positive[mine].sum()
        assert row["blank"] == 0 and row["cells"] == "16 x 16"


def test_the_first_grad_cam_row_is_the_one_claims_quote(table):
    first = table[table["method"] == "gradcam"].iloc[0]
    assert first["kind"] == "all" and {"hit", "hit_low", "hit_high", "n"} <= set(table)
    assert set(table.loc[table["kind"] == "all", "method"]) == set(QUICK)
    cam = table[table["method"] == "cam"].iloc[0]
    assert cam["n"] == 0 and "does not apply" in cam["note"]
    groups = table[table["kind"] != "all"]
    assert set(groups["method"]) == {"gradcam", "random", "centre"}
    own = groups[(groups["kind"] == "size") & (groups["method"] == "gradcam")]
    assert own["n"].sum() == first["n"]


def test_exact_masks_come_first_where_they_are_known(study, run, tmp_path):
    assert list(explained.truths(study, run.cases, SIZE)) == ["box"]
    (tmp_path / "Masks_png").mkdir()
    known = SimpleNamespace(card={"source": str(tmp_path)})
    assert list(explained.truths(known, run.cases, SIZE)) == ["exact mask", "box"]


def test_heatmaps_table_keeps_its_schema_and_scores_lesions_only(study, run):
    maps, records = explained.store(study, run, progress=False)
    truth = explained.truths(study, run.cases, SIZE)["box"]
    map_tables.heatmaps_table(study, run, records, maps, truth)
    written = storage.read_table(study.runs / "heatmaps" / "heatmaps.parquet", Heatmaps)
    assert written["slice_id"].tolist() == run.cases["slice_id"].tolist()
    assert (written["hit"].isna() == ~run.cases["lesion"]).all()


def test_faithfulness_of_every_method_on_the_same_slices(study, run, found):
    curves, areas = map_tables.faithfulness_curves(run, found, count=5)
    assert areas.groupby("method").size().tolist() == [5] * len(found)
    assert set(curves["n"]) == {5}
    randomised = map_tables.sanity(run, count=3)
    seeds = map_tables.seeds_table(study, run, [0, 1])
    assert seeds["seed"].tolist() == [1] and seeds["n"][0] == run.cases["lesion"].sum()
    assert -1 <= seeds["likeness"][0] < 0.99
    table = map_tables.faithfulness_table(areas, randomised, seeds, found, draws=20)
    table = table.set_index("method")
    assert table.loc["gradcam", "likeness_other_seeds"] == seeds["likeness"][0]
    assert table["likeness_other_seeds"].notna().sum() == 1
    assert table.loc["gradcam", "randomised_maps"] == 3 * faithfulness.DRAWS
    gain = table["insertion"] - table["deletion"]
    np.testing.assert_allclose(gain, table["insertion_minus_deletion"], atol=1e-6)
    own, column = table.loc["gradcam"], "insertion_minus_deletion"
    difference = table[column] - own[column]  # all methods saw the same slices
    others = table.index != "gradcam"
    np.testing.assert_allclose(table[f"{column}_minus_gradcam"][others], difference[others])
    assert (table[f"{column}_minus_gradcam_low"] <= table[f"{column}_minus_gradcam_high"])[
        others
    ].all()


def test_one_seed_leaves_the_comparison_of_seeds_empty(study, run, found):
    seeds = map_tables.seeds_table(study, run, [0])
    assert seeds.empty
    _, areas = map_tables.faithfulness_curves(run, found, count=2)
    table = map_tables.faithfulness_table(areas, map_tables.sanity(run, 2), seeds, found, draws=5)
    assert table["likeness_other_seeds"].isna().all() and (table["seeds_compared"] == 0).all()


def test_without_a_lesion_everything_says_so(study, run):
    cases = run.cases.assign(lesion=False)
    empty = explained.Explained(run.protocol, run.model, run.record, cases, run.images)
    maps = comparison.tumor_maps(study, empty, QUICK)
    truth = explained.truths(study, cases, SIZE)["box"]
    scored = {"box": map_tables.score(empty, maps, truth)}
    table = map_tables.localisation_table(scored, QUICK, draws=5)
    assert table["method"].tolist() == list(QUICK)
    assert set(table["note"]) == {"no test slice has a lesion whose place is known"}
    curves, areas = map_tables.faithfulness_curves(empty, maps)
    faithful = map_tables.faithfulness_table(
        areas, map_tables.sanity(empty), map_tables.seeds_table(study, empty, [0]), maps, 5
    )
    assert curves.empty and (faithful["n"] == 0).all()
    assert "cannot be measured" in next(findings.finding(table, faithful))


def finding_of(low, high, patients=40):
    """The finding's words where HiResCAM's difference to Grad-CAM has this interval."""
    rows = [
        ("gradcam", 0.5, np.nan, np.nan),
        ("hirescam", 0.6, low, high),
        ("random", 0.0, -0.6, -0.4),
        ("centre", 0.1, -0.5, -0.3),
    ]
    columns = ["method", "hit", "hit_minus_gradcam_low", "hit_minus_gradcam_high"]
    table = pd.DataFrame(rows, columns=columns).assign(
        truth="box", kind="all", n=90, patients=patients
    )
    table["hit_near"] = table["hit"] + 0.2
    for score in ("hit", "hit_near"):
        table[f"{score}_low"] = table[score] - 0.1
        table[f"{score}_high"] = table[score] + 0.1
    return "\n".join(findings.finding(table, faithful_of(low, high, patients)))


def faithful_of(low, high, patients):
    """Faithfulness in which a baseline leads and HiResCAM's difference has this interval."""
    score, rows = (
        "insertion_minus_deletion",
        [
            ("gradcam", 0.2, np.nan, np.nan, 0.1, -0.1, 0.3, 80, 3),
            ("hirescam", 0.3, low, high, np.nan, np.nan, np.nan, 80, 80),
            ("centre", 0.4, 0.1, 0.3, *[np.nan] * 5),
            ("random", 0.1, -0.2, -0.1, *[np.nan] * 5),
        ],
    )
    columns = [score, f"{score}_minus_gradcam_low", f"{score}_minus_gradcam_high"]
    columns += [f"randomised_{x}" for x in ("likeness", "lowest", "highest", "maps", "blank")]
    return pd.DataFrame(rows, columns=["method", *columns]).assign(n=60, patients=patients)


def test_no_baseline_is_called_faithful_and_no_method_without_a_shown_difference():
    shown, not_shown = finding_of(0.02, 0.2), finding_of(-0.1, 0.2)
    order = "60 slices of 40 patients), in order: HiResCAM 0.30, Grad-CAM 0.20. "
    for said in (shown, not_shown):
        assert order + "Baselines: Centre blob 0.40, Random map 0.10" in said
        assert "shown to be above: Random map." in said
    assert "(paired interval of the difference above 0): HiResCAM. Less: none." in shown
    assert "none is called the most faithful" in not_shown and "none is called" not in shown


def test_nothing_is_concluded_from_a_handful_of_patients():
    few, enough = (finding_of(0.02, 0.2, patients) for patients in (5, 6))
    assert "Fewer than 6 patients, so nothing is concluded" in few
    assert few.count("HiResCAM") == 3 and "Worse: none. Not told apart: HiResCAM" in few
    assert "shown to be above: none" in few and "none is called the most faithful" in few
    assert "Better than Grad-CAM (interval of the difference above 0): HiResCAM" in enough
    assert "shown to be above: Random map" in enough


def test_the_finding_names_blank_maps_of_random_weights():
    said = finding_of(-0.1, 0.2)
    assert "Grad-CAM 0.10 (-0.10 to 0.30; 3 of 80 maps blank)" in said
    assert "HiResCAM cannot be compared (80 of 80 maps blank)" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.02, 0.2), ("Better than Grad-CAM", "HiResCAM", "does not localise best")),
        ((-0.1, 0.2), ("Not told apart: HiResCAM", "does not make it the best")),
    ],
)
def test_the_finding_says_only_what_the_intervals_carry(arguments, words):
    said = finding_of(*arguments)
    assert all(word in said for word in words)
    assert "90 lesion slices of 40 patients" in said and "Random map, Centre blob" in said
    assert "at most 1/16 of the slice's side away in 70 %" in said


# ---- which cases are shown ----


def test_cases_are_picked_evenly_and_the_same_each_time(run):
    rows = showcase.pick(run.cases, 8, seed=3)
    assert rows == showcase.pick(run.cases, 8, seed=3) and len(set(rows)) == 8
    kinds = run.cases["outcome"].iloc[rows]
    there = run.cases["outcome"].value_counts()
    assert all(kinds.eq(name).sum() >= min(2, there[name]) for name in there.index)
    assert sorted(showcase.pick(run.cases, 999)) == list(range(len(run.cases)))
    wrong = run.cases.iloc[showcase.errors(run.cases)]
    assert (wrong["label"] != wrong["predicted"]).all()


def test_the_slice_of_figure_2_is_a_found_lesion_where_there_is_one(run):
    case = run.cases.iloc[showcase.clearest(run.cases)]
    assert case["lesion"] and case["outcome"] == "true positive"
    none = run.cases.assign(lesion=False)
    sure = (none["probability"] - 0.5).abs()
    assert showcase.clearest(none) == sure.to_numpy().argmax()


def test_the_viewer_holds_full_slices_with_every_method(study, run):
    maps = gradcam.grad_cam(run.model, run.images)
    rows = showcase.pick(run.cases, 4)
    viewer = showcase.viewer(study, run, rows, maps, ("gradcam", "saliency"))
    assert viewer.count == 4 and viewer._methods == ["Grad-CAM", "Saliency"]
    assert np.asarray(viewer.images[0]).shape == (64, 64) and viewer.images[0].dtype == np.int16
    titles = " ".join(viewer.titles)
    assert "actual: tumor" in titles and run.cases["slice_id"].iloc[rows[0]] in titles
    assert "P000" not in viewer.cohort_title and viewer.cohort_title == study.card["title"]


def test_overlays_for_the_reading_room(study, run, tmp_path):
    maps = gradcam.grad_cam(run.model, run.images)
    rows = showcase.pick(run.cases, 3)
    table = showcase.export_dicom(study, run, rows, maps, "features.10", tmp_path)
    assert table["slice_id"].tolist() == run.cases["slice_id"].iloc[rows].tolist()
    assert len(list(tmp_path.glob("*.dcm"))) == 3
    assert set(rivals.TITLES) >= set(showcase.SHOWN)
