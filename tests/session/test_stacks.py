"""The slices round a case: from numbered files, from a series of the cohort, from the phantom."""

import numpy as np
import pandas as pd
import pytest
from places import SHARED
from reading_kernel import KeeperHere, Page
from reading_study import make_study
from slices_fixture import slice_hu, write_png

from camreader.common.errors import DataError
from camreader.phantom.write import write_phantom
from camreader.session import stacks
from camreader.session import widget as session_module
from camreader.session.plan import Plan
from camreader.viewer.widget import pack_slice

COLUMNS = ["image_path", "series_id", "slice_index"]


def rows(*places):
    return pd.DataFrame(places, columns=COLUMNS)


def test_a_series_of_the_cohort_is_a_stack_up_to_its_gap(tmp_path):
    for number in (1, 2, 3, 5):
        write_png(tmp_path / f"s{number}.png", slice_hu(number))
    cohort = rows(*((f"s{k}.png", "a", k) for k in (1, 2, 3, 5)), ("x.png", "b", 1))
    found = stacks.of_cases(cohort.iloc[[1, 3, 4]], cohort, tmp_path, 10)
    assert found[1] is None and found[2] is None  # alone: beyond a gap, in a series of its own
    assert (found[0].key, found[0].step_mm) == (1, None)
    assert (found[0].images == np.stack([slice_hu(k) for k in (1, 2, 3)])).all()
    assert len(stacks.of_cases(cohort.iloc[[0]], cohort, tmp_path, 1)[0].images) == 2


def test_numbered_files_of_an_own_folder_are_no_neighbours(tmp_path):
    for number in (1, 2):
        write_png(tmp_path / "tumor" / f"{number}.png", slice_hu(number))
    cohort = rows(("tumor/1.png", None, None), ("tumor/2.png", None, None))
    assert stacks.of_cases(cohort, cohort, tmp_path, 3) == [None, None]


def test_slices_of_different_size_are_refused(tmp_path):
    write_png(tmp_path / "1.png", slice_hu(1))
    write_png(tmp_path / "2.png", slice_hu(2, 32))
    cohort = rows(("1.png", "a", 1), ("2.png", "a", 2))
    with pytest.raises(DataError, match="differ in size"):
        stacks.of_cases(cohort, cohort, tmp_path, 3)


def test_the_phantom_draws_what_is_missing(tmp_path):
    write_phantom(tmp_path, slices=3, seed=1, size=64, workers=1, progress=False)
    path = sorted((tmp_path / "Images_png").glob("*/*.png"))[1]
    case = rows((str(path.relative_to(tmp_path)), path.parent.name, int(path.stem)))
    (found,) = stacks.of_cases(case, case, tmp_path, 2)
    assert found.step_mm == 5 and 3 <= len(found.images) <= 5
    assert (found.images[found.key] == stacks.pixels.read_hu(path)).all()


def test_real_neighbours_lie_beside_their_key_slice():
    sample = SHARED / "deeplesion-sample"
    if not sample.exists():
        pytest.skip("the real sample is not on this machine")
    path = sorted(sample.glob("Images_png/*/*.png"))[20]
    case = rows((str(path.relative_to(sample)), path.parent.name, int(path.stem)))
    (found,) = stacks.of_cases(case, case, sample, 4)
    assert len(found.images) >= 5 and found.step_mm in (1, 2, 5)
    above = stacks.pixels.read_hu(path.with_name(f"{int(path.stem) + 1:03d}.png"))
    assert (found.images[found.key + 1] == above).all()


def test_a_page_gets_the_slices_of_this_case_and_the_next_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "Keeper", KeeperHere)
    design = make_study(tmp_path, cases=4, training_cases=1, size=16, stack=3)
    assert (np.load(design.stack_path("C001"))[3] == np.load(design.image_path("C001"))).all()
    page, sent = Page(tmp_path), []
    page.session.send = lambda message, buffers=None: (
        page.heard.append(message),
        sent.append(buffers),
    )
    cases = [step.case for step in page.session.reading.steps]
    assert (
        page.state["stack"] == page.state["next_stack"] == {"slices": 7, "key": 3, "step_mm": 2.5}
    )
    page.say(type="slices", case=cases[1], wanted=[2, 6])
    told, buffers = page.heard[-2], sent[-2]
    deep = np.load(design.stack_path(cases[1]))
    assert told["stack"] == cases[1] and told["wanted"] == [2, 6]
    assert buffers == [pack_slice(deep[k])["data"] for k in (2, 6)]
    for case, wanted in ((cases[2], [0]), (cases[0], [7]), (cases[0], "all"), ("../x", [0])):
        assert not page.say(type="slices", case=case, wanted=wanted)["ok"]
    page.session.close()


def test_a_stack_longer_than_a_page_can_hold_is_refused():
    with pytest.raises(DataError, match="Length of the stacks"):
        Plan(stack=101).check()
