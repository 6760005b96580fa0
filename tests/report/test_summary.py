"""The first screen: every number from a table, and nothing simulated among the results."""

import pandas as pd
import pytest

from camreader.common.study import Study
from camreader.report import catalogue, summary


@pytest.fixture
def study(tmp_path):
    """A study with the tables that the first screen reads; its readings are simulated."""
    study = Study(str(tmp_path / "data"), "mine", str(tmp_path / "reports"))
    study.save_card({"title": "mine", "source": str(tmp_path), "refusals": {}})
    rows = [
        ("accuracy", "paper", "final", 0.959, 0.932, 0.975, 341),
        ("accuracy", "sound", "final", 0.901, 0.850, 0.940, 300),
        ("commoner class", "paper", "final", 0.662, 0.61, 0.71, 341),
        ("accuracy", "paper", "first", 0.854, 0.81, 0.89, 341),
    ]
    names = ["metric", "protocol", "run", "value", "low", "high", "n"]
    study.save_table(pd.DataFrame(rows, columns=names), "03_metrics")
    maps = [("gradcam", "all", 0.96, 0.93, 0.98, 230), ("random", "all", 0.01, 0.0, 0.03, 230)]
    names = ["method", "kind", "hit", "hit_low", "hit_high", "n"]
    study.save_table(pd.DataFrame(maps, columns=names), "04_localisation")
    verdicts = {"verdict": ["reproduced", "reproduced", "not supported at n = 16"]}
    verdicts |= {"basis": "stated", "fact": ["a", "b", "c"]}
    study.save_table(pd.DataFrame(verdicts), "claims")
    compared = {
        "compared": ["aided minus unaided"],
        "metric": ["auc"],
        "covariance": ["jackknife"],
        "difference": [0.084],
        "low": [0.052],
        "high": [0.116],
    }
    study.save_table(pd.DataFrame(compared), "08_or")
    planned = {"difference": [0.1, 0.1], "readers": [3, 5], "cases": [None, 71.0], "wanted": 0.8}
    study.save_table(pd.DataFrame(planned).assign(pilot="Van Dyke"), "08_planning")
    readings(study, simulated=True)
    return study


def readings(study, simulated):
    row = {"source": "words", "simulated": simulated, "readers": 6, "cases": 60, "diseased": 30}
    study.save_table(pd.DataFrame([row]), "08_source")


def test_five_sentences_answer_with_intervals(study):
    first, maps, network, claims, planning = summary.answer(study)
    assert first == "Nobody has read these cases yet, so this run cannot say whether the map helps."
    assert "96.0 % (93.0–98.0, n = 230); a random map in 1.0 % (0.0–3.0, n = 230)" in maps
    assert "95.9 % (93.2–97.5, n = 341) under the paper's protocol" in network
    assert "90.1 % (85.0–94.0, n = 300) with patients kept apart" in network
    assert network.endswith("would reach 66.2 %.")
    assert "3 facts" in claims and "2 reproduced, 1 not supported" in claims
    assert "a power of 80 %, 5 readers need about 71 cases; pilot: Van Dyke." in planning


def test_no_simulated_number_is_among_them(study):
    assert "8.4" not in " ".join(summary.answer(study))
    readings(study, simulated=False)
    assert not summary.is_simulated(study)
    said = summary.answer(study)[0]
    assert "Readers (6 readers, 60 cases) show a difference in AUC" in said
    assert said.endswith("+8.4 points (+5.2 to +11.6).")


def test_an_interval_across_zero_shows_no_difference(study):
    readings(study, simulated=False)
    frame = pd.read_csv(study.tables / "08_or.csv").assign(low=-0.02)
    study.save_table(frame, "08_or")
    assert "show no difference in AUC" in summary.answer(study)[0]


def test_what_was_refused_or_not_measured_is_said(study, tmp_path):
    card = {"title": "x", "source": str(tmp_path), "refusals": {"sound": "3 patients needed"}}
    study.save_card(card)
    (study.tables / "04_localisation.csv").unlink()
    said = summary.answer(study)
    assert "Whether the map points at the lesion was not measured in this run." in said
    assert "refused with patients kept apart (3 patients needed)" in said[2]


def test_every_counterpart_is_a_file_of_the_report(study):
    files = {f"{name}.csv" for part in catalogue.PARTS.values() for name in part.tables}
    files |= {name for part in catalogue.PARTS.values() for name in part.figures}
    assert {part.file for part in summary.COUNTERPARTS} <= files
    rows = {row["item"]: row for row in summary.counterparts(study)}
    assert rows["Table 2"]["here"][0] == "first run: 85.4 % (81.0–89.0, n = 341)"
    assert rows["Figure 1"]["here"] == [] and rows["Figure 1"]["picture"]
    assert not rows["Table 3"]["picture"]
