"""The kernel's side of the session: what it tells the page, what it stores, what it refuses."""

import gc
import json
import subprocess
import sys

import ipywidgets
import pytest
from reading_kernel import KeeperHere, Page
from reading_study import everything, make_study, secrets_of, stage_content

from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.session import widget as session_module
from camreader.session.log import LogError, ReadingLog
from camreader.session.sealed import Keeper
from camreader.session.tidy import load_tidy
from camreader.session.widget import open_session

LOCK = {"diagnosis": "tumor", "confidence": 4}
REVISED = {**LOCK, "confidence": 5, "helpfulness": "some"}


@pytest.fixture
def design(tmp_path):
    return make_study(tmp_path / "study", cases=4, training_cases=1, size=16)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(session_module, "Keeper", KeeperHere)


@pytest.fixture
def pages(design):
    opened = []

    def open_page(*arguments, **options):
        opened.append(Page(design.folder, *arguments, **options))
        return opened[-1]

    yield open_page
    for page in opened:
        page.session.close()


def events(design, **wanted):
    return ReadingLog(design.folder / "readings.sqlite", design.study).events(**wanted)


def test_a_whole_reading_is_in_the_log_as_it_was_answered(pages, design, monkeypatch):
    monkeypatch.setattr(session_module, "Keeper", Keeper)
    page = pages()
    given = []
    for turn, step in enumerate(design.steps(1)):
        assert (page.state["stage"], page.case, page.state["number"]) == (
            "unaided",
            step.case,
            turn + 1,
        )
        lock = {
            **LOCK,
            "confidence": 1 + turn,
            "milliseconds": 1000 + turn,
            "comment": f"<b>{turn}",
        }
        assert page.event("locked", lock) == {"re": page.heard[-1]["re"], "ok": True}
        assert page.state["stage"] == "aided"
        page.event("revised", REVISED)
        given += [(step.case, "locked", lock), (step.case, "revised", REVISED)]
    assert page.state["stage"] == "finished" and page.state["done"] == 5
    found = [(e["case_id"], e["kind"], e["payload"]) for e in events(design)]
    assert [row for row in found if row[1] in ("locked", "revised")] == given
    kinds = [kind for _, kind, _ in found]
    assert kinds == ["enrolled", *["started", "locked", "started", "revealed", "revised"] * 5]


def reachable(start):
    """Every text and every bytes that the object holds, however deep."""
    seen, todo, found = set(), [start], []
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type) or hasattr(thing, "__spec__"):
            continue
        seen.add(id(thing))
        if isinstance(thing, str | bytes | float | int):
            found.append(thing if isinstance(thing, bytes) else str(thing).encode())
        elif not callable(thing):
            todo += gc.get_referents(thing)
    return b"\n".join(found)


def test_nothing_of_a_case_is_in_reach_before_its_lock(pages, design):
    page, truth = pages(), everything(design)
    for turn, step in enumerate(design.steps(1)):
        secrets = secrets_of(truth[step.case])
        held = reachable(vars(page.session)) + reachable(page.session.get_state())
        state = json.dumps(ipywidgets.Widget.get_manager_state(), default=repr).encode()
        for later in range(turn, 5):
            for secret in secrets_of(truth[design.steps(1)[later].case]):
                assert secret not in held + state
        assert page.state["shown"] is None and not page.session._heat
        page.event("locked", LOCK)
        held = reachable(page.session.get_state())
        assert secrets[0] in held and secrets[3] in held  # the search can find what is there
        assert b"truth" not in held
        page.event("revised", REVISED)


def test_no_stage_tells_what_a_later_one_shows(pages, tmp_path):
    """answer_then_map: before each answer nothing is in reach that the next stage will show."""
    staged = make_study(tmp_path / "staged", cases=4, size=16, design="answer_then_map")
    page = Page(staged.folder)
    order, answers = ["unaided", "answer", "map"], [LOCK, LOCK, REVISED]
    for step in staged.steps(1):
        for place, stage in enumerate(order):
            assert (page.case, page.state["stage"]) == (step.case, stage)
            held = reachable(vars(page.session)) + reachable(page.session.get_state())
            for later in order[place + 1 :]:
                before = stage_content(staged, step.case, stage) if place else {}
                new = stage_content(staged, step.case, later)
                new = {name: new[name] for name in new if name not in before}
                assert not [secret for secret in secrets_of(new) if secret in held], later
            if place:
                now = secrets_of(stage_content(staged, step.case, stage))
                assert now[0] in held and now[-1] in held  # the search can find what is there
            assert page.state["number_of_stage"] == place + 1 and page.state["stages"] == 3
            told = {"stage": stage, "period": 1} if place else {}
            assert page.event(page.state["kind"], answers[place] | told)["ok"]
    assert page.state["stage"] == "finished"
    page.session.close()
    frame = load_tidy(staged.folder / "readings.sqlite")
    assert frame["modality"].tolist() == order * 4 and frame["arm"].eq("all").all()
    assert frame["map"].notna().tolist() == [False, False, True] * 4
    assert frame.loc[frame["modality"] == "answer", "helpfulness"].isna().all()


def test_no_page_tells_a_placebo_from_a_map(tmp_path):
    """placebo_map: page, state and replies are the same words under both; the log knows better."""
    staged = make_study(tmp_path / "p", cases=6, size=16, training_cases=0, design="placebo_map")
    page = Page(staged.folder)
    for _ in staged.steps(1):
        page.event("locked", LOCK)
        told = json.dumps([page.state, page.session.settings, page.heard], default=repr)
        assert page.state["stage"] == "answer_probability_map" and "placebo" not in told
        assert page.event("answered", REVISED | page.state["told"])["ok"]
    rows = page.state["answers"]
    name = "answer_probability_map"
    assert [row["answered"] for row in rows] == [["unaided", name]] * 6
    fixed = LOCK | {"helpfulness": "no", "target": name, "period": 1}
    assert page.event("corrected", fixed, rows[0]["case"])["ok"]
    page.session.close()
    frame = load_tidy(staged.folder / "readings.sqlite")
    later = frame[frame["modality"] != "unaided"]
    assert later["modality"].tolist() == [step.phase for step in staged.steps(1)]
    assert set(later["map"]) == {"gradcam", "other_case"} and later["corrected"].sum() == 1


@pytest.mark.parametrize("order", [("map", "placebo"), ("placebo", "map")])
def test_a_map_and_a_placebo_in_one_arm_are_both_answered(tmp_path, order):
    """They look alike, but each has its place, and neither bears its name on the page."""
    shown = {"shows": ["answer", "map"]}
    maps = {"map": shown, "placebo": shown | {"map": "other_case"}}
    looks = [{"name": "unaided"}, *({"name": name} | maps[name] for name in order)]
    own = {"assign": "within", "contrast": ["map", "placebo"], "arms": {"all": looks}}
    staged = make_study(tmp_path / "p", cases=2, size=16, training_cases=0, design=own)
    page = Page(staged.folder)
    for _ in staged.steps(1):
        page.event("locked", LOCK)
        for stage in ("answer_map", "answer_map_2"):
            told = json.dumps([page.state, page.session.settings, page.heard], default=repr)
            assert page.state["stage"] == stage and "placebo" not in told
            assert page.event("answered", REVISED | page.state["told"])["ok"]
    assert page.state["stage"] == "finished"
    page.session.close()
    frame = load_tidy(staged.folder / "readings.sqlite")
    assert frame["modality"].tolist() == ["unaided", *order] * 2


def test_practice_tells_the_truth_afterwards_and_nothing_else_does(pages, design):
    page, truth = pages(), everything(design)
    practice = page.case
    words = {1: "was tumor", 0: "was no tumor"}
    page.event("locked", LOCK)
    assert page.state["feedback"] == "" and page.state["training"]
    page.event("revised", REVISED)
    assert words[truth[practice]["truth"]] in page.state["feedback"]
    page.event("locked", LOCK)
    page.event("revised", REVISED)
    assert page.state["feedback"] == "" and not page.state["training"]


def test_sending_again_stores_once_and_a_second_answer_is_refused(pages, design):
    page = pages()
    case = page.case
    for _ in range(3):
        assert page.event("locked", LOCK, case, id="same")["ok"]
    refused = page.event("locked", {**LOCK, "confidence": 1}, case)
    assert not refused["ok"] and refused["final"] and "current case" in refused["words"]
    page.event("revised", REVISED)
    assert page.event("locked", LOCK, case, id="same")["ok"]  # long after: still acknowledged
    assert len(events(design, kind="locked")) == 1


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("revealed", {}, "may not write"),
        ("enrolled", {"slot": 2}, "may not write"),
        (
            "locked",
            {"diagnosis": "cyst", "confidence": 3},
            "diagnosis must be one of tumor",
        ),
        ("locked", {"diagnosis": "tumor", "confidence": 6}, "confidence must be one of 1"),
        (
            "locked",
            {"diagnosis": "tumor", "confidence": True},
            "confidence must be one of 1",
        ),
        ("locked", {**LOCK, "score": 10}, "unknown fields"),
        ("locked", {**LOCK, "comment": "x" * 2001}, "at most 2000"),
        ("locked", {**LOCK, "milliseconds": float("nan")}, "milliseconds must be"),
        ("locked", {**LOCK, "history": [[0, "mood", 1]]}, "history"),
        ("revised", REVISED, "current case"),
        ("corrected", {**LOCK, "target": "unaided"}, "stored answer"),
        ("paused", {"reason": "x" * 3000}, "at most 2000"),
        ("paused", {"truth": 1}, "A pause has"),
    ],
)
def test_what_a_page_may_not_say_is_refused_in_words(pages, design, kind, payload, words):
    page = pages()
    before = len(events(design))
    reply = page.event(kind, payload)
    assert not reply["ok"] and reply["final"] and words in reply["words"]
    assert len(events(design)) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "enter your name"),
        ("  ", "enter your name"),
        ("x" * 61, "longer"),
        ("a\u202eb", "printed"),
    ],
)
def test_a_name_that_is_none_is_refused(pages, name, words):
    page = pages(None)
    reply = page.say(type="begin", name=name)
    assert not reply["ok"] and words in reply["words"] and page.state["stage"] == "start"


def test_a_mistyped_name_takes_no_place(pages, design):
    assert pages("Ann").begun["ok"]  # the first: there is nobody to take her for
    page = pages(None)
    for name in ("Amn", "Bob", "Amn"):
        reply = page.say(type="begin", name=name)
        assert not reply["ok"] and "final" not in reply
        assert f"Nobody has read under the name {name} yet" in reply["words"]
    assert page.state["stage"] == "start"
    assert page.say(type="begin", name="ann")["ok"] and page.state["reader"] == "Ann"
    assert [e["reader"] for e in events(design, kind="enrolled")] == ["Ann"]


def test_a_third_reader_finds_no_place(pages, design):
    assert pages("Ann").begun["ok"]
    assert pages("Bob").say(type="begin", name="Bob")["ok"]
    assert "all places are taken" in pages("Cem").begun["words"]
    assert pages("ANN").begun["ok"]  # the same reader, whatever the case of the letters
    assert len(events(design, kind="enrolled")) == 2


def test_two_sessions_of_one_reader_are_refused_and_may_be_tried_again(pages, design):
    """The other session is another process's: here its entry in the log."""
    other = ReadingLog(design.folder / "readings.sqlite", design.study)
    other.claim("Ann")
    page = pages("Ann")
    assert not page.begun["ok"] and "Another session of this reader is open" in page.begun["words"]
    assert "final" not in page.begun
    other.release("Ann")
    assert page.say(type="begin", name="Ann")["ok"]
    with other._engine.connect() as connection:  # the laptop slept, another one took over
        connection.exec_driver_sql("UPDATE leases SET session = 'other'")
    reply = page.event("locked", LOCK)
    assert not reply["ok"] and "final" not in reply
    assert "Another session" in page.say(type="beat")["lost"]
    other.close()


def test_a_cell_that_is_run_again_takes_over_from_itself(pages):
    first, second = pages("Ann"), pages("ann")
    assert second.begun["ok"] and second.state["stage"] == "unaided"
    assert first.state["stage"] == "moved"
    reply = first.event("locked", LOCK)  # pressed a moment before: kept, to be sent again
    assert "Not stored" in reply["words"] and "Reload" in reply["words"] and "final" not in reply
    assert second.event("locked", LOCK)["ok"]


def test_a_page_left_open_over_the_holidays_still_stores_its_answer(pages, design):
    """Some clocks run on while a laptop sleeps: odd times and levels are kept as they are."""
    page, weeks = pages(), 21 * 86_400_000
    assert page.event("paused", {"reason": "idle", "idle_ms": weeks})["ok"]
    way = [[weeks, "window_centre", 99_999_999]]
    answer = LOCK | {"milliseconds": weeks, "window": [99_999_999, 1], "history": way}
    assert page.event("locked", answer)["ok"]
    assert events(design, kind="locked")[0]["payload"] == answer


def test_an_answer_that_cannot_be_stored_may_be_sent_again(pages, design, monkeypatch):
    page = pages()
    log = page.session.reading.log

    def full(*_, **__):
        raise LogError("The disk is full (here)")

    monkeypatch.setattr(log, "append", full)
    reply = page.event("locked", LOCK, id="one")
    assert reply == {"re": "one", "ok": False, "words": "Not stored: The disk is full (here)"}
    assert page.state["stage"] == "unaided"
    monkeypatch.undo()
    assert page.event("locked", LOCK, id="one")["ok"] and page.state["stage"] == "aided"


def test_whatever_goes_wrong_the_page_hears_of_it(pages, monkeypatch):
    page = pages()
    monkeypatch.setattr(page.session.reading, "submit", lambda *_: 1 / 0)
    assert "Not stored: ZeroDivisionError" in page.event("locked", LOCK)["words"]


def test_an_answer_that_is_stored_is_never_said_not_to_be(pages, design, monkeypatch):
    page = pages()
    monkeypatch.setattr(page.session.keeper, "reveal", lambda *_: 1 / 0)
    reply = page.event("locked", LOCK, id="one")
    words = "Stored, but the page cannot go on: ZeroDivisionError('division by zero')"
    assert reply == {"re": "one", "ok": False, "words": words}
    assert len(events(design, kind="locked")) == 1
    monkeypatch.undo()
    assert page.event("locked", LOCK, id="one")["ok"] and page.state["stage"] == "aided"


def test_a_page_notices_that_the_study_was_set_up_anew(pages, design, tmp_path):
    """On the start screen, and again before a map of the other study would be shown."""
    early, reading = pages(None), pages("Bob")
    (design.folder / "design.json").rename(tmp_path / "kept.json")
    assert "not set up yet" in early.say(type="begin", name="Ann")["words"]
    make_study(design.folder, cases=4, training_cases=1, size=16, seed=1)
    reply = early.say(type="begin", name="Ann")
    assert not reply["ok"] and "set up again" in reply["words"] and "Reload" in reply["words"]
    assert not events(design, reader="Ann") and early.state["stage"] == "start"
    reply = reading.event("locked", LOCK)
    assert "Stored, but" in reply["words"] and "set up again" in reply["words"]
    assert reading.state["stage"] == "unaided" and len(events(design, kind="locked")) == 1


def test_a_pause_a_beat_and_a_correction_are_events(pages, design):
    page = pages()
    case = page.case
    page.event("paused", {"reason": "idle", "idle_ms": 1500})
    page.event("resumed", {})
    page.event("locked", LOCK)
    page.event("revised", REVISED)
    assert page.say(type="beat") == {"beat": True, "lost": None}
    better = {**REVISED, "diagnosis": "no tumor", "target": "aided"}
    assert page.event("corrected", better, case)["ok"]
    (row,) = page.state["answers"]
    assert row["aided"] == REVISED and row["aided corrected"]["diagnosis"] == "no tumor"
    kinds = [e["kind"] for e in events(design)]
    assert [k for k in kinds if k in ("paused", "resumed", "corrected")] == [
        "paused",
        "resumed",
        "corrected",
    ]
    assert [e["phase"] for e in events(design, kind="corrected")] == ["training"]


def test_the_list_of_answers_stays_small(pages, design):
    """The way of every slider is in the log; the page gets back what it shows."""
    page = pages()
    way = [[n, "opacity", 0.5] for n in range(500)]
    page.event("locked", {**LOCK, "history": way, "milliseconds": 9, "window": [50, 400]})
    assert events(design, kind="locked")[0]["payload"]["history"] == way
    assert page.state["answers"][0]["unaided"] == LOCK


def test_a_new_session_goes_on_where_the_log_ends(pages, design):
    page = pages()
    page.event("locked", LOCK)
    here = page.case
    page.session.close()
    page = pages("Ann")
    assert (page.state["stage"], page.case) == ("aided", here)
    assert page.state["shown"] and page.session._heat


def test_a_crossover_waits_between_its_parts_and_hides_the_first(tmp_path):
    design = make_study(tmp_path, cases=4, training_cases=0, size=8, design="crossover")
    page = Page(design.folder)
    for _ in range(4):
        kind = {"unaided": "locked", "aided": "revised"}[page.state["stage"]]
        page.event(kind, LOCK if kind == "locked" else REVISED)
    assert page.state["stage"] == "waiting" and "UTC" in page.state["until"]
    assert not page.session._slices
    page.session.close()
    card = json.loads((tmp_path / "design.json").read_text())
    (tmp_path / "design.json").write_text(json.dumps(card | {"washout_days": 0}))
    page = Page(design.folder)
    assert page.state["number"] == 5 and page.state["answers"] == []
    page.session.close()


def test_nothing_is_written_until_a_reader_begins(pages, design):
    page = pages(None)
    assert repr(page.session) == f"ReadingSession of {design.study}: start"
    assert not (design.folder / "readings.sqlite").exists()


def test_the_door_takes_a_study_and_names_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="make report"):
        open_session(Study(str(tmp_path), "none", str(tmp_path)))
    gc.collect()  # what was never opened must close without a word
    make_study(tmp_path / "readings" / "tiny", size=8)
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    assert open_session(study).state["stage"] == "start"


def test_the_kernel_of_a_session_holds_no_torch():
    code = "import camreader.session.widget, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
