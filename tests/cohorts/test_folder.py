"""One walk: links, loops, hidden parts, odd names; every file comes or is counted by reason."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camreader.cohorts import sources
from camreader.cohorts.folder import Folder, Options, check_left_out
from camreader.common.errors import DataError


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_links_are_followed_and_loops_are_not(tmp_path):
    touch(tmp_path / "archive" / "P1" / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "P1").symlink_to(tmp_path / "archive" / "P1")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "archive" / "P1" / "a.png")
    (tmp_path / "in" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere")
    folder = Folder(tmp_path / "in")
    assert folder.files == ["P1/a.png", "b.png"]
    assert folder.passed_over == {
        "link that leads back to a folder it lies in": 1,
        "broken link": 1,
    }


def test_two_folders_that_link_to_each_other_end(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        touch(tmp_path / one / f"{one}.png")
        (tmp_path / one / "over").symlink_to(tmp_path / other)
    assert Folder(tmp_path).files == ["a/a.png", "a/over/b.png", "b/b.png", "b/over/a.png"]


LEFT = [".ipynb_checkpoints/1.png", ".Trash-1000/files/1.png", "@eaDir/1.png/thumb.png"]
LEFT += ["__MACOSX/._1.png", "Thumbs.db", ".DS_Store", "~$labels.csv", "#recycle/1.png"]


def test_what_programs_leave_is_passed_over_and_a_folder_is_no_file(tmp_path):
    for name in ("1.png", "real/2.png", *LEFT):
        touch(tmp_path / "tumor" / name)
    (tmp_path / "tumor" / "folder.png").mkdir()
    folder = Folder(tmp_path)
    assert folder.files == ["tumor/1.png", "tumor/real/2.png"]
    assert sum(folder.passed_over.values()) == len(LEFT)


def test_a_name_that_is_no_utf8_is_counted(tmp_path):
    touch(tmp_path / "good.png")
    os.makedirs(os.fsencode(tmp_path) + b"/M\xfcller")
    with open(os.fsencode(tmp_path) + b"/M\xfcller/a.png", "wb"):
        pass
    folder = Folder(tmp_path)
    assert folder.files == ["good.png"] and folder.passed_over == {"name that is not UTF-8": 1}
    with pytest.raises(DataError, match="name that is not UTF-8"):
        check_left_out({"name that is not UTF-8": 1}, 1, Options(), tmp_path)


def test_kinds_are_told_by_content(tmp_path):
    touch(tmp_path / "IM0001", bytes(128) + b"DICM")
    touch(tmp_path / "photo", b"\xff\xd8\xff more")
    touch(tmp_path / "x.PNG", b"broken")
    touch(tmp_path / "notes.txt", b"words")
    owners = {source.name: source.owns for source in sources.SOURCES if source.owns}
    folder = Folder(tmp_path, owners)
    assert folder.kinds == {"IM0001": "DICOM", "photo": "images", "x.PNG": "images"}
    assert folder.summary() == "1 .png, 1 .txt, 2 of another kind"


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
ODD = st.sampled_from(
    ["set {v2}", "slices #2", "2024", "A$B$", "it's", 'say "x"', "CT: liver", "ü"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(parts=st.lists(st.lists(NAMES | ODD, min_size=1, max_size=3), min_size=1, max_size=6))
def test_every_file_is_listed_or_counted(tmp_path_factory, parts):
    """Any names: as many files as were written come out, or are counted as passed over."""
    root = tmp_path_factory.mktemp("walk")
    written = 0
    for way in parts:
        path = root.joinpath(*way[:-1], way[-1])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb"):
                written += 1
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            continue
    folder = Folder(root)
    found = folder.files
    assert all((root / name).is_file() for name in found) and len(set(found)) == len(found)
    hidden = sum(
        any(part.startswith(".") for part in [*os.path.relpath(place, root).split(os.sep), name])
        or name.endswith("~")
        or "~" in place
        for place, _, names in os.walk(root)
        for name in names
    )
    assert written - hidden <= len(found) <= written
    assert len(found) == written or folder.passed_over


def test_the_share_left_out_is_what_is_allowed(tmp_path):
    check_left_out({"why": 10}, 90, Options(), tmp_path)
    with pytest.raises(DataError, match="11 of 101 images would be left out") as raised:
        check_left_out({"why": 11}, 90, Options(), tmp_path)
    assert "11: why" in str(raised.value) and "ALLOW_MISSING" in str(raised.value)
    check_left_out({"why": 11}, 90, Options(allow_missing=0.12), tmp_path)
