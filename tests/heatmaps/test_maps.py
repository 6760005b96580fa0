"""Maps on disk: whole or absent, of the network at hand, and made by a job or here alike."""

import numpy as np
import pandas as pd
import pytest
from explained_fixture import SIZE

from camreader.__main__ import main
from camreader.heatmaps import cases, gradcam, maps, methods, tables


def test_stored_maps_explain_the_decision_whatever_the_chunks(study, run, monkeypatch):
    monkeypatch.setattr(maps, "CHUNK", 3)
    stored, records = maps.store(study, run, progress=False)
    expected = gradcam.explain(run.model, run.images)
    np.testing.assert_allclose(stored, expected.maps, atol=1e-3)  # kept as float16
    assert records["explained_class"].tolist() == run.cases["predicted"].tolist()
    np.testing.assert_allclose(records["score"], expected.score, atol=1e-5)
    assert (records["score"] >= 0).all() and set(records["layer"]) == {"features.13"}
    assert len(records) == len(stored) == len(run.cases) > 3
    changed, _ = maps.store(study, cases.load(study, seed=1), progress=False)
    assert not np.allclose(changed, expected.maps, atol=0.01)
    np.testing.assert_allclose(stored, expected.maps, atol=1e-3)  # an open map does not change


def test_a_killed_storing_leaves_what_was_there(study, run, monkeypatch):
    path = study.runs / "heatmaps" / "gradcam.npy"
    maps.store(study, run, progress=False)
    before, explain, calls = path.read_bytes(), gradcam.explain, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return explain(*arguments)

    monkeypatch.setattr(maps, "CHUNK", 3)
    monkeypatch.setattr(gradcam, "explain", killed)
    with pytest.raises(KeyboardInterrupt):
        maps.store(study, cases.load(study, seed=1), progress=False)
    assert path.read_bytes() == before and not list(path.parent.glob(".*"))


def test_tumor_maps_are_of_lesion_slices_and_slow_methods_see_a_sample(study, run):
    found = maps.tumor_maps(study, run, ("gradcam", "occlusion", "cam"), slow_slices=2)
    assert set(found) == {"gradcam", "occlusion"}  # CAM does not apply to this head
    rows, _ = found["gradcam"]
    assert rows.tolist() == np.flatnonzero(run.cases["lesion"]).tolist()
    few, drawn = found["occlusion"]
    assert len(few) == 2 and drawn.shape == (2, SIZE, SIZE) and set(few) <= set(rows)


def test_maps_made_by_a_job_are_found_and_made_anew_only_where_they_do_not_fit(study, run):
    path = study.runs / "heatmaps" / "guided_gradcam.safetensors"

    def made_maps(explained=run):
        return maps.tumor_maps(study, explained, ["guided_gradcam"])["guided_gradcam"][1]

    assert not path.exists()
    main(f"maps --data {study.data} --cohort sample --method guided_gradcam".split())
    made = path.stat().st_mtime_ns
    expected = methods.compute("guided_gradcam", run.model, run.images[run.cases["lesion"]], 1)
    np.testing.assert_array_equal(made_maps(), expected)
    assert path.stat().st_mtime_ns == made
    other = cases.load(study, seed=1)  # another network
    assert not np.array_equal(made_maps(other), expected) and path.stat().st_mtime_ns > made
    path.write_bytes(path.read_bytes()[:1000])  # cut off
    np.testing.assert_array_equal(made_maps(), expected)


def test_the_randomised_maps_are_compared_once(study, monkeypatch):
    run = cases.load(study)
    monkeypatch.setattr(tables.sanity, "__defaults__", (2, 0, 1))  # few slices, one draw
    path = study.runs / "heatmaps" / "randomised_weights.parquet"
    main(f"maps --data {study.data} --cohort sample --method randomised_weights".split())
    made = path.stat().st_mtime_ns
    pd.testing.assert_frame_equal(maps.sanity(study, run), tables.sanity(run))
    assert path.stat().st_mtime_ns == made
    assert not maps.sanity(study, cases.load(study, seed=1)).equals(tables.sanity(run))
    assert path.stat().st_mtime_ns > made
    path.write_bytes(path.read_bytes()[:100])  # cut off
    pd.testing.assert_frame_equal(maps.sanity(study, run), tables.sanity(run))


@pytest.mark.parametrize("name", ["gradcam", "eigencam"])
def test_the_command_line_offers_the_methods_worth_a_job(name, capsys):
    with pytest.raises(SystemExit):
        main(["maps", "--method", name])
    said = capsys.readouterr().err
    assert all(repr(method) in said or method in said for method in methods.jobs())
