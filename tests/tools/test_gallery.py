"""The README's pictures: from the phantom only, and small enough for git."""

import cv2
import gallery
import numpy as np
import pytest

from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.report import catalogue


@pytest.fixture
def study(tmp_path):
    study = Study(str(tmp_path / "data"), "phantom", str(tmp_path / "reports"))
    study.figures.mkdir(parents=True)
    for number, figure in enumerate(gallery.PICTURES.values()):
        picture = np.full((300, 2400 if number else 600, 3), 200, np.uint8)
        cv2.imwrite(str(study.figures / f"{figure}.png"), picture)
    return study


def test_each_picture_is_written_at_most_so_wide(study, tmp_path):
    study.save_card({"synthetic": True, "title": "phantom", "source": str(tmp_path)})
    gallery.write_gallery(study, tmp_path / "gallery")
    sizes = {p.stem: cv2.imread(str(p)).shape for p in (tmp_path / "gallery").glob("*.png")}
    assert set(sizes) == set(gallery.PICTURES)
    first = next(iter(gallery.PICTURES))
    assert sizes.pop(first) == (300, 600, 3)
    assert set(sizes.values()) == {(150, gallery.WIDTH, 3)}


def test_real_images_make_no_gallery(study, tmp_path):
    study.save_card({"synthetic": False, "title": "DeepLesion", "source": str(tmp_path)})
    with pytest.raises(DataError, match=r"phantom only.*DeepLesion"):
        gallery.write_gallery(study, tmp_path / "gallery")
    assert not (tmp_path / "gallery").exists()


def test_a_missing_figure_is_named(study, tmp_path):
    study.save_card({"synthetic": True, "title": "phantom", "source": str(tmp_path)})
    (study.figures / "08_planning.png").unlink()
    with pytest.raises(DataError, match="08_planning"):
        gallery.write_gallery(study, tmp_path / "gallery")


def test_every_picture_is_a_figure_of_the_report():
    figures = {name for part in catalogue.PARTS.values() for name in part.figures}
    assert set(gallery.PICTURES.values()) <= figures
