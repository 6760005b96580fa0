"""The formats slices come in. Another one is a module with these five functions, and a line here.

A `Source` recognises a folder, reads its table and decodes one file; `cohort.load` and
`pixels.read_hu` know nothing else of formats. The first that recognises a folder reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.cohorts import dicom, images, parts, series, steps, volumes
from camreader.cohorts.folder import HEAD, Folder, Options, Owns, first_bytes
from camreader.common.errors import DataError


@dataclass(frozen=True)
class Source:
    """One format.

    recognise  whether a folder is of this format
    read       (frame with the cohort's columns before the splits, facts for the card) of it
    owns       whether a file is of this format, by its first bytes and name; None: by folder only
    decode     values (H, W) of one file's bytes, its path and the row's hu_offset, in their own
               unit: HU, or greys; None for the bytes where the path names a part of a file
    own        True for a department's own files, which are copied under running numbers
    """

    name: str
    recognise: Callable[[Folder, Options], bool]
    read: Callable[[Folder, Options], tuple[pd.DataFrame, dict]]
    decode: Callable[[Any, str | Path, float | None], np.ndarray]
    owns: Owns | None = None
    own: bool = True


SOURCES = (
    Source("DeepLesion", series.recognise, series.read, series.decode, own=False),
    Source("DICOM", dicom.recognise, dicom.read, dicom.decode, dicom.owns),
    Source("NIfTI", volumes.recognise, volumes.read, volumes.decode, volumes.owns),
    Source("images", images.recognise, images.read, images.decode, images.owns),
)


def source_of(path: str | Path, options: Options) -> tuple[Source, Folder]:
    """The format of a folder, and the folder with the kind of each of its files told."""
    folder = Folder(path, {source.name: source.owns for source in SOURCES if source.owns})
    return next(source for source in SOURCES if source.recognise(folder, options)), folder


def decode(
    data: bytes | None, path: str | Path, offset: float | None, step: float = 1.0
) -> np.ndarray:
    """int16 values (H, W) of one slice's bytes, whatever its format.

    data None: `path` names a part of a file (see `parts`), which its format opens itself. offset
    None: DeepLesion's 16-bit PNG or a format with a rescale of its own, such as DICOM. A number: HU
    = value + offset. NaN: greys. step: what one stored step is worth. DataError for what is no
    slice.
    """
    file = parts.file_of(path)
    head = first_bytes(file) if data is None else data[:HEAD]
    kind = next((s for s in SOURCES if s.owns and s.owns(head, file.name)), None)
    if kind is None:
        raise DataError("Not a slice", file=path, found=head[:8], expected="a 16-bit PNG or DICOM")
    if kind.name == "images" and offset is None and data is not None:
        return series.decode(data, path, offset)
    return steps.stored(kind.decode(data, path, offset), path, step)
