"""The break-even curve against net benefit by its definition, and effects put in."""

import numpy as np
import pytest

from camreader.reader_study import break_even
from camreader.reader_study import study as study_readings
from camreader.reader_study.break_even import break_even_table
from camreader.session.reader_model import NONE, Effects
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS


def designed(name="answer_then_map", effects=None, readers=8, cases=60, **options):
    preset = PRESETS[name]
    frame = simulate_readings(readers, cases, 0, paradigm=preset, effects=effects, **options)
    return study_readings._from_log(frame, "", None, preset)


def net_benefit(part, threshold):
    """Vickers & Elkin 2006: TP / n - FP / n * odds."""
    called, sick = part["diagnosis"] == "tumor", part["truth"] == 1
    odds = threshold / (1 - threshold)
    return ((called & sick).sum() - odds * (called & ~sick).sum()) / len(part)


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_at_the_studys_own_rates_it_is_the_studys_own_net_benefit(threshold):
    """30 % errors in either class (9 of 30 cases) and half of the cases with a tumor."""
    found = designed()
    table = break_even_table(found, (0.5,), threshold, (0.3,), draws=20)
    row = table[table["compared"] == "map minus answer"].iloc[0]
    parts = found.readings.groupby("modality")
    own = [net_benefit(parts.get_group(name), threshold) for name in ("map", "answer")]
    assert row["gain"] == pytest.approx(1000 * (own[0] - own[1]))
    assert row["low"] <= row["gain"] <= row["high"]


def test_the_line_crosses_0_at_the_break_even():
    table = break_even_table(designed(effects=Effects(answer=0.8)), (0.5,), 0.5, draws=50)
    part = table[table["compared"] == "map minus unaided"]
    slope, start = np.polyfit(part["error_rate"], part["gain"], 1)
    assert part["break_even"].iloc[0] == pytest.approx(-start / slope)
    assert part["break_even_low"].iloc[0] < part["break_even"].iloc[0]


def test_an_interval_of_nothing_holds_0_and_a_gain_everywhere_is_said_to_be_one():
    none = break_even_table(designed(effects=NONE), draws=200)
    here = none[none["compared"] == "map minus answer"]
    assert ((here["low"] <= 0) & (here["high"] >= 0)).all()
    gaps = none["break_even"].isna()
    assert none.loc[gaps, "note"].str.contains("every|any|no break-even").all()


def test_arms_between_readers_are_drawn_within_their_arm():
    table = break_even_table(designed("with_or_without_map"), draws=100)
    assert table[["gain", "low", "high"]].notna().all(axis=None)


def test_a_network_without_errors_cannot_be_priced():
    words = break_even_table(designed(error_share=0.0))["refused"][0]
    assert words == "fewer than two cases with a tumor where the network was wrong"
    bare = study_readings.ReaderStudy(designed().scores, None, "scores", False)
    assert "scores only" in break_even.break_even_table(bare)["refused"][0]
