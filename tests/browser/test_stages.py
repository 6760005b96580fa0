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
from camreader.session.tidy import load_tidy

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
