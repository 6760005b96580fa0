"""The formats slices come in. Another one is a module with these five functions, and a line here.

A `Source` recognises a folder, reads its table and decodes one file; `cohort.load` and
`pixels.read_hu` know nothing else of formats. The first that recognises a folder reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.cohorts import dicom, images, series
from camreader.cohorts.folder import HEAD, Folder, Options, Owns
from camreader.common.errors import DataError


@dataclass(frozen=True)
class Source:
    """One format.

    recognise  whether a folder is of this format
    read       (frame with the cohort's columns before the splits, facts for the card) of it
    owns       whether a file is of this format, by its first bytes and name; None: by folder only
    decode     int16 values (H, W) of one file's bytes: HU, or greys where the offset is NaN
    own        True for a department's own files, which are copied under running numbers
    """

    name: str
    recognise: Callable[[Folder, Options], bool]
    read: Callable[[Folder, Options], tuple[pd.DataFrame, dict]]
    decode: Callable[[bytes, str | Path, float | None], np.ndarray]
    owns: Owns | None = None
    own: bool = True


SOURCES = (
    Source("DeepLesion", series.recognise, series.read, series.decode, own=False),
    Source("DICOM", dicom.recognise, dicom.read, dicom.decode, dicom.owns),
    Source("images", images.recognise, images.read, images.decode, images.owns),
)


def source_of(path: str | Path, options: Options) -> tuple[Source, Folder]:
    """The format of a folder, and the folder with the kind of each of its files told."""
    folder = Folder(path, {source.name: source.owns for source in SOURCES if source.owns})
    return next(source for source in SOURCES if source.recognise(folder, options)), folder


def decode(data: bytes, path: str | Path, offset: float | None) -> np.ndarray:
    """int16 values (H, W) of one slice's bytes, whatever its format.

    offset None: DeepLesion's 16-bit PNG or a format with a rescale of its own, such as DICOM. A
    number: HU = value + offset. NaN: greys. DataError for what is no slice.
    """
    kind = next((s for s in SOURCES if s.owns and s.owns(data[:HEAD], Path(path).name)), None)
    if kind is None:
        raise DataError("Not a slice", file=path, found=data[:8], expected="a 16-bit PNG or DICOM")
    if kind.name == "images" and offset is None:
        return series.decode(data, path, offset)
    return kind.decode(data, path, offset)
