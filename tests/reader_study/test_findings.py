"""The reader study's sentences and checklist."""

import re

import pandas as pd
import pytest
from places import ROOT
from readings_fixture import readings as tidy

from camreader.common.study import Study
from camreader.reader_study import break_even, findings, map_effect, planning, tables
from camreader.reader_study import study as study_readings
from camreader.reader_study.study import ReaderStudy
from camreader.report import catalogue
from camreader.session.reader_model import Effects
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS

CHECKLISTS = ROOT / "data" / "published" / "checklists.csv"


@pytest.fixture(scope="module")
def study():
    return study_readings._from_log(tidy(), "by hand", None)


@pytest.fixture(scope="module")
def plan(study):
    return planning.planning_table(study, readers=(5, 10))


def analysed(study, plan):
    names = ("comparison", "benefit_harm", "helpfulness", "time")
    return [*(getattr(tables, f"{name}_table")(study) for name in names), plan]


def test_the_sentences_say_what_the_tables_hold(study, plan):
    words = " ".join(findings.findings(study, *analysed(study, plan)))
    for piece in (
        "Recorded readings: 2 readers × 8 cases",
        "Where the CNN was right, 5 of 6 wrong answers turned right and 0 of 4 right answers",
        "Where the CNN was wrong, 0 of 1 wrong answers turned right and 2 of 5 right answers",
        "helpful in 5 of 5 readings where the CNN agreed",
        "and in 0 of 11 where it disagreed",
        "14 s unaided, another 14 s aided",
        "15 points: no room above the pilot's AUC",
    ):
        assert piece in words, piece
    assert "nan" not in words.lower()


def test_a_simulation_says_first_that_nobody_read(plan):
    study = study_readings.load("", Study("nowhere", "none", "nowhere"), 3, 16, design="sequential")
    sentences = findings.findings(study, *analysed(study, plan))
    assert sentences[0].startswith("SIMULATED") and sentences[1].startswith("Nobody read")


def test_scores_alone_say_what_is_missing(study, plan):
    alone = ReaderStudy(study.scores, None, "scores", False, ["a flag"])
    words = findings.findings(alone, *analysed(alone, plan))
    assert f"Benefit and harm: {tables.NO_LOG}." in words and words[-1] == "Note: a flag."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t, "AUC for"),
        (lambda t: t[t["reader"] == "Ann"], "AUC for these readers only"),
        (lambda t: t.assign(truth="1"), "AUC: no comparison (refused: Fewer than two cases"),
        (lambda t: t[t["case"] == "c1"], "AUC: no comparison (refused: Fewer than two cases"),
        (lambda t: t[t["modality"] == "unaided"], "AUC: no comparison (one modality"),
    ],
    ids=["whole", "one reader", "one class", "one case", "unaided only"],
)
def test_no_sentence_stands_twice_and_the_auc_is_never_passed_over(plan, change, words):
    study = study_readings._from_log(change(tidy()), "by hand", None)
    sentences = findings.findings(study, *analysed(study, plan))
    assert len(set(sentences)) == len(sentences)
    assert any(sentence.startswith(words) for sentence in sentences)


def test_nothing_about_readings_is_met_by_a_simulation(study):
    """What the items say of readers and readings needs some; the report's own items do not."""
    simulated = study_readings.load(
        "", Study("nowhere", "none", "nowhere"), 2, 12, design="sequential"
    )
    table = findings.checklist(CHECKLISTS, simulated).set_index(["guideline", "item"])
    mrmc = table.loc[findings.GUIDELINES["MRMC"]]
    for item in ("readers: number", "analysis", "per reader", "missing", "time", "automation bias"):
        assert mrmc.loc[item, "status"] == "not met" and "no readings" in mrmc.loc[item, "missing"]
    assert list(mrmc.index[mrmc["status"].eq("met")]) == ["AI operating point"]  # of the network
    alone = ReaderStudy(study.scores, None, "", False)
    scores = findings.checklist(CHECKLISTS, alone).set_index("item")
    assert scores.loc[["analysis", "per reader"], "status"].eq("met").all()
    assert scores.loc["time", "status"] == "not met"


def test_the_checklist_waits_for_real_readings(study):
    real = findings.checklist(CHECKLISTS, study)
    alone = findings.checklist(CHECKLISTS, ReaderStudy(study.scores, None, "", False))
    assert set(real["status"]) == set(findings.STATUSES)
    assert (real["status"] != "met").eq(real["missing"] != "").all()
    assert real["status"].isin(("met", "partly")).le(real["where"] != "-").all()
    waiting = alone["status"].eq("not met") & real["status"].ne("not met")
    assert waiting.any() and alone.loc[waiting, "missing"].str.contains("scores").all()
    counts = findings.checklist_counts(real)
    assert counts[list(findings.STATUSES)].to_numpy().sum() == len(real)


def test_each_guideline_has_its_published_items_in_their_order(study):
    """STARD-AI: 40 items, 15, 16, 17, 26 and 40 in parts; CLAIM 2024: 44; DECIDE-AI: 17."""
    items = findings.checklist(CHECKLISTS, study).groupby("guideline", sort=False)["item"]
    numbers = items.apply(lambda part: list(dict.fromkeys(part.str.rstrip("abcd"))))
    for name, count in (("STARD-AI", 40), ("CLAIM", 44), ("DECIDE-AI", 17)):
        assert numbers[findings.GUIDELINES[name]] == [str(n + 1) for n in range(count)]
    assert items.size()[findings.GUIDELINES["STARD-AI"]] == 48


def test_a_place_that_the_checklist_names_is_there():
    """Tables, figures and notebooks by name, files of docs/."""
    known = {name for part in catalogue.PARTS.values() for name in (*part.tables, *part.figures)}
    known |= set(catalogue.PARTS)
    for places in pd.read_csv(CHECKLISTS)["where"]:
        for place in re.findall(r"\b\d\d_\w+|figure\d_\w+", places):
            assert place in known, places
        for page in re.findall(r"docs/[\w-]+\.md", places):
            assert (ROOT / page).exists(), page


def test_where_only_the_answer_helps_the_map_gets_no_credit_if_the_answer_has_a_stage(plan):
    """The readings of docs/pictures/credit.png, with the stage of the answer and without it."""
    only = Effects(answer=0.6, map_hit=0, map_miss=0, map_free=0, placebo=0, second=0)
    three, two = PRESETS["answer_then_map"], PRESETS["sequential"]
    frame = simulate_readings(12, 60, 0, paradigm=three, effects=only, error_share=0.1)
    less = frame[frame["modality"] != "answer"].replace({"modality": {"map": "aided"}})
    told = []
    for table, preset in ((frame, three), (less, two)):
        study = study_readings._from_log(table, "", None, preset)
        told.append(findings.findings(study, *analysed(study, plan)))
    first = told[0][2]
    assert (
        first.startswith("Primary contrast, declared before: AUC") and "map minus answer" in first
    )
    assert first.endswith("no difference can be concluded.")
    assert "remains compatible with the data" in told[0][3]
    gain = next(s for s in told[0] if s.startswith("AUC") and "answer minus unaided" in s)
    assert gain.endswith("a difference shows.")
    assert told[1][2].endswith("a difference shows.") and "aided minus unaided" in told[1][2]
    assert any(s.startswith("Map and answer came together") for s in told[1])


def test_the_map_has_its_sentences_and_what_is_missing_has_its_words(study, plan):
    three = PRESETS["answer_then_map"]
    frame = simulate_readings(5, 40, 0, paradigm=three)
    found = study_readings._from_log(frame, "", None, three)
    more = map_effect.hit_table(found), break_even.break_even_table(found, (0.1,), draws=20)
    words = findings.findings(found, *analysed(found, plan), None, *more)
    hit = more[0][more[0]["map"] == "hit"][["benefit", "benefit_of"]].sum().astype(int)
    start = f"answer → map: where the map lay on the lesion, {hit['benefit']} of "
    assert any(s.startswith(f"{start}{hit['benefit_of']} wrong") for s in words)
    assert any(s.startswith("Error rate of the network up to which map minus") for s in words)
    assert "nan" not in " ".join(words).lower().replace("kernel", "")
    less = map_effect.hit_table(study), break_even.break_even_table(study)
    words = findings.findings(study, *analysed(study, plan), None, *less)
    assert any(s.startswith("Map and lesion: the readings do not say") for s in words)
    assert any(s.startswith("Break-even: fewer than two cases") for s in words)


def test_arms_between_readers_have_no_sentence_about_these_readers_only(plan):
    preset = PRESETS["with_or_without_map"]
    frame = simulate_readings(10, 24, 0, paradigm=preset)
    found = study_readings._from_log(frame, "", None, preset)
    words = findings.findings(found, *analysed(found, plan))
    assert not any("refused" in sentence for sentence in words)
    assert words[2].startswith("Primary contrast, declared before: AUC for readers and cases")
