"""What is explained and shown: the test slices of one run, by the truth, at full resolution."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from explained_fixture import SIZE, write_study

from camreader.cohorts import pixels, windows
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.heatmaps import cases, gradcam, methods


def test_only_test_slices_with_their_own_pixels(study, run):
    tested = run.cases
    assert run.protocol == "sound" and set(tested["split"]) == {"test"}
    hu = np.load(study.pixels)
    for k in (0, len(tested) - 1):
        expected = windows.window(hu[tested["row"][k]], 50, 400)
        np.testing.assert_array_equal(run.images[k, 0], expected)
    with torch.no_grad():
        np.testing.assert_allclose(run.model(run.images), tested["logit"], atol=1e-5)
    kinds = tested.groupby("outcome")[["truth", "predicted"]].first()
    assert kinds.loc["false negative"].tolist() == [1, 0]
    assert (tested["lesion"] == (tested["truth"] == 1)).all()


def test_a_network_with_random_weights_is_explained_under_a_banner_only(study, run):
    assert not run.judged.worth and run.banner == run.judged.banner != ""
    judged = run.judged.difference
    assert judged.n == len(run.cases) and judged.low <= 0


def test_the_other_protocol_stands_in_where_one_was_refused(tmp_path):
    study = write_study(tmp_path, 3, split="split_image", protocol="paper")
    assert cases.load(study, "sound").protocol == "paper"
    with pytest.raises(DataError, match="this seed"):
        cases.load(study, "sound", seed=7)
    with pytest.raises(DataError, match="make report"):
        cases.load(Study(tmp_path, "none", tmp_path))


def test_exact_masks_come_first_where_they_are_known(study, run, tmp_path):
    assert list(cases.truths(study, run.cases, SIZE)) == ["box"]
    (tmp_path / "Masks_png").mkdir()
    known = SimpleNamespace(card={"source": str(tmp_path)})
    assert list(cases.truths(known, run.cases, SIZE)) == ["exact mask", "box"]


def test_cases_are_picked_evenly_and_the_same_each_time(run):
    rows = cases.pick(run.cases, 8, seed=3)
    assert rows == cases.pick(run.cases, 8, seed=3) and len(set(rows)) == 8
    kinds = run.cases["outcome"].iloc[rows]
    there = run.cases["outcome"].value_counts()
    assert all(kinds.eq(name).sum() >= min(2, there[name]) for name in there.index)
    assert sorted(cases.pick(run.cases, 999)) == list(range(len(run.cases)))
    wrong = run.cases.iloc[cases.errors(run.cases)]
    assert (wrong["truth"] != wrong["predicted"]).all()


def test_the_slice_of_figure_2_is_a_found_lesion_where_there_is_one(run):
    case = run.cases.iloc[cases.clearest(run.cases)]
    assert case["lesion"] and case["outcome"] == "true positive"
    none = run.cases.assign(lesion=False)
    sure = (none["probability"] - 0.5).abs()
    assert cases.clearest(none) == sure.to_numpy().argmax()


def test_the_viewer_holds_full_slices_with_every_method(study, run):
    maps = gradcam.grad_cam(run.model, run.images)
    rows = cases.pick(run.cases, 4)
    viewer = cases.viewer(study, run, rows, maps)
    assert viewer.count == 4 and viewer._methods == ["Grad-CAM", "HiResCAM", "Guided Grad-CAM"]
    assert np.asarray(viewer.images[0]).shape == (64, 64) and viewer.images[0].dtype == np.int16
    titles = " ".join(viewer.titles)
    assert "actual: tumor" in titles and run.cases["slice_id"].iloc[rows[0]] in titles
    assert "P000" not in viewer.cohort_title and viewer.cohort_title == study.card["title"]


def test_overlays_for_the_reading_room(study, run, tmp_path):
    maps = gradcam.grad_cam(run.model, run.images)
    rows = cases.pick(run.cases, 3)
    table = cases.export_dicom(study, run, rows, maps, "features.10", tmp_path)
    assert table["slice_id"].tolist()[:3] == run.cases["slice_id"].iloc[rows].tolist()
    assert len(list(tmp_path.glob("overlay_*.dcm"))) == 3
    assert len(list(tmp_path.glob("map_*_pm.dcm"))) == 3
    assert sorted(table["file"]) == sorted(path.name for path in tmp_path.iterdir())


def test_outcomes_are_by_the_truth_and_a_hidden_lesion_is_a_lesion():
    """A slice labelled free whose full annotation shows a lesion: calling it tumor is right."""
    tested = pd.DataFrame(
        {
            "label": [0, 0, 1],
            "truth": [1, 0, 1],
            "predicted": [1, 1, 0],
            "boxes": ["[[1, 1, 3, 3]]"] * 3,
        }
    )
    found = cases.with_outcome(tested)
    assert found["outcome"].tolist() == ["true positive", "false positive", "false negative"]
    assert found["lesion"].tolist() == [True, False, True]


def test_the_viewer_offers_the_methods_registered_for_it_that_apply(study, run, monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    entry = methods.METHODS["cam"]  # does not apply to this head
    methods.METHODS["cam"] = replace(entry, viewer=True)
    viewer = cases.viewer(study, run, [0], gradcam.grad_cam(run.model, run.images))
    assert viewer._methods == ["Grad-CAM", "HiResCAM", "Guided Grad-CAM"]


@pytest.mark.parametrize(
    ("region", "centre", "width"),
    [("liver", 60, 160), ("lung", -600, 1500), ("bone", 400, 1800), ("kidney", 50, 400)],
)
def test_a_slice_is_shown_in_its_regions_window(study, run, region, centre, width):
    case = replace_case(run, region)
    hu = pixels.read_hu(f"{study.card['source']}/{case.image_path}")
    np.testing.assert_array_equal(
        cases.display_slice(study, case), windows.window(hu, centre, width)
    )


def replace_case(run, region):
    return next(run.cases.assign(region=region).itertuples())
