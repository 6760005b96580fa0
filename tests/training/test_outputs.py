"""What a network answers with: logits pass, anything else is named."""

import pytest
import torch
from torch import nn

from camreader.common.errors import DataError
from camreader.training import outputs

LINEAR = nn.Linear(3, 2)
IN = torch.rand(4, 3)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ((LINEAR(IN), IN), "no tensor.*a tuple of 2"),
        ({"logits": LINEAR(IN)}, "no tensor.*a dict of 1"),
        (None, "no tensor.*NoneType"),
        (torch.rand(4, 1, 8, 8), r"not one answer each.*\(4, 1, 8, 8\)"),
        (torch.rand(3, 2), r"for 4 image\(s\) is not one answer each"),
        (torch.rand(()), "not one answer each"),
        (LINEAR(IN).softmax(1), "probabilities"),
        (LINEAR(IN)[:, 1].sigmoid(), "probabilities"),
        (LINEAR(IN).sigmoid()[:, :1].squeeze(1), "probabilities"),
    ],
)
def test_what_is_no_logit_is_named(output, words):
    with pytest.raises(DataError, match=words):
        outputs.check_outputs(output, 4)


def test_logits_become_columns_and_log_odds():
    one, two = LINEAR(IN)[:, 0], LINEAR(IN)
    assert outputs.check_outputs(one, 4).shape == (4, 1)
    assert outputs.check_outputs(two, 4).equal(two)
    assert outputs.log_odds(one) is one
    torch.testing.assert_close(outputs.log_odds(two).sigmoid(), two.softmax(1)[:, 1])


def test_a_sigmoid_inside_is_no_sigmoid_at_the_end():
    assert not outputs.gives_probabilities(LINEAR(IN.sigmoid()))
    assert not outputs.gives_probabilities(LINEAR(IN) * LINEAR(IN).sigmoid())


def test_tokens_are_put_back_in_their_rows():
    grid = torch.arange(2 * 5 * 3 * 3.0).view(2, 5, 3, 3)
    for before in (0, 1, 5):
        tokens = torch.cat([torch.zeros(2, before, 5), grid.flatten(2).transpose(1, 2)], 1)
        assert outputs.tokens_before(tokens) == before
        assert outputs.spatial(tokens).equal(grid) and outputs.places(tokens) == (3, 3)
        assert outputs.width_of(tokens) == 5
    assert outputs.spatial(grid.permute(0, 2, 3, 1)).equal(grid)  # as Swin gives them
    assert outputs.spatial(grid) is grid and outputs.places(grid[..., :1]) is None
