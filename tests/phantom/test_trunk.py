"""The trunk's wall: nested layers, bones at their levels."""

import numpy as np
import pytest

from camreader.phantom import scanner, trunk
from camreader.phantom.anatomy import new_patient


@pytest.fixture(scope="module", params=range(3))
def patient(request):
    return new_patient(np.random.default_rng(request.param))


@pytest.mark.parametrize("z", [220, 350])
def test_air_fat_and_muscle_lie_one_inside_the_other(patient, z):
    canvas = scanner.Canvas(1.0)
    trunk.draw_skin(canvas, patient, z)
    fat = patient.fat_at(z)
    image = canvas.read()
    skin, wall = canvas.mask([patient.wall(z, -fat - 4)]), canvas.mask([patient.wall(z, 2)])
    assert np.median(image[wall]) == pytest.approx(patient.hu["fat"])
    if not patient.arms_down:
        assert (image[~skin] == scanner.AIR).all()
    trunk.draw_muscles(canvas, patient, z)
    ring = canvas.mask([patient.wall(z, 4)]) & ~canvas.mask([patient.wall(z, 8)])
    assert (canvas.read()[ring] > 0).mean() > 0.4  # muscle where there was fat


@pytest.mark.parametrize(("z", "draw"), [(120, trunk.draw_ribs), (500, trunk.draw_pelvic_wall)])
def test_ribs_and_hips_are_bone_on_both_sides(patient, z, draw):
    canvas = scanner.Canvas(1.0)
    draw(canvas, patient, z)
    bone = np.nonzero(canvas.read() > trunk.SPONGE + 100)[1]
    assert (bone < 236).sum() > 50 and (bone > 276).sum() > 50


def test_the_spine_lies_in_the_midline_behind_the_middle(patient):
    canvas = scanner.Canvas(1.0)
    trunk.draw_back(canvas, patient, 300)
    row, column = np.argwhere(canvas.read() > 200).mean(0)
    assert column == pytest.approx(255.5, abs=3) and row > 256 + 40
