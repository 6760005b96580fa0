"""A network against readers: the analysis of differences, and names that do not match."""

import numpy as np
import pandas as pd
import pytest
import simulated_studies
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc import analysis, margins, roe_metz
from camreader.statistics.mrmc.standalone import NETWORK, against_readers


@pytest.fixture
def study():
    positives, negatives = roe_metz.simulate(1, 6, 25, 25, (1.5,), seed=8)
    frame = simulated_studies.study_frame(positives[0], negatives[0])
    alone = frame[frame["reader"] == 0][["case", "score"]]
    return frame[frame["reader"] > 0], alone


def test_one_reader_and_the_network_are_delongs_test(study):
    """Each reader's row: two readers of one modality are two modalities of one reader."""
    frame, network = study
    found = against_readers(frame, network, covariance="delong").by_reader.set_index("reader")
    one = frame[frame["reader"] == 3]
    both = one.merge(network, on="case", suffixes=["", "_network"])
    paired = [both.assign(modality=0), both.assign(modality=1, score=both["score_network"])]
    test = analysis.obuchowski_rockette(pd.concat(paired, ignore_index=True), "delong")
    assert found.loc[3, "difference"] == pytest.approx(test.difference)
    assert found.loc[3, ["low", "high"]].tolist() == pytest.approx(test.ci)
    assert found.loc[3, "p"] == pytest.approx(test.differences["p"][0])


def test_false_alarms_are_five_percent():
    """Network and readers of one distribution: 99.9 % Monte-Carlo limits of 600 studies."""
    variances = {**roe_metz.structure("HL"), "reader": 0.0, "modality_reader": 0.0}
    positives, negatives = roe_metz.simulate(600, 6, 25, 25, (1.5,), variances, seed=2)
    rejected = 0
    for block in zip(positives, negatives, strict=True):
        frame = simulated_studies.study_frame(*block)
        network = frame[frame["reader"] == 0][["case", "score"]]
        readers = frame[frame["reader"] > 0]
        rejected += (
            against_readers(readers, network, covariance="delong").differences["p"][0] < 0.05
        )
        if rejected > 60:
            break
    low, high = stats.binom.ppf([0.0005, 0.9995], 600, 0.05)
    assert low <= rejected <= high


def test_it_takes_a_margin_and_says_who_was_left_out(study):
    frame, network = study
    found = against_readers(frame, network.iloc[1:])
    assert "1 cases that the network did not score are left out" in found.flags
    test = margins.non_inferiority(found, 0.1)
    assert test.second == NETWORK and test.difference == pytest.approx(
        found.readers - found.network
    )
    assert found.ci[0] < found.difference < found.ci[1]
    assert np.isclose(found.by_reader["difference"].mean(), found.difference)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f, n: (f, n.drop(columns="score")), "Column missing.*score"),
        (lambda f, n: (f, n.assign(case="x" + n["case"])), "scored none of these cases"),
        (
            lambda f, n: (f.assign(reader=f["reader"].replace(1, NETWORK)), n),
            "A reader has the network's name",
        ),
        (lambda f, n: (f[f["reader"] == 1], n), "Too few readers beside the network"),
    ],
)
def test_what_does_not_match_is_said(study, change, words):
    with pytest.raises(DataError, match=words):
        against_readers(*change(*study))


def test_two_modalities_need_a_choice(study):
    frame, network = study
    two = pd.concat([frame, frame.assign(modality=1)], ignore_index=True)
    with pytest.raises(DataError, match="Which modality"):
        against_readers(two, network)
    assert against_readers(two, network, modality=1).differences["first"][0] == 1
