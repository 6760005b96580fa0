"""Notebook 04's tables on a small study: files like DeepLesion's, a network with random weights."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from explained_fixture import QUICK, SIZE

from camreader.common import storage
from camreader.common.tables import Heatmaps
from camreader.heatmaps import (
    cases,
    faithfulness,
    findings,
    gradcam,
    maps,
    methods,
    plots,
    tables,
)


@pytest.fixture(scope="module")
def table(study, run, found):
    truths = cases.truths(study, run.cases, SIZE)
    scored = {name: tables.score(run, found, truth) for name, truth in truths.items()}
    return tables.localisation_table(scored, QUICK)


def test_maps_table_counts_what_peers_would_leave_blank(run):
    records = gradcam.explain(run.model, run.images)
    frame = pd.DataFrame(
        {name: getattr(records, name) for name in ("explained_class", "blank", "relative")}
    ).assign(layer=records.layer)
    table = tables.maps_table(run, frame).set_index("outcome")
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


def test_heatmaps_table_keeps_its_schema_and_scores_lesions_only(study, run):
    stored, records = maps.store(study, run, progress=False)
    truth = cases.truths(study, run.cases, SIZE)["box"]
    tables.heatmaps_table(study, run, records, stored, truth)
    written = storage.read_table(study.runs / "heatmaps" / "heatmaps.parquet", Heatmaps)
    assert written["slice_id"].tolist() == run.cases["slice_id"].tolist()
    assert (written["hit"].isna() == ~run.cases["lesion"]).all()


def test_faithfulness_of_every_method_on_the_same_slices(study, run, found):
    curves, areas = tables.faithfulness_curves(run, found, count=5)
    assert areas.groupby("method").size().tolist() == [5] * len(found)
    assert set(curves["n"]) == {5}
    randomised = tables.sanity(run, count=3)
    seeds = tables.seeds_table(study, run, [0, 1])
    assert seeds["seed"].tolist() == [1] and seeds["n"][0] == run.cases["lesion"].sum()
    assert -1 <= seeds["likeness"][0] < 0.99
    table = tables.faithfulness_table(areas, randomised, seeds, found)
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
    seeds = tables.seeds_table(study, run, [0])
    assert seeds.empty
    _, areas = tables.faithfulness_curves(run, found, count=2)
    table = tables.faithfulness_table(areas, tables.sanity(run, 2), seeds, found)
    assert table["likeness_other_seeds"].isna().all() and (table["seeds_compared"] == 0).all()


def test_without_a_lesion_everything_says_so(study, run):
    empty = replace(run, cases=run.cases.assign(lesion=False))
    found = maps.tumor_maps(study, empty, QUICK)
    truth = cases.truths(study, empty.cases, SIZE)["box"]
    scored = {"box": tables.score(empty, found, truth)}
    table = tables.localisation_table(scored, QUICK)
    assert table["method"].tolist() == list(QUICK)
    assert set(table["note"]) == {"no test slice has a lesion whose place is known"}
    curves, areas = tables.faithfulness_curves(empty, found)
    faithful = tables.faithfulness_table(
        areas, tables.sanity(empty), tables.seeds_table(study, empty, [0]), found
    )
    assert curves.empty and (faithful["n"] == 0).all()
    assert "cannot be measured" in next(findings.findings(table, faithful))


def test_another_method_is_one_entry_of_the_registry(study, run, monkeypatch):
    """Maps, tables, figures, findings and viewer take a method they have never heard of."""
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))

    @methods.register("Brightness", "slow", viewer=True)
    def brightness(model, images, classes):
        """The slice itself."""
        return methods.unit(images[:, 0].numpy())

    names = ("gradcam", "random", "centre", "brightness")
    found = maps.tumor_maps(study, run, names, slow_slices=4)
    assert len(found["brightness"][0]) == 4  # slow: a sample
    assert (study.runs / "heatmaps" / "brightness.safetensors").exists()  # and kept
    assert "brightness" in methods.own_jobs()
    truth = cases.truths(study, run.cases, SIZE)["box"]
    table = tables.localisation_table({"box": tables.score(run, found, truth)}, names)
    assert "brightness" in set(table.loc[table["n"] == 4, "method"])
    curves, areas = tables.faithfulness_curves(run, found, count=3)
    randomised, seeds = tables.sanity(run, 2), tables.seeds_table(study, run, [0])
    faithful = tables.faithfulness_table(areas, randomised, seeds, names)
    for figure in (plots.localisation(table), plots.faithfulness(faithful, curves, randomised)):
        said = " ".join(text.get_text() for text in figure.findobj(plt.Text))
        assert "Brightness" in said
    plt.close("all")
    assert "Brightness" in " ".join(findings.findings(table, faithful))
    rows = cases.pick(run.cases, 2)
    viewer = cases.viewer(study, run, rows, gradcam.grad_cam(run.model, run.images))
    assert "Brightness" in viewer._methods


def test_every_quick_method_that_looks_at_the_network_is_randomised(run):
    randomised = set(tables.sanity(run, count=2)["method"])
    applies = {"gradcam", "gradcam_pp", "hirescam", "layercam", "saliency", "guided_gradcam"}
    applies |= {"gradient_input"}
    assert randomised == applies  # not CAM on this head, no baseline, nothing slow


def test_curves_carry_the_interval_of_their_mean(run, found):
    curves, _ = tables.faithfulness_curves(run, found, count=5)
    for what in ("deletion", "insertion"):
        inside = curves[what].between(curves[f"{what}_low"] - 1e-6, curves[f"{what}_high"] + 1e-6)
        assert inside.all() and (curves[f"{what}_high"] > curves[f"{what}_low"]).any()


def test_sizes_are_in_bands_and_the_unknown_size_has_its_own(run, found, study):
    blind = replace(run, cases=run.cases.assign(diameter_mm=np.nan))
    truth = cases.truths(study, run.cases, SIZE)["box"]
    table = tables.localisation_table({"box": tables.score(blind, found, truth)}, QUICK)
    assert set(table.loc[table["kind"] == "size", "group"]) == {"size unknown"}
