"""The README's pictures, taken from the last `make report`; from the phantom only.

Real slices may not be redistributed, so a report on real data makes no gallery.
"""

import argparse
from pathlib import Path

import cv2

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path
from camreader.common.study import Study

PICTURES = {  # picture in reports/gallery: figure of the report
    "examples": "figure3_examples",
    "overlays": "figure6_overlays",
    "realism": "01_realism",
    "localisation": "04_localisation",
    "claims": "05_claims",
    "planning": "08_planning",
}
WIDTH = 1200  # pixels; enough for a README, small enough for git


def write_gallery(study: Study, folder: str | Path) -> None:
    """Write each picture, at most WIDTH pixels wide, to `folder`; refuse real images."""
    if not study.card["synthetic"] or study.card.get("negatives") == "folder":  # of real ones too
        raise DataError(
            "Pictures for the README come from the phantom only; run `make report` without DATA",
            found=study.card["title"],
        )
    for name, figure in PICTURES.items():
        source = study.figures / f"{figure}.png"
        picture = cv2.imread(str(source))
        if picture is None:
            raise DataError("No such figure; `make report` draws it", file=source)
        scale = min(1.0, WIDTH / picture.shape[1])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        with atomic_path(Path(folder) / f"{name}.png") as temporary:
            cv2.imwrite(str(temporary), cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
            print(f"{folder}/{name}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data")
    parser.add_argument("--reports", default="reports")
    options = parser.parse_args()
    study = Study(options.data, "phantom", options.reports)
    try:
        write_gallery(study, Path(options.reports) / "gallery")
    except DataError as error:
        raise SystemExit(str(error)) from None
