"""Organs of the belly: the liver's density, where bowel and its gas lie, the table under it."""

import numpy as np
import pytest

from camreader.phantom import abdomen, scanner
from camreader.phantom.anatomy import new_patient


@pytest.fixture(scope="module", params=range(3))
def patient(request):
    return new_patient(np.random.default_rng(request.param))


def test_the_drawn_liver_has_the_livers_density(patient):
    canvas = scanner.Canvas(1.0)
    abdomen.draw_slice(canvas, patient, 270)
    inside = canvas.read()[canvas.mask(abdomen.liver(patient, 270))]
    assert np.median(inside) == pytest.approx(patient.hu["liver"], abs=1)


def test_bowel_stays_inside_the_wall_and_its_gas_floats(patient):
    for x, y, z, r in abdomen.gut(patient):
        assert abs(x) + r < patient.half_width(z) and abs(y) + r < patient.half_depth(z)
    canvas = scanner.Canvas(1.0)
    patient.kept["in air"] = np.array([0, 0.9, 0.5, 0.5])  # no turn, the kind with gas, half full
    abdomen.draw_hollow(canvas, patient, "air", (0, 0, 300), (40, 40, 40), 300, 3)
    gas = np.argwhere(np.isclose(canvas.read(), -930))
    fluid = np.argwhere(canvas.read() > 0)
    assert len(gas) and gas[:, 0].mean() < fluid[:, 0].mean()  # rows run to the back


def test_the_table_lies_below_what_it_carries():
    canvas = scanner.Canvas(1.0)
    abdomen.draw_table(canvas, 100, [(20, 150, 3, -200)])
    rows = np.nonzero(canvas.read() > -900)[0]
    assert rows.min() > 256 + 100 - 40 and rows.max() < 256 + 125
