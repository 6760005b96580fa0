"""The next study, planned from a real pilot or from the published one."""

import pytest
from readings_fixture import readings as tidy

from camreader.common.study import Study
from camreader.reader_study import planning
from camreader.reader_study import study as study_readings
from camreader.reader_study.study import ReaderStudy
from camreader.statistics.mrmc import power


@pytest.fixture(scope="module")
def study():
    return study_readings._from_log(tidy(), "by hand", None)


@pytest.fixture(scope="module")
def simulated():
    return study_readings.load("", Study("nowhere", "none", "nowhere"), 4, 30, design="sequential")


@pytest.fixture(scope="module")
def plan(study):
    return planning.planning_table(study, readers=(3, 5, 6, 10, 20))


def test_without_a_pilot_the_published_study_plans(plan, study):
    assert plan["pilot"].iloc[0].startswith("Van Dyke") and study.size[0] < 3
    own = plan[plan["pilot"] == plan["pilot"].iloc[0]].set_index(["difference", "readers"])
    expected = power.cases_needed(power.VAN_DYKE, 114, 0.05, 6)
    assert own.loc[(0.05, 6), "cases"] == expected
    assert not own.loc[0.15, "room"].any() and own.loc[0.10, "room"].all()
    assert own.loc[0.15, "note"].str.startswith("no room").all()


def test_more_readers_or_a_larger_difference_never_need_more_cases(plan):
    for _, part in plan.fillna({"cases": power.MOST_CASES + 1}).groupby(["pilot", "difference"]):
        assert part.sort_values("readers")["cases"].is_monotonic_decreasing
    for _, part in plan.fillna({"cases": power.MOST_CASES + 1}).groupby(["pilot", "readers"]):
        assert part.sort_values("difference")["cases"].is_monotonic_decreasing
    assert plan.loc[plan["cases"].isna(), "note"].str.startswith(("not within", "no room")).all()


def test_a_real_study_is_its_own_pilot_and_a_simulated_one_is_not(simulated):
    real = ReaderStudy(simulated.scores, simulated.readings, "as if real", False)
    first = planning.planning_table(real, (0.1,), (6,))["pilot"].iloc[0]
    assert first == "this study (4 readers, 30 cases)"
    first = planning.planning_table(simulated, (0.1,), (6,))["pilot"].iloc[0]
    assert first.startswith("Van Dyke")
