"""Subgroups of readers: the same numbers as the readers alone, and none of fewer than five."""

import numpy as np
import pytest

from camreader.reader_study import study as study_readings
from camreader.reader_study.subgroups import subgroup_table
from camreader.reader_study.tables import compare
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS


def studied(name="answer_then_map", readers=12, seed=0, **columns):
    preset = PRESETS[name]
    frame = simulate_readings(readers, 40, seed, paradigm=preset).drop(columns="reader_years")
    number = frame["reader"].str[1:].astype(int)
    frame = frame.assign(**{key: number.map(value) for key, value in columns.items()})
    return study_readings._from_log(frame, "", None, preset)


def test_a_number_is_split_at_its_median_and_each_group_is_its_readers_alone():
    found = studied(reader_years=lambda k: k)
    table = subgroup_table(found).set_index("group")
    assert list(table.index) == ["above 6.5", "up to 6.5"] and table["readers"].eq(6).all()
    few = found.scores[found.scores["reader"].isin([f"R{k}" for k in range(1, 7)])]
    alone = compare(few, ("map", "answer"))
    assert table.loc["up to 6.5", "difference"] == pytest.approx(alone.difference)
    assert table["p_interaction"].nunique() == 1 and 0 <= table["p_interaction"].iloc[0] <= 1


def test_groups_that_really_differ_interact():
    """Readers from R7 on never change their answer; the others do, as simulated."""
    found = studied(reader_kind=lambda k: "moves" if k < 7 else "stays")
    log = found.readings
    stays = log["reader_kind"] == "stays"
    first = log[log["modality"] == "answer"].set_index(["reader", "case"])["score"]
    keys = list(zip(log["reader"], log["case"], strict=True))
    truth = np.where(log["truth"] == 1, 10.0, 1.0)
    mapped = log["modality"] == "map"
    log["score"] = np.where(stays & mapped, first.loc[keys].to_numpy(), log["score"])
    log["score"] = np.where(~stays & mapped, truth, log["score"])
    again = study_readings._from_log(log, "", None, PRESETS["answer_then_map"])
    table = subgroup_table(again).set_index("group")
    assert table.loc["moves", "difference"] > 0.03 and table.loc["stays", "difference"] == 0
    assert table["p_interaction"].iloc[0] < 0.05


def test_fewer_than_five_readers_are_never_shown():
    table = subgroup_table(studied(reader_kind=lambda k: "rare" if k < 5 else "common"))
    assert len(table) == 1 and "fewer than 5" in table["note"][0] and "rare" not in str(table)
    assert subgroup_table(studied(readers=9, reader_years=lambda k: k))["group"].eq("").all()


def test_several_fields_share_holm_and_none_is_refused_in_words():
    two = subgroup_table(studied(reader_years=lambda k: k, reader_other=lambda k: k % 2 + 0.0))
    p = two.drop_duplicates("field")[["p_interaction", "p_holm"]].to_numpy()
    assert p[:, 1].min() == pytest.approx(min(1, 2 * p[:, 0].min()))
    assert "no profile" in subgroup_table(studied())["refused"][0]
    between = subgroup_table(studied("with_or_without_map", 12, 3, reader_years=lambda k: k))
    assert between["note"].ne("").all() and between["p_interaction"].isna().all()
