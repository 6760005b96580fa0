"""Shapes of a patient: rounded polygons, vessel trees after Murray's law, its own values."""

import numpy as np
import pytest

from camreader.phantom import anatomy


@pytest.fixture(scope="module")
def patient():
    return anatomy.new_patient(np.random.default_rng(3))


def area(points):
    """Area of a polygon (n, 2) by the shoelace formula."""
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def test_corner_cutting_keeps_seven_eighths_of_a_square():
    """Chaikin's first round cuts a triangle of 1/4 by 1/4 off each corner: 4 x 1/32 of the area."""
    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    once = anatomy.smooth(square, 1)
    assert once.shape == (8, 2) and area(once) == pytest.approx(16 * 7 / 8)
    assert anatomy.smooth(square, 2).shape == (16, 2)


def test_a_tree_reaches_every_target_and_obeys_murrays_law():
    """Radius cubed is conserved at a fork, but for the leaf that each node is itself."""
    rng = np.random.default_rng(1)
    targets, root = rng.uniform(-50, 50, (60, 3)), np.zeros(3)
    tree = anatomy.grow_tree(rng, targets, root, leaf_mm=0.5)
    assert {tuple(end) for end in tree[:, 3:6]} == {tuple(target) for target in targets}
    cubes = tree[:, 6] ** 3 / 0.5**3
    for start, end, cube in zip(tree[:, :3], tree[:, 3:6], cubes, strict=True):
        assert cube == pytest.approx(1 + cubes[(tree[:, :3] == end).all(1)].sum())
        assert tuple(start) in {tuple(root), *map(tuple, targets)}


def test_a_slab_holds_the_pieces_that_cross_it_and_no_others():
    tree = np.array([[0, 0, 0, 0, 0, 10, 1], [5, 5, 40, 5, 5, 50, 1.0]])
    ((ends, radius),) = anatomy.slab(tree, 5, 4)
    assert ends.tolist() == [[0, 0], [0, 0]] and radius == 1


def test_a_ball_is_met_between_its_poles_and_widest_in_the_middle(patient):
    cuts = [patient.ball("organ", (10, 20, 100), (30, 20, 40), z) for z in (59, 100, 130, 141)]
    assert [len(cut) for cut in cuts] == [0, 28, 28, 0]
    assert area(cuts[1]) > area(cuts[2])
    assert np.allclose(cuts[1].mean(0), (10, 20), atol=3)


def test_a_patient_is_the_same_patient_whenever_asked(patient):
    again = anatomy.Patient(**{**vars(patient), "kept": {}})
    for name in ("liver", "aorta"):
        assert again.number(name, 2, 5) == patient.number(name, 2, 5)
        assert 2 <= again.number(name, 2, 5) <= 5
    assert np.array_equal(again.wall(250), patient.wall(250))
    assert again.number("liver", 0, 1) != again.number("aorta", 0, 1)


def test_the_cavity_lies_inside_the_wall_and_the_skin_is_not_bent(patient):
    for z in (60, 200, 300, 500):
        wall, cavity = patient.wall(z), patient.cavity(z)
        assert area(cavity) < area(wall) < area(patient.wall(z, -10))
        reach = patient.half_width(z) + patient.fat_at(z)
        dx, dy = patient.bend(np.array([reach, 0.0]), np.array([0.0, 0.0]), z)
        assert dx[0] == dy[0] == 0 and np.hypot(dx[1], dy[1]) <= 2 * anatomy.BEND_MM * 14**0.5
