"""Steps in which values of any unit fit into 16 bit."""

import numpy as np
import pytest

from camreader.cohorts import steps
from camreader.common.errors import DataError


@pytest.mark.parametrize(
    ("low", "high", "whole", "step"),
    [
        (0, 4095, True, 1),
        (0, 65535, True, 2.5),
        (0, 3.2, False, 0.0001),
        (-4096, 4095, True, 5),
        (0, 76000.5, False, 2.5),
        (0, 0, False, 1),
        (0, 3276.7, False, 0.1),
    ],
)
def test_steps_fit_16_bit(low, high, whole, step):
    assert steps.step_of(low, high, whole) == pytest.approx(step)
    assert high / step <= 32767 and low / step >= -1024


def test_values_become_whole_steps_and_what_does_not_fit_is_refused():
    own = np.array([[0.0, 2.4], [5.1, -3000]])
    assert steps.stored(own, "a", 2.0).tolist() == [[0, 1], [3, -1024]]
    assert steps.named("g/ml", 0.001) == "\u00d7 0.001 g/ml" and steps.named("HU", 1) == "HU"
    with pytest.raises(DataError, match="do not fit"):
        steps.stored(np.array([[40000]]), "a")
