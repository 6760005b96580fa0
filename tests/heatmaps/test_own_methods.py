"""A method of one's own: a function in a file, with rows in every table, or refused in words."""

import numpy as np
import pytest
from small_networks import Small, images_of

from camreader.common.errors import DataError
from camreader.heatmaps import gradcam, methods, own_methods

CODE = '''
import torch

def my_cam(model, images, classes):
    """Brightness. Further words."""
    return images.mean(1)[:, ::2, ::2] - 0.5

def slope(model, images, classes):
    images = images.clone().requires_grad_()
    score = model(images)
    return torch.autograd.grad(score.sum(), images)[0][:, 0]

def too_few(model, images, classes):
    return images[:1, 0]

def flat(model, images, classes):
    return images.mean((1, 2, 3))

def broken(model, images, classes):
    return images.no_such_thing
'''


@pytest.fixture
def code(tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    (tmp_path / "my_cam.py").write_text(CODE)
    return str(tmp_path / "my_cam.py")


def test_it_is_a_method_like_any_other(code):
    assert own_methods.add(f"{code}:my_cam, {code}:slope") == ["my_cam", "slope"]
    assert list(methods.METHODS)[-4:] == ["my_cam", "slope", "random", "centre"]
    model, images = Small(0).eval(), images_of(0)
    maps = methods.compute("my_cam", model, images, 1)
    small = images[:, 0, ::2, ::2] - 0.5
    expected = gradcam.scale(small, (16, 16), small[:, 0, 0] < -9)[0]
    np.testing.assert_allclose(maps, expected, atol=1e-6)
    assert methods.title("my_cam") == "Brightness. Further words" and methods.title("slope")
    table = methods.overview(model, images).set_index("method")
    assert table.loc["my_cam", "applies"] == "yes" and not methods.METHODS["my_cam"].own_job
    assert methods.compute("slope", model, images, 1).max() == 1
    own_methods.add(f"{code}:my_cam")  # a cell that is run again
    assert methods.compute("my_cam", model, images[:0], 1).shape == (0, 16, 16)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("too_few", r"gives no map for each image.*\(1, 16, 16\)"),
        ("flat", "gives no map for each image"),
        ("broken", "fails: AttributeError"),
        ("absent", "No such function"),
    ],
)
def test_what_it_gives_is_checked(code, name, words):
    with pytest.raises(DataError, match=words):
        own_methods.add(f"{code}:{name}")
        methods.compute(name, Small(0).eval(), images_of(0), 1)


def test_it_may_not_take_the_name_of_another(code, tmp_path):
    (tmp_path / "other.py").write_text("def gradcam(model, images, classes): pass")
    with pytest.raises(DataError, match="a method of this name exists"):
        own_methods.add(f"{tmp_path}/other.py:gradcam")
    assert own_methods.add("") == []
