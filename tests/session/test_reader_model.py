"""Readers drawn from a model: without an effect nothing changes, with one its sign is known."""

import numpy as np
import pytest

from camreader.session.reader_model import NONE, Effects, Readers, made_up_cases, true_means
from camreader.session.stages import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_without_an_effect_every_stage_has_the_same_auc(name):
    """The expected AUC is the first stage's, to the large sample's own error."""
    means = list(true_means(PRESETS[name], NONE, batches=20).values())
    assert np.ptp(means) < 0.012


def test_each_effect_moves_the_stage_that_shows_it_and_no_other():
    preset = PRESETS["answer_then_map"]
    only = true_means(preset, Effects(0.6, 0, 0, 0, 0, 0), batches=20)
    assert only["answer"] - only["unaided"] > 0.03
    assert abs(only["map"] - only["answer"]) < 0.006
    hit = true_means(preset, Effects(0, 0.6, 0, 0, 0, 0), batches=20)
    assert abs(hit["answer"] - hit["unaided"]) < 0.006 and hit["map"] - hit["answer"] > 0.03
    missed = true_means(preset, Effects(0, 0, -0.6, 0, 0, 0), batches=20)
    assert missed["map"] - missed["answer"] < -0.01


def test_made_up_cases_hold_the_errors_asked_for():
    cases = made_up_cases(60, np.random.default_rng(0), 0.3)
    wrong = cases["truth"] != cases["predicted"]
    assert wrong.groupby(cases["truth"]).sum().tolist() == [9, 9] and cases["truth"].sum() == 30
    assert ((cases["probability"] > 0.5) == (cases["predicted"] == 1)).all()


def test_a_map_hits_the_same_lesions_wherever_it_is_shown_and_none_where_there_is_none():
    rng = np.random.default_rng(1)
    readers = Readers(2, made_up_cases(40, rng), Effects(), rng)
    first, second = (list(readers.beliefs(PRESETS[n].arms[0])) for n in ("sequential", "map_first"))
    hit = first[1][2]
    np.testing.assert_array_equal(hit, second[2][2])
    assert np.isnan(first[0][2]).all() and np.isnan(hit[readers.truth == 0]).all()
    assert set(hit[readers.truth == 1]) == {0.0, 1.0}
