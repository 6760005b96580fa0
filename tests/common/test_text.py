"""Numbers in sentences."""

import pytest

from camreader.common.text import counted


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 slices"), (1, "1 slice"), (2, "2 slices"), (1705, "1,705 slices")],
)
def test_a_count_agrees_with_its_noun(count, words):
    assert counted(count, "slice") == words
