"""The display check: what a page may say of it, and the table that stands in 08."""

import pandas as pd
import pytest

from camreader.session import display
from camreader.session.log import Refused

SCREEN = {"width": 1920, "height": 1080, "ratio": 1.25, "depth": 24}
ANSWERS = {"ambient": "dimmed", "distance": "50 to 70 cm", "brightness": "not known"}


def check(seen="", **changes):
    """A check in which every step shows C, and the reader saw `seen`, sign by sign."""
    steps = [[name, "C", seen[k : k + 1]] for k, name in enumerate(display.step_names())]
    told = {"screen": SCREEN, "window": [1900, 950], "steps": steps, "answers": ANSWERS}
    return told | {"milliseconds": 41_000} | changes


def skipped():
    return {"screen": SCREEN, "window": [1900, 950], "skipped": True}


def event(
    reader, kind="display", payload=None, utc="2026-11-25T09:30:00.000+00:00", simulated=False
):
    told = {"reader": reader, "kind": kind, "utc": utc, "simulated": simulated}
    return told | {"payload": payload or {}}


def test_a_pattern_has_two_squares_and_letters_of_falling_contrast():
    """SMPTE's 5 % in black and 95 % in white are 13 and 242 of 255."""
    page = display.on_page()
    assert [row["greys"] for row in page["patches"]] == [
        [0, round(0.05 * 255)],
        [255, round(0.95 * 255)],
    ]
    assert [row["grey"] for row in page["letters"]] == [26, 128, 230]
    assert all(sorted(map(abs, row["steps"]))[::-1] == [16, 8, 4, 2] for row in page["letters"])
    assert len(page["names"]) == 2 + 3 * 4 == len(set(page["names"]))


def test_a_check_and_a_skipped_one_are_taken():
    display.check_display(check("CCCC"))
    display.check_display(skipped())


@pytest.mark.parametrize(
    "payload",
    [
        {},
        check(screen={"width": 1}),
        check(screen=SCREEN | {"ratio": 0}),
        check(screen=SCREEN | {"ratio": True}),
        check(window=["wide", 1]),
        check(steps=[]),
        check(steps=[["dark", "C", "C"]] * 14),
        check("C", answers={"ambient": "dimmed"}),
        check("C", answers=ANSWERS | {"ambient": "<script>"}),
        check("C", milliseconds=-1),
        check("C", name="Ann"),
        check("C", steps=[[name, "C", "CC"] for name in display.step_names()]),
        skipped() | {"skipped": "yes"},
    ],
)
def test_anything_else_is_refused(payload):
    with pytest.raises(Refused):
        display.check_display(payload)


def test_the_table_counts_what_was_seen_and_says_what_was_not_done():
    events = [
        event("Ann", "enrolled"),
        event("Bob", "enrolled"),
        event("Cy", "enrolled"),
        event("Di", "enrolled", simulated=True),
        event("Ann", payload=check("cCCCxC")),  # small letters count, a wrong one does not
        event("Bob", payload=skipped()),
    ]
    table = display.display_table(events).set_index("reader")
    ann = table.loc["Ann"]
    assert (ann["passed"], ann["steps"], ann["date"]) == (5, 14, "2026-11-25 09:30")
    assert ann["not_seen"].startswith("letter on 10 % grey, contrast 4 of 255; letter on 50 % grey")
    assert (ann["screen_pixels"], ann["ratio"]) == ("2400 x 1350", 1.25)
    assert (ann["ambient"], ann["seconds"], ann["note"]) == ("dimmed", 41, "")
    assert table["note"].to_dict() | {"Ann": ""} == {
        "Ann": "",
        "Bob": "not done: skipped",
        "Cy": "not done",
        "Di": "not done: a simulated reader",
    }
    words = display.finding(table.reset_index())
    assert words == (
        "Display check: done by 1 of 4 readers; 5 of 14 steps seen; screens of 2400 x 1350 pixels."
    )
    nobody = display.finding(display.display_table(events[:2]))
    assert nobody == (
        "Display check: done by 0 of 2 readers; what their screens showed is not known."
    )


def test_a_screen_is_known_for_twelve_hours():
    events = [event("Ann", "enrolled"), event("Ann", payload=skipped())]
    evening, next_day = (pd.Timestamp(f"2026-11-{t}", tz="UTC") for t in ("25 21:00", "26 08:00"))
    assert display.last_screen(events, evening) == SCREEN
    assert display.last_screen(events, next_day) is None
    assert display.last_screen(events[:1], evening) is None
