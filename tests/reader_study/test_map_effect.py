"""What the map did, against counts by hand, published definitions and effects put in."""

import numpy as np
import pandas as pd
import pytest

from camreader.reader_study import map_effect, tables
from camreader.reader_study import study as study_readings
from camreader.session.reader_model import Effects
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS

ALL = (
    map_effect.stepwise_table,
    map_effect.hit_table,
    map_effect.reliance_table,
    map_effect.viewing_table,
)
STAGES = ("unaided", "answer", "map")


def designed(name, effects=None, readers=8, cases=40, seed=0):
    preset = PRESETS[name]
    frame = simulate_readings(readers, cases, seed, paradigm=preset, effects=effects)
    return study_readings._from_log(frame, "", None, preset)


def by_hand(lines, **columns):
    """One reader's study: a line is case, truth, cnn, hit and three answers (t or n)."""
    rows = []
    for k, line in enumerate(lines.split("\n")[1:-1], start=1):
        case, truth, cnn, hit, answers = line.split()
        for stage, letter in zip(STAGES, answers, strict=True):
            row = {"reader": "Ann", "case": case, "modality": stage, "truth": truth}
            row |= {"score": "8" if letter == "t" else "3", "order": str(k), "confidence": "3"}
            row |= {"diagnosis": "tumor" if letter == "t" else "no tumor", "cnn_prediction": cnn}
            row["map_hit"] = {"-": np.nan}.get(hit, hit) if stage == "map" else np.nan
            rows.append(row | columns)
    return study_readings._from_log(pd.DataFrame(rows), "", None, PRESETS["answer_then_map"])


HAND = """
c1 1 1 1 ntt
c2 1 1 1 nnt
c3 1 1 0 ttt
c4 1 0 0 ttn
c5 1 0 1 tnt
c6 0 1 - ntt
c7 0 1 - nnt
c8 0 0 - tnn
"""


def test_reliance_is_schemmers():
    """Wrong at first and the network right: c1 c2 c8. Right at first and the network wrong: c4 c5
    c6 c7. At the answer c1 c8 are corrected, c4 c7 kept; with the map c1 c2 c8, and c5."""
    table = map_effect.reliance_table(by_hand(HAND)).set_index(["stage", "measure"])
    counts = table[["k", "n"]].apply(lambda row: tuple(row.dropna()), axis=1)
    assert counts["answer", "RAIR"] == (2, 3) and counts["map", "RAIR"] == (3, 3)
    assert counts["answer", "RSR"] == (2, 4) and counts["map", "RSR"] == (1, 4)
    assert counts["answer", "switched"] == (4, 7) and counts["map", "switched"] == (6, 7)
    assert table.loc[("map minus answer", "RAIR"), "value"] == pytest.approx(1 / 3)
    assert table.loc[("map minus answer", "RSR"), "value"] == pytest.approx(-1 / 4)


def test_weight_of_advice_is_the_share_of_the_way():
    """Scores 3 and 8, advice 10 or 1 where no probability is known: 3 to 8 of 10 is 5 / 7."""
    table = map_effect.reliance_table(by_hand("\nc1 1 1 1 ntt\n"))
    row = table[(table["measure"] == "weight of advice") & (table["stage"] == "map")].iloc[0]
    assert row["value"] == pytest.approx(5 / 7)
    near = map_effect.reliance_table(by_hand("\nc1 1 1 1 ntt\n", cnn_probability="0.25"))
    assert "weight of advice" not in set(near["measure"])  # the advice was 3.25, the answer 3


def test_benefit_and_harm_by_where_the_map_lay():
    """From answer to map: c2 corrected on the lesion, network right; c5 corrected on it, network
    wrong; c4 spoiled beside it; c7 spoiled without a lesion."""
    table = map_effect.hit_table(by_hand(HAND)).set_index(["map", "cnn"])
    assert table.loc[("hit", "right"), ["benefit", "benefit_of", "harm"]].tolist() == [1, 1, 0]
    assert table.loc[("hit", "wrong"), ["benefit", "benefit_of"]].tolist() == [1, 1]
    assert table.loc[("missed", "wrong"), ["harm", "harm_of"]].tolist() == [1, 1]
    assert table.loc[("no lesion", "wrong"), ["harm", "harm_of"]].tolist() == [1, 1]
    assert table["readings"].sum() == 8


def test_the_changes_of_the_steps_add_up_and_are_the_comparisons():
    found = designed("answer_then_map")
    steps = map_effect.stepwise_table(found).set_index(["endpoint", "stage"])
    compared = tables.comparison_table(found)
    main = compared.iloc[0]
    ends = steps.loc[("AUC", "map"), ["change", "change_low", "change_high"]].astype(float)
    np.testing.assert_allclose(ends, main[["difference", "low", "high"]].astype(float))
    for endpoint in ("AUC", "sensitivity", "specificity"):
        value, change = (steps.loc[endpoint, name] for name in ("value", "change"))
        assert value["unaided"] + change["answer"] + change["map"] == pytest.approx(value["map"])


def test_a_map_that_helps_where_it_hits_is_seen_to_do_so():
    effects = Effects(answer=0.5, map_hit=0.8, map_miss=-0.8, map_free=0, placebo=0, second=0)
    table = map_effect.hit_table(designed("answer_then_map", effects, 12, 60))
    net = table.groupby("map")["net"].mean()
    assert net["hit"] > 0 > net["missed"]


def test_use_of_the_sliders_is_counted():
    table = map_effect.viewing_table(designed("answer_then_map"))
    counted = [c for c in table if c.endswith("_of")]
    assert (table[counted].sum(axis=1) == table["readings"]).all() and len(table) == 4
    assert table["note"].str.contains("goes together|fewer than").all()


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("function", ALL)
def test_every_gap_has_its_words_in_every_design(function, name):
    table = function(designed(name, readers=6, cases=24))
    if "refused" in table:
        assert table["refused"][0]
        return
    gaps = table.drop(columns=["note", "p", "k"], errors="ignore").isna().any(axis=1)
    assert table.loc[gaps, "note"].ne("").all()


def test_readings_of_earlier_versions_say_what_they_do_not_know():
    frame = simulate_readings(4, 20).drop(
        columns=["map_hit", "opacity_changes", "opacity_last", "opacity_max", "threshold_last"]
    )
    old = study_readings._from_log(frame, "", None, PRESETS["sequential"])
    assert "whether a case's map lay" in map_effect.hit_table(old)["refused"][0]
    assert "opacity and threshold" in map_effect.viewing_table(old)["refused"][0]
    bare = study_readings.ReaderStudy(old.scores, None, "scores", False)
    for function in ALL[1:]:
        assert "scores only" in function(bare)["refused"][0]
    assert set(map_effect.stepwise_table(bare)["endpoint"]) == {"AUC"}
