"""Cases are balanced, errors enriched, orders seeded."""

import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_study import pool

from camreader.common.errors import DataError
from camreader.session.plan import Plan, choose_cases, reading_orders
from camreader.session.stages import PRESETS


def choose(frame, **plan):
    plan = Plan(**plan)
    chosen, notes = choose_cases(frame, plan)
    return chosen[~chosen["training"]], chosen[chosen["training"]], notes


def test_labels_are_balanced_and_errors_enriched():
    reading, training, notes = choose(pool(), cases=40, error_share=0.3, training_cases=4)
    assert Counter(reading["truth"]) == {1: 20, 0: 20}
    wrong = reading[reading["predicted"] != reading["truth"]]
    assert Counter(wrong["truth"]) == {1: 6, 0: 6}
    assert len(training) == 4 and not set(training["slice_id"]) & set(reading["slice_id"])
    assert (training["predicted"] != training["truth"]).sum() == 1
    assert notes == []


def test_one_slice_a_patient_while_there_are_patients():
    reading, _, notes = choose(pool(200, 200, patients=400), cases=60, training_cases=0)
    assert reading["patient_id"].is_unique and not notes
    reading, _, notes = choose(pool(patients=10), cases=40, training_cases=0)
    assert Counter(reading["patient_id"]).most_common(1)[0][1] <= 5
    assert any("40 cases come from 10 patients" in note for note in notes)


def test_what_is_missing_is_said_in_words():
    reading, training, notes = choose(pool(9, 9, wrong=0, patients=1), cases=60)
    assert len(reading) == 18 and len(training) == 0
    assert "60 cases were asked for, 18 found among the test slices" in notes
    assert any("that the network misses were asked for, 0 found" in note for note in notes)
    assert any("sees what is not there were asked for, 0 found" in note for note in notes)


def test_errors_and_prevalence_are_chosen_by_number():
    plan = {"cases": 32, "false_negatives": 5, "false_positives": 0, "prevalence": 0.25}
    reading, _, notes = choose(pool(), **plan)
    kinds = Counter(zip(reading["truth"], reading["predicted"], strict=True))
    assert (kinds[1, 0], kinds[0, 1]) == (5, 0) and (reading["truth"] == 1).sum() == 8
    assert not [note for note in notes if "asked for" in note]


@settings(max_examples=40, deadline=None)
@given(
    tumors=st.integers(0, 30),
    free=st.integers(0, 30),
    cases=st.integers(1, 50),
    share=st.floats(0, 1),
    practice=st.integers(0, 5),
    seed=st.integers(0, 5),
)
def test_any_pool_gives_different_slices_and_as_many_as_there_are(
    tumors, free, cases, share, practice, seed
):
    frame = pool(tumors, free, patients=7, seed=seed)
    plan = Plan(cases=cases, error_share=share, training_cases=practice, seed=seed)
    chosen, _ = choose_cases(frame, plan)
    assert chosen["slice_id"].is_unique
    wanted = min(cases - cases // 2, tumors) + min(cases // 2, free)
    assert (~chosen["training"]).sum() == wanted
    assert chosen["training"].is_monotonic_decreasing  # practice first


def orders_of(plan):
    chosen, _ = choose_cases(pool(), plan)
    cases = chosen.assign(case=[f"C{n}" for n in range(len(chosen))])
    return cases, reading_orders(cases, plan)


def test_each_reader_has_an_own_order_that_the_seed_gives_again():
    plan = Plan(cases=30, readers=4)
    cases, orders = orders_of(plan)
    reading = set(cases.loc[~cases["training"], "case"])
    for steps in orders.values():
        assert [phase for _, phase, _ in steps[:3]] == ["training"] * 3
        assert {case for case, _, _ in steps[3:]} == reading and len(steps) == 33
    assert len({json.dumps(steps) for steps in orders.values()}) == 4
    assert orders_of(plan)[1] == orders
    assert orders_of(Plan(cases=30, readers=4, seed=1))[1] != orders


def test_crossover_reads_every_case_once_each_way_in_opposite_halves():
    cases, orders = orders_of(Plan(cases=40, readers=2, design="crossover"))
    truth = cases.set_index("case")["truth"]
    aided = {}
    for slot, steps in orders.items():
        seen = Counter((case, phase) for case, phase, _ in steps if phase != "training")
        assert len(seen) == 80 and set(seen.values()) == {1}
        periods = [period for _, _, period in steps]
        assert periods == sorted(periods)
        aided[slot] = {case for case, phase, period in steps if (phase, period) == ("aided", 1)}
    assert not aided["1"] & aided["2"]
    assert sum(truth[case] for case in aided["1"]) == 10


@pytest.mark.parametrize(
    "plan", [{"design": "parallel"}, {"cases": 0}, {"readers": 0}, {"error_share": 1.5}]
)
def test_a_plan_nobody_can_read_by_is_refused(plan):
    with pytest.raises(DataError):
        Plan(**plan).check()


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].assign == "crossover"])
def test_a_crossover_is_a_latin_square(name):
    """Each case once under each arm; in each period cases are spread over the arms."""
    cases, orders = orders_of(Plan(cases=24, readers=4, design=name))
    arms = [arm.name for arm in PRESETS[name].arms]
    for steps in orders.values():
        read = [step for step in steps if step[1] != "training"]
        assert sorted((case, arm) for case, arm, _ in read) == sorted(
            (case, arm) for case in cases.loc[~cases["training"], "case"] for arm in arms
        )
        for period in range(1, len(arms) + 1):
            counts = Counter(arm for _, arm, p in read if p == period)
            assert set(counts.values()) == {24 // len(arms)}


def test_cases_meet_each_arm_equally_often_over_the_readers():
    _, orders = orders_of(Plan(cases=20, readers=6, design="placebo_map"))
    met = Counter((case, arm) for steps in orders.values() for case, arm, _ in steps)
    assert {n for (_, arm), n in met.items() if arm != "training"} == {3}


def test_readers_are_randomised_in_blocks_and_may_read_a_subset_of_their_own():
    cases, orders = orders_of(
        Plan(cases=20, readers=8, design="with_or_without_map", cases_each=10, seed=3)
    )
    truth = cases.set_index("case")["truth"]
    arms, subsets = [], []
    for steps in orders.values():
        read = [(case, arm) for case, arm, _ in steps if arm != "training"]
        (arm,) = {arm for _, arm in read}
        arms.append(arm)
        subsets.append(frozenset(case for case, _ in read))
        assert len(read) == 10 and truth[list(subsets[-1])].sum() == 5
    assert all(len(set(arms[k : k + 2])) == 2 for k in range(0, 8, 2))
    assert len(set(subsets)) > 4


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"false_negatives": 40}, "false negatives"),
        ({"prevalence": 1}, "prevalence"),
        ({"cases_each": 61}, "Cases of each reader"),
        ({"design": {"arms": {}}}, "Arms need names|Not a design"),
    ],
)
def test_a_design_that_cannot_be_drawn_is_refused(plan, words):
    with pytest.raises(DataError, match=words):
        Plan(**plan).check()


def test_strata_get_equal_shares():
    frame = pool(120, 120, patients=240)
    frame["region"] = ["lung"] * 80 + ["liver"] * 30 + ["bone"] * 10 + ["lung"] * 120
    frame["size"] = [*range(120), *[None] * 120]
    frame["size"] = frame["size"].astype(float)
    plan = {"cases": 24, "error_share": 0, "training_cases": 0}
    reading, _, _ = choose(frame, **plan, strata="region")
    found = Counter(reading.loc[reading["truth"] == 1, "region"])
    assert found == {"lung": 4, "liver": 4, "bone": 4}
    reading, _, _ = choose(frame, **plan, strata="size")
    assert Counter(reading.loc[reading["truth"] == 1, "size"] // 40) == {0: 4, 1: 4, 2: 4}
    frame["level"] = [*["subtle"] * 12, *["moderate"] * 45, *["plain"] * 63, *[None] * 120]
    reading, _, _ = choose(frame, **plan, strata="level")
    found = Counter(reading.loc[reading["truth"] == 1, "level"])
    assert found == {"subtle": 4, "moderate": 4, "plain": 4}
    _, _, notes = choose(pool(), **plan, strata="conspicuity")
    assert any("not spread over conspicuity" in note for note in notes)
    with pytest.raises(DataError, match="cannot be spread"):
        Plan(strata="colour").check()


def test_what_follows_what_is_balanced_over_four_arms():
    """Williams 1949: each of the 12 ordered pairs of arms comes equally often."""
    cases, orders = orders_of(Plan(cases=40, readers=4, design="four_conditions"))
    pairs = Counter()
    for steps in orders.values():
        arms = {(case, period): arm for case, arm, period in steps if arm != "training"}
        for case in cases.loc[~cases["training"], "case"]:
            way = [arms[case, period] for period in range(1, 5)]
            assert len(set(way)) == 4
            pairs.update(pairwise(way))
    assert len(pairs) == 12 and len(set(pairs.values())) == 1
