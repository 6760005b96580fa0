"""The reader study's tables against counts made by hand, and words where nothing can be said."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings_fixture import readings as tidy
from scipy import stats

from camreader.common.study import Study
from camreader.reader_study import endpoints, planning
from camreader.reader_study import study as study_readings
from camreader.reader_study import tables as reader_tables
from camreader.reader_study.study import ReaderStudy
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS
from camreader.statistics.intervals import wilson
from camreader.statistics.mrmc import obuchowski_rockette


def study_of(frame):
    frame = frame.copy()
    frame.index = frame.index + 2
    return study_readings._from_log(frame, "by hand", None)


@pytest.fixture(scope="module")
def study():
    return study_of(tidy())


@pytest.fixture(scope="module")
def simulated():
    return study_readings.load("", Study("nowhere", "none", "nowhere"), 4, 30, design="sequential")


# Counted by hand from readings_fixture.TABLE


def test_benefit_and_harm_split_by_the_networks_answer(study):
    """CNN right: c1 c2 c4 c5 c8. Ann: c1 n>t helped, c2 n>t helped, c4 t>t right, c5 t>n helped,
    c8 o>o right. Bob: c1 t>t right, c2 n>t helped, c4 o>n wrong, c5 t>n helped, c8 n>n right.
    CNN wrong: c3 c6 c7. Ann: c3 t>n harmed, c6 n>t harmed, c7 n>n right. Bob: c3 t>t right,
    c6 n>o right, c7 t>t wrong."""
    table = reader_tables.benefit_harm_table(study).set_index("cnn")
    columns = ["readings", "cases", "unaided_right", "benefit", "benefit_of", "harm", "harm_of"]
    found = table[[*columns, "aided_right"]].T.to_dict("list")
    assert found["right"] == [10, 5, 4, 5, 6, 0, 4, 9]
    assert found["wrong"] == [6, 3, 5, 0, 1, 2, 5, 3]
    assert found["all"] == [16, 8, 9, 5, 7, 2, 9, 12]
    assert table.loc["all", "net"] == pytest.approx(3 / 16)
    assert table.loc["right", "net"] == 0.5 and table.loc["wrong", "net"] == pytest.approx(-1 / 3)
    assert table["p"].isna().all() and table["note"].str.contains("several readers per case").all()


def test_one_reader_reads_each_case_once(study):
    """Ann: 4 of 5 wrong answers turned right, 1 of 3 right ones wrong: Wilson, and McNemar of
    1 against 4 discordant cases, two-sided binomial."""
    row = reader_tables.benefit_harm_table(study_of(tidy()[tidy()["reader"] == "Ann"])).iloc[2]
    share = wilson(row["benefit"], row["benefit_of"])
    assert (row["benefit_low"], row["benefit_high"]) == (share.low, share.high)
    few, many = sorted((row["benefit"], row["harm"]))
    assert row["p"] == pytest.approx(stats.binomtest(int(few), int(few + many)).pvalue)


def test_six_readers_of_one_case_are_not_six_cases():
    """Readers who all answer alike give the intervals of one of them, not narrower ones."""
    nowhere = Study("nowhere", "none", "nowhere")
    one = study_readings.load("", nowhere, 1, 40, 3, "sequential").readings
    same = pd.concat([one.assign(reader=f"R{k}") for k in range(6)], ignore_index=True)
    same, twice = study_of(same), study_of(same[same["reader"].isin(["R0", "R1"])])
    for table, ends in (
        (reader_tables.benefit_harm_table, ["benefit_low", "benefit_high", "net_low", "net_high"]),
        (reader_tables.helpfulness_table, ["low", "high"]),
        (reader_tables.time_table, ["right_first_low", "right_last_high"]),
    ):
        six, two = table(same)[ends].to_numpy(float), table(twice)[ends].to_numpy(float)
        assert six == pytest.approx(two, nan_ok=True)


def test_the_flow_of_diagnoses(study):
    table = reader_tables.flow_table(study).set_index(["truth", "unaided", "aided"])["readings"]
    expected = {
        (1, "tumor", "tumor"): 3,
        (1, "no tumor", "tumor"): 3,
        (1, "tumor", "no tumor"): 1,
        (1, "other", "no tumor"): 1,
        (0, "tumor", "no tumor"): 2,
        (0, "no tumor", "tumor"): 1,
        (0, "no tumor", "other"): 1,
        (0, "no tumor", "no tumor"): 2,
        (0, "tumor", "tumor"): 1,
        (0, "other", "other"): 1,
    }
    assert table.to_dict() == expected


def test_helpfulness_where_the_network_agreed(study):
    """Unaided answers that were the CNN's: c1 Bob, c4 Ann, c7 Bob, c8 both; all called helpful.
    Of the other eleven, c3 Bob and c7 Ann did not move and said no."""
    table = reader_tables.helpfulness_table(study).set_index(["readings", "helpful"])
    agreed = table.loc["CNN agreed with the unaided answer"]
    assert agreed["k"].to_dict() == {"yes": 5, "some": 0, "no": 0} and set(agreed["n"]) == {5}
    other = table.loc["CNN disagreed"]
    assert other["k"].to_dict() == {"yes": 0, "some": 9, "no": 2} and set(other["n"]) == {11}
    assert table.loc["all", "k"].sum() == 16


def test_helpfulness_leaves_out_what_the_network_did_not_say():
    blank = study_of(
        tidy(cnn_prediction=lambda r: "" if r["case"] == "c1" else r["cnn_prediction"])
    )
    table = reader_tables.helpfulness_table(blank).set_index(["readings", "helpful"])
    assert table.loc[("all", "yes"), "n"] == 14
    none = study_of(tidy(cnn_prediction=lambda r: ""))
    assert "what the CNN had said" in reader_tables.helpfulness_table(none)["refused"].iloc[0]
    change = reader_tables.benefit_harm_table(none).set_index("cnn")
    assert change["readings"].to_dict() == {"right": 0, "wrong": 0, "all": 16}
    assert change.loc["right", "note"] == "no reading where the CNN was right"


def test_each_readers_own_shares(study):
    table = reader_tables.readers_table(study).set_index(["reader", "modality"])
    rows = table[["sensitivity", "specificity", "diseased", "without_disease"]]
    assert rows.loc[("Ann", "unaided")].tolist() == [0.5, 0.75, 4, 4]
    assert rows.loc[("Ann", "aided")].tolist() == [0.75, 0.75, 4, 4]
    assert rows.loc[("Bob", "aided")].tolist() == [0.75, 0.75, 4, 4]
    # scores are 8 or 3 by the answer, so the AUC is the mean of the two shares
    assert table.loc[("Ann", "aided"), "auc"] == 0.75 and (table["note"] == "").all()


def test_time_and_its_trend(study):
    table = reader_tables.time_table(study).set_index("modality")
    assert table.loc["aided", ["readings", "seconds_median"]].tolist() == [16, 14.5]
    # both readers take the same times: the trend has no width and is that of 11 .. 18 seconds
    slope = np.polyfit(range(1, 9), np.log(np.arange(11, 19)), 1)[0]
    row = table.loc["unaided"]
    assert row["change_per_10_cases"] == pytest.approx(np.exp(10 * slope) - 1)
    assert row["change_low"] == pytest.approx(row["change_high"])


def test_learning_and_fatigue_by_thirds(study):
    """Unaided, first third: orders up to 8/3, c1 and c2; last third: above 8/1.5, c6 to c8."""
    row = reader_tables.time_table(study).set_index("modality").loc["unaided"]
    assert (row["first_n"], row["last_n"]) == (4, 6)
    assert row["right_first_third"] == 1 / 4  # Bob's c1
    assert row["right_last_third"] == pytest.approx(5 / 6)  # all but Bob's c7
    assert row["right_change"] == pytest.approx(5 / 6 - 1 / 4)
    assert row["right_change_low"] <= row["right_change"] <= row["right_change_high"]


def test_a_learner_shows_as_one():
    """Times that halve every ten cases come back as -50 %."""
    table = tidy(seconds=lambda r: str(60 * 0.5 ** (int(r["order"]) / 10)))
    row = reader_tables.time_table(study_of(table)).iloc[0]
    assert row["change_per_10_cases"] == pytest.approx(-0.5)


def test_zero_seconds_are_counted_not_used():
    row = reader_tables.time_table(study_of(tidy(seconds=lambda r: "0"))).iloc[0]
    assert row["zero_seconds"] == 16 and np.isnan(row["change_per_10_cases"])
    assert row["note"].startswith("no trend: fewer than two readers")


def test_comparison_rows_agree_where_they_must(simulated):
    """On a crossed study the U-statistics are the unbiased analysis (Gallas 2006; Hillis 2007)."""
    table = reader_tables.comparison_table(simulated)
    auc = table[table["metric"] == "auc"].set_index(["covariance", "random"])
    both = "readers and cases"
    pair = auc.loc[[("unbiased", both), ("U-statistics", both)], ["difference", "first", "second"]]
    np.testing.assert_allclose(pair.iloc[0].to_numpy(float), pair.iloc[1].to_numpy(float))
    assert set(table["compared"]) == {"aided minus unaided"}
    assert set(table["metric"]) == {"auc", "sensitivity", "specificity"}
    rows = reader_tables.readers_table(simulated)
    shares = rows.groupby("modality")["sensitivity"].mean()
    row = table.set_index("metric").loc["sensitivity"]
    assert row["difference"] == pytest.approx(shares["aided"] - shares["unaided"])


# Degenerate input: flagged or refused in words, never NaN alone


def words_everywhere(study):
    """Every table of the study; each NaN must stand in a row that says why."""
    tables = [
        reader_tables.readers_table(study),
        reader_tables.comparison_table(study),
        reader_tables.benefit_harm_table(study),
        reader_tables.helpfulness_table(study),
        reader_tables.time_table(study),
    ]
    for table in tables:
        said = table.reindex(columns=["note", "flags", "refused"]).astype(object).fillna("")
        said = said.agg("".join, axis=1)
        explained = {"seconds", "random", "covariance"}  # text cells of refused rows
        numbers = table.select_dtypes("number").drop(columns=explained, errors="ignore")
        silent = numbers.isna().any(axis=1) & (said == "")
        if "helpful" in table:  # a share of no readings: n = 0 says so
            silent &= table["n"] != 0
        assert not silent.any(), table[silent].T
    return tables


DEGENERATE = {
    "one reader": lambda t: t[t["reader"] == "Ann"],
    "one class": lambda t: t.assign(truth="1"),
    "one case": lambda t: t[t["case"] == "c1"],
    "two cases": lambda t: t[t["case"].isin(["c1", "c8"])],
    "all answers equal": lambda t: t.assign(score="8", diagnosis="1"),
    "always right": lambda t: t.assign(
        score=np.where(t["truth"] == "1", "8", "3"), diagnosis=t["truth"]
    ),
    "missing readings": lambda t: t.assign(score=t["score"].where(t.index % 5 > 0, "")),
    "one reader hardly read": lambda t: t[(t["reader"] == "Ann") | (t["case"] == "c1")],
    "unaided only": lambda t: t[t["modality"] == "unaided"],
    "no times": lambda t: t.assign(seconds=""),
    "no CNN": lambda t: t.assign(cnn_prediction=""),
    "no helpfulness": lambda t: t.assign(helpfulness=""),
    "the CNN always right": lambda t: t.assign(cnn_prediction=t["truth"]),
}


@pytest.mark.parametrize("change", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_studies_are_told_in_words(change):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        words_everywhere(study_of(change(tidy())))


@pytest.mark.parametrize("change", DEGENERATE.values(), ids=DEGENERATE)
def test_the_comparison_has_its_columns_and_its_main_row_whatever_the_study(change):
    """The front page reads the first AUC row of the jackknife and its difference."""
    table = reader_tables.comparison_table(study_of(change(tidy())))
    main = table[(table["metric"] == "auc") & (table["covariance"] == "jackknife")].iloc[0]
    assert list(table) == reader_tables.COMPARISON
    assert main["flags"] or np.isfinite(main["difference"])


def test_what_the_words_are():
    frame = reader_tables.comparison_table(study_of(DEGENERATE["one reader"](tidy())))
    assert frame["flags"].str.contains("one reader").any()
    frame = reader_tables.readers_table(study_of(DEGENERATE["one class"](tidy())))
    assert (
        frame["note"].str.contains("without disease").all() and frame["sensitivity"].notna().all()
    )
    frame = reader_tables.comparison_table(study_of(DEGENERATE["all answers equal"](tidy())))
    assert frame["flags"].str.contains("all answers equal").any()
    frame = reader_tables.readers_table(study_of(DEGENERATE["one reader hardly read"](tidy())))
    assert frame.set_index("reader").loc["Bob", "note"].str.startswith("fewer than two").all()
    frame = reader_tables.benefit_harm_table(study_of(DEGENERATE["unaided only"](tidy())))
    assert "read both without and with" in frame["refused"].iloc[0]


def test_scores_alone_refuse_what_needs_a_log(study):
    alone = ReaderStudy(study.scores, None, "scores", False)
    for table in ("benefit_harm_table", "flow_table", "helpfulness_table", "time_table"):
        assert getattr(reader_tables, table)(alone)["refused"].iloc[0] == reader_tables.NO_LOG
    assert "sensitivity" not in reader_tables.readers_table(alone)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(8, 24))
def test_benefit_minus_harm_is_the_change_of_right_answers(seed, readers, cases):
    """For any readings, reader by reader and in the sum over the two groups."""
    nowhere = Study("nowhere", "none", "nowhere")
    table = reader_tables.benefit_harm_table(
        study_readings.load("", nowhere, readers, cases, seed, "sequential")
    ).set_index("cnn")
    assert (table["benefit"] - table["harm"] == table["aided_right"] - table["unaided_right"]).all()
    parts = table.loc["right"] + table.loc["wrong"]
    for name in ("readings", "benefit", "harm", "benefit_of", "harm_of", "cases"):
        assert parts[name] == table.loc["all", name]


def test_tables_are_pure(study):
    """The same study gives the same tables: bootstraps are seeded."""
    twice = [reader_tables.benefit_harm_table(study) for _ in range(2)]
    pd.testing.assert_frame_equal(*twice)


def test_readings_in_two_stages_give_the_tables_of_before(study):
    """Every column of every table as the version before stages and arms wrote it, stored then."""
    stored = json.loads((Path(__file__).parent / "data" / "two_stages.json").read_text())
    rooms = (reader_tables, endpoints)
    for name, old in stored.items():
        if name == "margin_table":
            table = planning.margin_table(study, 0.05)
        else:
            room = next(room for room in rooms if hasattr(room, name))
            table = getattr(room, name)(study)
        found = json.loads(table.round(9).to_json(orient="split"))
        now = pd.DataFrame(found["data"], columns=found["columns"])[old["columns"]]
        before = pd.DataFrame(old["data"], columns=old["columns"])
        pd.testing.assert_frame_equal(now, before, check_dtype=False, atol=1e-8)


def designed(name, readers=6, cases=24, seed=0, **options):
    """A simulated study of a preset, through the same door as a log."""
    preset = PRESETS[name]
    frame = simulate_readings(readers, cases, seed, paradigm=preset, **options)
    return study_readings._from_log(frame, "", None, preset)


@pytest.mark.parametrize("name", PRESETS)
def test_the_declared_contrast_comes_first_alone_and_the_others_share_holm(name):
    found = designed(name)
    table = reader_tables.comparison_table(found)
    first = table.iloc[0]
    assert first["primary"] and first["compared"] == " minus ".join(PRESETS[name].contrast)
    assert table.loc[table["primary"], "compared"].nunique() == 1
    rest = table[~table["primary"].astype(bool)]
    pairs = len(PRESETS[name].stages) * (len(PRESETS[name].stages) - 1) // 2
    assert rest["compared"].nunique() == pairs - 1
    for _, part in rest.groupby("metric"):
        raw = part["p"].astype(float)
        least = raw.min()  # Holm's smallest is the number of tests times the smallest
        assert part["p_holm"].astype(float).min() == pytest.approx(min(1, least * raw.count()))
    own = (found.scores[found.scores["modality"] == m] for m in PRESETS[name].contrast)
    alone = obuchowski_rockette(pd.concat(own), convention="hillis")
    assert first["difference"] == pytest.approx(alone.difference)
    assert [first["p"], first["p_holm"]] == pytest.approx([alone.p] * 2)


@pytest.mark.parametrize("name", PRESETS)
def test_every_table_of_every_design_is_told_in_words(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        words_everywhere(designed(name))


def test_readers_in_two_arms_are_nested_and_the_marginal_model_says_so():
    found = designed("with_or_without_map", readers=8)
    row = reader_tables.comparison_table(found).iloc[0]
    assert "each reader read one arm only" in row["flags"].replace("modality", "arm")
    assert "one arm only" in endpoints.gee_table(found)["refused"].iloc[0]
    assert found.steps == [("unaided", "answer"), ("unaided", "map")]


def test_a_change_of_the_protocol_is_a_flag(tmp_path, monkeypatch):
    (tmp_path / "design.json").write_text('{"plan": {"design": "sequential", "margin": 0.1}}')
    monkeypatch.setattr(study_readings.Design, "protocol_changes", ["10 more cases"], raising=False)
    found = study_readings.of_design(study_of(tidy()), tmp_path)
    assert found.flags == ["the protocol was changed: 10 more cases"] and found.margin == 0.1


def test_answers_in_under_two_seconds_are_counted_and_their_readers_named():
    seconds = lambda r: "1.99" if r["reader"] == "Bob" and r["modality"] == "aided" else "2"  # noqa: E731
    table = reader_tables.time_table(study_of(tidy(seconds=seconds))).set_index("modality")
    assert table["hasty"].to_dict() == {"unaided": 0, "aided": 8}
    assert table.loc["aided", "note"].endswith("answered in under 2 s: Bob 8")
    assert "under" not in table.loc["unaided", "note"]
