"""An asymmetric volume, stored along whichever axes, written by nibabel."""

import itertools

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

SHAPE = (10, 12, 14)
CODES = [
    "".join(code)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for code in itertools.product(*order)
]


def known(kind=np.int16):
    """An asymmetric volume in RAS: a mark for the right, one for the front, one for the head."""
    values = np.random.default_rng(0).integers(0, 100, SHAPE).astype(kind)
    values[8:, 5:7, 6:8] = 1000  # R: high x
    values[4:6, 10:, 6:8] = 2000  # A: high y
    values[4:6, 5:7, 12:] = 3000  # S: high z
    return values


def write(path, code="RAS", values=None, scale=(1, 1, 1), slope=None, **changes):
    """The same volume in space, stored along other axes."""
    values = known() if values is None else values
    affine = np.diag([*scale, 1.0])
    affine[:3, 3] = (-5, -6, -7)
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(code))
    stored = nibabel.orientations.apply_orientation(values, turn)
    image = nibabel.Nifti1Image(stored, affine @ inv_ornt_aff(turn, values.shape))
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 1)
    if slope:
        image.header.set_slope_inter(*slope)
    for name, value in changes.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path
