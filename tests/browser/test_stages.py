"""Stages under real fingers: nothing of a later one reaches the page before its time."""

from reading_room import (
    GRID,
    Room,
    begin,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    serving,
    wait_for,
)
from reading_study import secrets_of, stage_content

from browser import chromium  # noqa: F401 (a fixture)
from camreader.__main__ import main
from camreader.session.questions import configured
from camreader.session.tidy import load_tidy
from camreader.statistics.mrmc.io import read_imrmc

CASES, ORDER = 20, ("unaided", "answer", "map")
DIAGNOSES = tuple(GRID)


def check_nothing_of_later_stages(page, design, case, stage):
    """Page, its storage and its traffic hold nothing that only a later stage shows."""
    text = page.content() + page.evaluate("JSON.stringify(localStorage)")
    known = stage_content(design, case, stage) if stage != "unaided" else {}
    for later in ORDER[ORDER.index(stage) + 1 :]:
        content = stage_content(design, case, later)
        for secret in secrets_of({n: v for n, v in content.items() if n not in known}):
            assert secret not in page.traffic.received, (case, stage, later)
            assert secret.decode("latin-1") not in text, (case, stage, later)
    shown = {"unaided": (False, False), "answer": (True, False), "map": (True, True)}[stage]
    assert ("The network says" in text, "The heat-map shows" in text) == shown


def test_answer_then_map_is_read_by_keyboard_and_each_stage_keeps_its_secret(tmp_path, open_page):  # noqa: F811
    room = Room(tmp_path, design="answer_then_map", cases=CASES, training_cases=1, readers=1)
    steps, said = room.design.steps(1), []
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page, "Ann")
        for turn, step in enumerate(steps):
            for place, stage in enumerate(ORDER):
                wait_for(page, stage, step.case)
                check_nothing_of_later_stages(page, room.design, step.case, stage)
                assert f"{place + 1} of 3" in page.text_content(".cr-stage")
                answer = DIAGNOSES[(turn + place) % 3], 1 + (turn + 2 * place) % 5
                press_answer(page, *answer)
                if stage == "map":
                    page.keyboard.press("j")
                said.append((step.case, stage, *answer))
        wait_for(page, "finished")
        assert not page.errors
    frame = load_tidy(room.database)
    names = ["case", "modality", "diagnosis", "confidence"]
    assert [tuple(row) for row in frame[names].to_numpy()] == said[3:]  # without the practice case
    assert frame["helpfulness"].fillna("").tolist() == ["", "", "yes"] * CASES


SLIDER = {"name": "malignancy", "kind": "slider", "prompt": "Probability of malignancy"}
MOVE = "(node, at) => { node.value = at; node.dispatchEvent(new Event('input')); }"
YEARS = {"name": "years", "prompt": "Years of reading CT", "options": ["0-5", "more"]}


def test_an_own_question_and_a_profile_go_from_the_page_to_the_tables(tmp_path, open_page):  # noqa: F811
    """A slider from 0 to 100 at every stage, and years at the start, as in a configuration."""
    asked = configured([SLIDER | {"stages": ["all"]}])
    plan = {"design": "answer_then_map", "cases": 2, "training_cases": 0, "readers": 1}
    room = Room(tmp_path, questions=asked, profile=[YEARS], **plan)
    values = iter(range(10, 70, 10))
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        page.wait_for_selector(".cr-profile select", timeout=90_000)
        page.select_option(".cr-profile select", "more")
        begin(page, "Ann")
        for step in room.design.steps(1):
            for stage in ORDER:
                wait_for(page, stage, step.case)
                slider = page.locator('input[type="range"][aria-label="Probability of malignancy"]')
                slider.evaluate(MOVE, next(values))
                if stage == "map":
                    page.keyboard.press("j")
                press_answer(page, "tumor", 4)
        wait_for(page, "finished")
        assert not page.errors
    frame = load_tidy(room.database)
    assert frame["malignancy"].tolist() == [10, 20, 30, 40, 50, 60]
    assert frame["reader_years"].eq("more").all()
    main(["readings", "export", "--folder", str(room.design.folder), str(tmp_path / "s.imrmc")])
    assert sorted(read_imrmc(tmp_path / "s.imrmc")["modality"].unique()) == sorted(ORDER)
