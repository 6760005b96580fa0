"""What several test files share: the real sample where it is at hand, and a finished study."""

import os
import shutil

import pytest
from filelock import FileLock
from places import ROOT, SHARED
from study_run import finished_run

for inherited in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS"):  # a make that a test starts is its own
    os.environ.pop(inherited, None)


if os.name == "nt":  # links, locks and signals there are others: what these test needs POSIX
    collect_ignore = [
        *("report/test_workflow.py", "cohorts/test_download.py", "cohorts/test_folder.py"),
        *("cohorts/test_pixels.py", "training/test_train.py"),
    ]


@pytest.fixture(scope="session")
def sample():
    """The 90 real slices of DeepLesion; they are not part of the project."""
    folder = SHARED / "deeplesion-sample"
    if not folder.exists():
        pytest.skip("the real DeepLesion sample is not at hand (../shared/deeplesion-sample)")
    return folder


@pytest.fixture(scope="session")
def shared_set():
    """Function giving the folder of a real set by name; they are not part of the project."""

    def folder(name):
        if not (SHARED / "real-sets" / name).exists():
            pytest.skip(f"the real set {name} is not at hand (../shared/real-sets)")
        return SHARED / "real-sets" / name

    return folder


# Files that take minutes begin first, so that two processes end together; the first one makes the
# finished study, which would otherwise be waited for.
SLOW = [
    "study/test_report",
    "browser/test_slips",
    "browser/test_session",
    "browser/test_stages",
    "session/test_kills",
    "training/test_train",
    "study/test_slurm",
    "study/test_your_network",
    "study/test_faults",
]


def pytest_collection_modifyitems(items):
    """Slow files first, in the order of SLOW; the rest as it was collected."""
    places = {str(ROOT / "tests" / f"{name}.py"): place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(str(item.path), len(places)))


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A checkout whose tiny study was killed in mid-training, run again and finished.

    With pytest-xdist one process makes it and each has a copy.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return finished_run(tmp_path_factory.mktemp("checkout"))
    shared = tmp_path_factory.getbasetemp().parent / "finished"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            finished_run(tmp_path_factory.mktemp("checkout")).rename(shared)
    return shutil.copytree(shared, tmp_path_factory.mktemp("copy") / "checkout", symlinks=True)


@pytest.fixture
def finished_copy(finished, tmp_path):
    """A finished checkout of one's own, to be broken: files are copied, not linked."""
    return shutil.copytree(finished, tmp_path / "checkout", symlinks=True)
