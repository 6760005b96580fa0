"""The house: twelve rooms, each with its map, each module with a test of its name."""

import ast
import re
import subprocess
import sys

import pytest
from places import ROOT

PACKAGE = ROOT / "lib" / "camreader"
ROOMS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
NAMES = [room.relative_to(PACKAGE).as_posix() for room in ROOMS]


def modules(room):
    """Names of what lies in a room: its modules, and rooms inside it."""
    files = {path.stem for path in room.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in room.glob("*/__init__.py")}


def docstring(path):
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def test_there_are_twelve_rooms_and_no_loose_module():
    assert len([name for name in NAMES if "/" not in name]) == 12
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("room", ROOMS, ids=NAMES)
def test_a_rooms_docstring_names_each_of_its_modules_and_no_other(room):
    named = re.findall(r"^(\w+): ", docstring(room / "__init__.py"), re.M)
    assert sorted(named) == sorted(modules(room))


@pytest.mark.parametrize("room", ROOMS, ids=NAMES)
def test_a_module_has_a_test_of_its_name_or_says_where_it_is_tested(room):
    tests = ROOT / "tests" / room.relative_to(PACKAGE)
    for path in sorted(room.glob("*.py")):
        if path.stem != "__init__" and not (tests / f"test_{path.stem}.py").exists():
            found = re.search(r"Tested (?:in|by) (tests/[\w/.]+)", docstring(path))
            assert found, f"{path}: no {tests / f'test_{path.stem}.py'}, and no reason"
            assert (ROOT / found[1]).exists(), f"{path}: {found[1]} is not there"


def loaded(statement):
    """Which heavy packages one statement loads, in a process of its own."""
    heavy = ("torch", "matplotlib", "pandas", "numpy")
    code = f"{statement}\nimport sys; print([m for m in {heavy} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_the_package_and_its_rooms_load_nothing_heavy_by_themselves():
    rooms = ", ".join(f"camreader.{name}" for name in NAMES if "/" not in name)
    assert loaded(f"import camreader, {rooms}").stdout.strip() == "[]"


def test_a_reading_session_loads_neither_torch_nor_a_plot():
    for statement in ("import camreader.session", "from camreader.session import widget, server"):
        said = loaded(statement).stdout
        assert "torch" not in said and "matplotlib" not in said, (statement, said)


def calls(path):
    """Names of the functions that a module calls, as module.function where it says so."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found |= {name, name.rpartition(".")[2]}
    return found


MECHANISMS = {  # what a mechanism alone may call, and the modules that are allowed to
    "one reader of people's tables": (
        {"csv.reader", "csv.DictReader", "pd.read_csv", "pd.read_table", "pd.read_excel"},
        {
            "common/rows.py",  # the reader
            "common/storage.py",  # tables that the study itself wrote
            "statistics/mrmc/marks.py",  # the workbook of marks, which is no text
            "phantom/realism.py",  # the phantom's own truth
            "published/claims.py",  # committed files
            "published/paper.py",
        },
    ),
    "one walk over a folder": (
        {"os.walk", "os.scandir", "os.listdir", "rglob", "iterdir"},
        {
            "cohorts/folder.py",  # the walk
            "session/sealed.py",  # envelopes that the study itself wrote
            "report/new_study.py",  # what the package itself carries
            "cohorts/fetch.py",  # what it wrote itself, looked through for identifiers
        },
    ),
    "one decision what an image file is": (
        {"cv2.imread", "cv2.imdecode", "Image.open", "pydicom.dcmread", "dcmread"},
        {
            "cohorts/image_files.py",  # the decision
            "cohorts/dicom_image.py",  # the same for DICOM
            "cohorts/segmentations.py",  # masks in DICOM, which are no images
            "cohorts/deidentify.py",  # elements only: no pixel is read
            "cohorts/send.py",
            "phantom/neighbours.py",  # masks that the study itself drew
            "session/lesions.py",
            "heatmaps/dicom_export.py",  # files that the study itself wrote
            "heatmaps/localisation.py",
            "report/page.py",
            "training/results.py",  # maps in DICOM, which are no slices
        },
    ),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_there_is_one_of_each_mechanism(mechanism):
    """What people bring comes in at one place; the others read what the study wrote."""
    names, allowed = MECHANISMS[mechanism]
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if calls(p) & names}
    assert found == allowed
