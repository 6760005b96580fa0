"""Boxes as a second target of the training: what is asked of whom, and that nothing is left."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tqdm import tqdm
from training_fixture import make_cohort

from camreader.training import experiments, places, train, trainer
from camreader.training.experiments import Settings
from camreader.training.networks import GenericCNN, build

QUICK = Settings(epochs=2, least_steps=1, batch_size=16, resamples=1, extensions=0)
PLAN = experiments.PLANS["sound-final"]


def slices(labels, boxes):
    return pd.DataFrame({"label": labels, "boxes": boxes, "width": 64, "height": 64})


def test_a_slice_labelled_free_has_no_place_and_a_tumor_without_a_box_is_not_asked():
    frame = slices([1, 0, 1, 0], ["[[0, 0, 15, 31]]", "[[0, 0, 15, 31]]", "[]", "[]"])
    inside = places.inside_boxes(frame, 32)
    assert inside.shape == (4, 1, 32, 32) and inside[0].sum() == 8 * 16
    assert inside[0, 0, :16, :8].all() and not inside[1:].any()
    assert places.places_known(frame).tolist() == [True, True, False, True]


@pytest.mark.parametrize("frame", [slices([1, 0], "[]"), slices([0, 0], "[[0, 0, 9, 9]]")])
def test_without_a_box_there_is_no_second_target(frame):
    assert places.inside_boxes(frame, 32) is None
    assert places.inside_boxes(frame.drop(columns="boxes"), 32) is None


def test_the_loss_is_focal_per_cell_in_a_box_and_silent_where_nothing_is_known():
    """Lin et al. 2017: -(1 - p)^2 log(p) where a cell lies in a box, -p^2 log(1 - p) elsewhere."""
    inside = torch.zeros(2, 1, 8, 8)
    inside[:, :, :4, :4] = 1  # one cell of four
    cells = torch.tensor([[2.0, -1.0], [0.5, -3.0]]).expand(2, 1, 2, 2)
    p = 1 / (1 + np.exp(-cells[0, 0].numpy()))
    wanted = -((1 - p[0, 0]) ** 2) * np.log(p[0, 0])
    wanted += sum(-(q**2) * np.log(1 - q) for q in (p[0, 1], p[1, 0], p[1, 1]))
    both, one = torch.tensor([True, True]), torch.tensor([True, False])
    assert places.place_loss(cells, inside, both).item() == pytest.approx(wanted, rel=1e-5)
    other = torch.cat([cells[:1], 9 * cells[1:]])
    assert places.place_loss(other, inside, one).item() == pytest.approx(wanted, rel=1e-5)
    assert places.place_loss(cells, inside, ~both).item() == 0


@pytest.mark.parametrize("architecture", ["generic", "resnet18"])
def test_the_network_answers_as_without_the_convolution_beside_it(architecture):
    torch.manual_seed(0)
    network, images = build(architecture, 64), torch.rand(3, 1, 64, 64)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    both = places.WithPlaces(network, images)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    logits, cells = both.eval()(images)
    assert torch.equal(logits, network(images))
    assert cells.shape == (3, 1, 16, 16) if architecture == "generic" else (3, 1, 2, 2)
    assert not network.target_layer._forward_hooks


def test_boxes_are_moved_and_mirrored_with_their_image(tmp_path, monkeypatch):
    """Squares of the fixture are bright: after augmentation the box is still where it is bright."""
    frame, images = train.load_slices(make_cohort(tmp_path), PLAN)
    state, seen = trainer.Fit(frame, images, PLAN, QUICK, 0), []
    monkeypatch.setattr(state, "learn", lambda *given: seen.append(given) or np.zeros(4))
    rows = torch.as_tensor(np.flatnonzero(frame["label"] == 1))
    state.train_step(rows)
    pixels, labels, (inside, known) = seen[0]
    assert labels.all() and known.all() and inside.sum() > 40 * len(rows)
    assert pixels[inside == 1].mean() > pixels[inside == 0].mean() + 0.3
    assert not torch.equal(inside, state.inside[rows].float())


def test_boxes_teach_where_to_look_and_the_trained_network_is_the_plain_one(tmp_path):
    frame, images = train.load_slices(make_cohort(tmp_path, slices=120), PLAN)
    state = trainer.Fit(frame, images, PLAN, replace(QUICK, epochs=12), 0)
    while state.ended is None:
        state.run_epoch(tqdm(disable=True))
    assert type(state.network) is GenericCNN
    with torch.no_grad():
        cells = state.trained.eval()(images)[1]
    inside = torch.nn.functional.adaptive_avg_pool2d(state.inside.float(), 8)
    assert cells[inside > 0.9].mean() > cells[inside == 0].mean() + 2


def test_without_boxes_or_with_weight_0_nothing_is_added(tmp_path):
    frame, images = train.load_slices(make_cohort(tmp_path), PLAN)
    plain = trainer.Fit(frame, images, PLAN, replace(QUICK, boxes=0.0), 0)
    unboxed = trainer.Fit(frame.assign(boxes="[]"), images, PLAN, QUICK, 0)
    for state in (plain, unboxed):
        assert state.trained is state.network and state.inside is None
        state.run_epoch(tqdm(disable=True))
    weights = plain.network.state_dict()
    assert all(torch.equal(w, weights[n]) for n, w in unboxed.network.state_dict().items())
