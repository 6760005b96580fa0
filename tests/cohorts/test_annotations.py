"""The 3-D release and the truth tables; nothing in a pickle may run."""

import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camreader.cohorts import annotations, series
from camreader.common.errors import DataError


def release(tmp_path, content, protocol=3):
    path = tmp_path / annotations.RELEASE
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def test_the_real_release_has_the_published_counts(sample):
    """1,000 sub-volumes, 43,295 slices (authors' readme); 17,195 of them free of lesions."""
    volumes = annotations.read_release(sample / annotations.RELEASE)
    assert len(volumes) == 1000
    table = annotations.release_truth(volumes)
    assert len(table) == 43_295 and (table["truth"] == 0).sum() == 17_195
    free = table[table["truth"] == 0]
    assert free["series_id"].str[:6].nunique() == 584


def test_the_release_agrees_with_the_samples_slice_truth(sample):
    table = annotations.read_slice_truth(sample / "slice_truth.csv")
    both = table.merge(
        annotations.release_truth(annotations.read_release(sample / annotations.RELEASE)),
        on=["series_id", "slice_index"],
    )
    assert len(both) == 74 and (both["truth_x"] == both["truth_y"]).all()
    assert all(
        sorted(a) == sorted(b) for a, b in zip(both["boxes_x"], both["boxes_y"], strict=True)
    )


@pytest.mark.parametrize("protocol", [3, 4])  # the release's own, and Python's default
def test_arrays_of_both_protocols_are_read_alike(tmp_path, protocol):
    boxes = np.array([[1.0, 2, 3, 4, 5, 6], [7, 8, 3, 10, 11, 3]])
    content = {"val": {"000001_01_01_001-009": boxes}, "test": {"000002_01_01_003-004": boxes[:0]}}
    volumes = annotations.read_release(release(tmp_path, content, protocol))
    assert np.array_equal(volumes["000001_01_01", 1, 9], boxes)
    table = annotations.release_truth(volumes).set_index(["series_id", "slice_index"])
    assert table.loc[("000001_01_01", 3), "boxes"] == [[1, 2, 4, 5], [7, 8, 10, 11]]
    assert table.loc[("000001_01_01", 6), "truth"] == 1  # z2 is inclusive
    assert table.loc[("000001_01_01", 7), "truth"] == 0
    assert table.loc[("000002_01_01", 4), "truth"] == 0


@pytest.mark.parametrize("protocol", [2, 5])  # these ask for more names than the release needs
def test_other_protocols_are_refused_in_words(tmp_path, protocol):
    content = {"val": {"000001_01_01_001-009": np.zeros((1, 6))}}
    with pytest.raises(DataError, match="only arrays are read"):
        annotations.read_release(release(tmp_path, content, protocol))


class Malicious:
    """Unpickles to a call of os.system, as attacks do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"val": {"000001_01_01_001-002": x}}])
def test_a_malicious_pickle_runs_nothing(tmp_path, wrap):
    proof = tmp_path / "ran"
    path = release(tmp_path, wrap(Malicious(proof)))
    with pytest.raises(DataError, match=r"asks for \w+\.system"):
        annotations.read_release(path)
    assert not proof.exists()
    pickle.loads(path.read_bytes())  # the attack is real: the plain reader does run it
    assert proof.exists()


def test_objects_and_lying_shapes_are_refused(tmp_path):
    for value in (np.array([object()]), np.array(["a"]), [1, 2], np.zeros((2, 5)), np.full(6, 1.0)):
        path = release(tmp_path, {"val": {"000001_01_01_001-002": value}})
        with pytest.raises(DataError, match=r"refused|Bad boxes|another shape"):
            annotations.read_release(path)
    huge = pickle.dumps({"val": {"000001_01_01_001-002": np.zeros((1, 6))}}, 3)
    for put in (b"r\xff\xff\xff\x7f", b"p99999999\n"):  # LONG_BINPUT and PUT: gigabytes
        (tmp_path / annotations.RELEASE).write_bytes(huge[:-1] + put + b".")
        with pytest.raises(DataError, match="memo number"):
            annotations.read_release(tmp_path / annotations.RELEASE)
    lying = huge.replace(b"K\x01K\x06\x86", b"J\xff\xff\xff\x7fK\x06\x86")
    assert lying != huge
    (tmp_path / annotations.RELEASE).write_bytes(lying)
    with pytest.raises(DataError, match="does not fit"):
        annotations.read_release(tmp_path / annotations.RELEASE)


@pytest.mark.parametrize("name", ["x", "000001_01_01", 7, "000001_01_01_1-2"])
def test_bad_names_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="sub-volume name"):
        annotations.read_release(release(tmp_path, {"val": {name: np.zeros((0, 6))}}))


SMALL = pickle.dumps({"val": {"000001_01_01_001-009": np.array([[1.0, 2, 3, 4, 5, 6]])}}, 3)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(SMALL) - 1), st.integers(0, 255))
def test_a_damaged_pickle_is_a_data_error_or_an_array(tmp_path, place, value):
    damaged = bytearray(SMALL)
    damaged[place] = value
    (tmp_path / annotations.RELEASE).write_bytes(damaged)
    try:
        volumes = annotations.read_release(tmp_path / annotations.RELEASE)
    except DataError:
        return
    assert all(boxes.shape[1] == 6 for boxes in volumes.values())


def test_the_stand_ins_cover_what_the_release_asks_for(sample):
    """The whole pickle names three things; each is answered by a stand-in, none imported."""
    data = (sample / annotations.RELEASE).read_bytes()
    names = {arg for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    assert {tuple(name.split(" ")) for name in names} <= set(annotations._ALLOWED)


GOOD = "series,slice,has_lesion_full_annotation,n_boxes,boxes_x1y1x2y2\n000001_01_01,5,{}\n"


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ("2,0,", "has_lesion_full_annotation"),
        ("1,2,1 2 3 4", "n_boxes"),
        ("1,0,", "n_boxes"),
        ("0,1,1 2 3 4", "n_boxes"),
        ("1,1,1 2 3", "boxes_x1y1x2y2"),
        ("1,1,3 2 1 4", "boxes_x1y1x2y2"),
        ("1,1,a b c d", "boxes_x1y1x2y2"),
    ],
)
def test_slice_truth_must_agree_with_itself(tmp_path, cells, column):
    path = tmp_path / "slice_truth.csv"
    path.write_text(GOOD.format(cells))
    with pytest.raises(DataError) as raised:
        annotations.read_slice_truth(path)
    assert raised.value.places["column"] == column and raised.value.places["row"] == 2


def test_slice_truth_of_the_sample(sample):
    table = annotations.read_slice_truth(sample / "slice_truth.csv")
    assert table["truth"].value_counts(dropna=False).tolist() == [49, 27, 14]


def test_lesion_truth_is_checked(tmp_path):
    path = tmp_path / "lesion_truth.csv"
    row = "000001_01_01,5,1,{},liver,1,1,1,2,3,4,12.5,-30,99"
    path.write_text(",".join(annotations.LESION_COLUMNS) + "\n" + row.format("tumor") + "\n")
    assert annotations.read_lesion_truth(path).iloc[0]["contrast_hu"] == -30
    path.write_text(",".join(annotations.LESION_COLUMNS) + "\n" + row.format("ghost") + "\n")
    with pytest.raises(DataError, match="kind"):
        annotations.read_lesion_truth(path)


def test_slices_module_prefers_slice_truth(sample):
    table, source = series.read_truth(sample)
    assert (
        source.startswith("slice_truth.csv")
        and not table.duplicated(["series_id", "slice_index"]).any()
    )
