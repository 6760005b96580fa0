"""The lungs: where they lie, and that they are drawn as aerated lung."""

import numpy as np
import pytest

from camreader.phantom import chest, scanner
from camreader.phantom.anatomy import new_patient


@pytest.fixture(scope="module", params=range(3))
def patient(request):
    return new_patient(np.random.default_rng(request.param))


def test_lungs_end_at_tip_and_diaphragm_and_keep_to_their_sides(patient):
    for side in (-1, 1):
        assert not len(chest.lung(patient, 1, side)) and not len(chest.lung(patient, 276, side))
        for z in (40, 120, 200):
            outline = chest.lung(patient, z, side)
            assert (outline[:, 0] * side > 0).all()
            assert np.abs(outline[:, 0]).max() < patient.half_width(z)


def test_a_lung_holds_air_with_vessels_in_it(patient):
    canvas = scanner.Canvas(1.0)
    chest.draw_lungs(canvas, patient, 120)
    inside = canvas.read()[canvas.mask([chest.lung(patient, 120, side) for side in (-1, 1)])]
    assert np.median(inside) == pytest.approx(patient.lung_hu, abs=5)
    assert 0.005 < (inside > -500).mean() < 0.25  # vessels, not an opaque lung


def test_every_vessel_of_a_lung_springs_from_its_hilum(patient):
    """By Murray's law the trunks at the hilum carry, radius cubed, all the lung's vessel ends."""
    for side in (-1, 1):
        tree = chest.lung_tree(patient, side)
        trunks = tree[(tree[:, :3] == (side * 30, 6, 108)).all(1)]
        assert (tree[:, 3] * side > 0).all()
        assert ((trunks[:, 6] / tree[:, 6].min()) ** 3).sum() == pytest.approx(len(tree))
