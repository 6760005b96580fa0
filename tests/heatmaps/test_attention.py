"""Attention is read as it is, torchvision's, timm's and written out; rollout by hand."""

import importlib.util

import numpy as np
import pytest
import torch
from own_networks import TinyTransformer
from small_networks import Small, images_of
from torch import nn

from camreader.heatmaps import attention


def test_rollout_is_the_product_of_the_layers_by_hand():
    """Abnar & Zuidema 2020, equation 1, in numpy."""
    rng = np.random.default_rng(0)
    layers = rng.random((3, 5, 10, 10))
    layers /= layers.sum(-1, keepdims=True)
    for k in range(5):
        flow = np.eye(10)
        for layer in layers[:, k]:
            flow = (layer / 2 + np.eye(10) / 2) @ flow
        found = attention.rollout([torch.tensor(layer[k : k + 1]) for layer in layers])
        np.testing.assert_allclose(found[0], flow[0, 1:].reshape(3, 3), atol=1e-6)
    no_class = attention.rollout([torch.full((1, 9, 9), 1 / 9)])
    np.testing.assert_allclose(no_class, np.full((1, 3, 3), 1 / 9), atol=1e-6)


def by_hand(model, images):
    """The weights of each block of a TinyTransformer, from its own formula."""
    kept = []
    for block in model.blocks:
        block.softmax.register_forward_hook(lambda m, i, o: kept.append(o.mean(1)))
    model(images)
    return kept


def test_attention_written_out_is_read_once_with_or_without_dropout_behind_it():
    model, images = TinyTransformer(1).eval(), images_of(1)
    expected = by_hand(model, images)[:2]
    found = attention.matrices(model, images)
    assert len(found) == 2 and all(f.allclose(e) for f, e in zip(found, expected, strict=True))
    for block in model.blocks:
        block.softmax = nn.Sequential(nn.Softmax(-1), nn.Dropout(0.5))
    assert len(attention.matrices(model.eval(), images)) == 2
    assert not any(m._forward_hooks for m in model.blocks[0].softmax)


def test_torchvisions_attention_is_read_and_its_answer_stays():
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    model, images = VisionTransformer(32, 8, 2, 2, 16, 32).eval(), torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        before, found = model(images), attention.matrices(model, images)
    assert [layer.shape for layer in found] == [(3, 17, 17)] * 2
    with torch.no_grad():  # the first layer's weights by torch's own function
        first = model.encoder.layers[0]
        tokens = model._process_input(images)
        tokens = torch.cat([model.class_token.expand(3, -1, -1), tokens], 1)
        tokens = first.ln_1(tokens + model.encoder.pos_embedding)
        _, weights = first.self_attention(tokens, tokens, tokens, need_weights=True)
        torch.testing.assert_close(found[0], weights)
        torch.testing.assert_close(model(images), before)


@pytest.mark.skipif(not importlib.util.find_spec("timm"), reason="timm is absent")
def test_timms_attention_is_read_and_its_kernel_is_put_back():
    import timm

    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2).eval()
    found = attention.matrices(model, torch.rand(2, 3, 32, 32))
    assert [layer.shape for layer in found] == [(2, 5, 5)] * 2
    assert all(block.attn.fused_attn for block in model.blocks)


def test_a_convolutional_network_has_none():
    assert attention.matrices(Small(0).eval(), images_of(0)) == []
