"""Before a run: what cannot be written is named, what is damaged removed, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from camreader.common.storage import PNG_BEGINS, PNG_ENDS, write_json
from camreader.report import repair


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "reports").write_text("a file, not a folder")
    with pytest.raises(SystemExit, match=r"reports: cannot be written .*; nothing was run"):
        repair.check_writable([tmp_path, tmp_path / "reports"])


@pytest.fixture
def data(tmp_path):
    """A study with two slices of its own and one run; everything in it whole."""
    cohort, run = tmp_path / "cohorts" / "mine", tmp_path / "runs" / "mine" / "sound-final-seed0"
    (cohort / "source").mkdir(parents=True)
    run.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (cohort / "source" / name).write_bytes(PNG_BEGINS + bytes(20) + PNG_ENDS)
    frame = pd.DataFrame({"image_path": ["a.png", "b.png"]})
    frame.to_parquet(cohort / "cohort.parquet")
    write_json({"source": "source"}, cohort / "cohort.json")
    np.save(cohort / "pixels.npy", np.zeros((2, 4, 4), "int16"))
    frame.to_parquet(run / "history.parquet")
    write_json({}, run / "model.json")
    (run / "trained").touch()
    return tmp_path


def test_what_is_whole_is_left_alone(data):
    before = sorted(data.rglob("*"))
    assert repair.remove_damaged(data, "mine") == []
    assert sorted(data.rglob("*")) == before


@pytest.mark.parametrize("name", ["cohort.parquet", "cohort.json", "pixels.npy"])
def test_a_damaged_file_of_the_cohort_goes_alone(data, name):
    path = data / "cohorts" / "mine" / name
    path.write_bytes(b"half")
    removed = [path for path, _why in repair.remove_damaged(data, "mine")]
    assert removed == [path] and not path.exists()


def test_a_damaged_file_of_a_run_takes_its_stamp_with_it(data):
    run = data / "runs" / "mine" / "sound-final-seed0"
    (run / "history.parquet").write_bytes(b"half")
    ((path, why),) = repair.remove_damaged(data, "mine")
    assert path.name == "history.parquet" and why
    assert not list(run.iterdir())


def test_a_lost_slice_of_the_studys_own_reopens_the_cohort(data):
    cohort = data / "cohorts" / "mine"
    (cohort / "source" / "a.png").write_bytes(PNG_BEGINS)
    (cohort / "source" / "b.png").unlink()
    ((path, why),) = repair.remove_damaged(data, "mine")
    assert path == cohort / "source" / "a.png" and "as are 1 more slices" in why
    assert not (cohort / "cohort.parquet").exists() and path.exists()


def test_slices_that_a_person_brought_are_never_looked_at(data):
    cohort = data / "cohorts" / "mine"
    write_json({"source": str(data / "elsewhere")}, cohort / "cohort.json")
    assert repair.remove_damaged(data, "mine") == []
