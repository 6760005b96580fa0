"""What lies in a folder: one walk for every format, and what a person says about the folder.

Links to files and folders are followed, and a link that leads back into its own way is not.
Hidden files, and what file managers, NAS boxes and notebooks leave behind, are passed over.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from camreader.common.errors import DataError
from camreader.common.text import counted

JUNK = re.compile(
    r"__MACOSX|__pycache__|[@#](eaDir|Recycle|Recently.*|Syno.*|snapshot|sharebin)|RECYCLER"
    r"|\$RECYCLE\.BIN|System Volume Information|lost\+found|(eh)?thumbs\.db|desktop\.ini|~\$.*|.*~",
    re.IGNORECASE,
)
HEAD = 160  # bytes from which a file's kind is told; DICOM's mark ends at byte 132
MAX_FOLDERS = 100_000
# Endings of slices in formats that are not read: leaving such files out may leave patients out.
OTHER_IMAGES = (
    *(".nrrd", ".mha", ".mhd", ".npy", ".npz", ".heic", ".webp"),
    *(".gif", ".jp2", ".svs", ".h5", ".mat"),
)
# Only common endings are named: what follows a dot may be part of a patient's name.
NAMED = (
    *(
        *OTHER_IMAGES,
        ".nii",
        ".nii.gz",
        ".png",
        ".jpg",
        ".jpeg",
        ".bmp",
        ".tif",
        ".tiff",
        ".pgm",
        ".dcm",
        ".csv",
    ),
    *(".gz", ".json", ".md", ".pdf", ".txt", ".xlsx", ".zip", ".xml", ".py", ".ipynb"),
)

Owns = Callable[[bytes, str], bool]


@dataclass(frozen=True)
class Options:
    """What a person says about a folder; `cohort.load` describes each."""

    negatives: str = "auto"
    distance_mm: float = 10.0
    seed: int = 0
    limit: int = 0
    test_share: float = 0.2
    finding: str = "tumor"
    classes: Mapping[str, object] = field(default_factory=dict)
    patient_pattern: str = ""
    labels_file: str = "labels.csv"
    label_column: str = "label"
    allow_missing: float = 0.1
    skip_unreadable: bool = False
    structures: tuple = ()


class Folder:
    """One folder's files, as posix paths relative to it, in the order of their parts.

    `passed_over` counts by reason what was not looked at; `kinds` tells each file's format by its
    content, asking `owners` {format: function(first bytes, name)}.
    """

    def __init__(self, path: str | Path, owners: Mapping[str, Owns] | None = None) -> None:
        self.path, self.owners = Path(path), owners or {}
        self.passed_over: Counter[str] = Counter()
        self.labelled: Any = None  # its rows, once `labelled.read` has read them

    @cached_property
    def files(self) -> list[str]:
        """Every regular file below the folder."""
        found: list[str] = []
        waiting, folders = [("", os.fspath(self.path))], 0
        while waiting:
            way, place = waiting.pop()
            folders += 1
            if folders > MAX_FOLDERS:
                raise DataError("Too many folders, perhaps links in a circle", file=self.path)
            for entry in _inside(place):
                if entry.is_dir():
                    if self._enters(place, entry.name):
                        waiting.append((f"{way}{entry.name}/", entry.path))
                elif self._is_file(entry):
                    found.append(way + entry.name)
        return sorted((name for name in found if self._named(name)), key=lambda n: n.split("/"))

    def _enters(self, place: str, part: str) -> bool:
        if part.startswith(".") or JUNK.fullmatch(part):
            self.passed_over["hidden or system folder"] += 1
            return False
        path = os.path.join(place, part)
        if os.path.islink(path) and self._leads_back(path, place):
            self.passed_over["link that leads back to a folder it lies in"] += 1
            return False
        return True

    def _leads_back(self, link: str, place: str) -> bool:
        """True for a link to a folder that the way from the top to `place` goes through."""
        target, way = os.path.realpath(link), os.path.relpath(place, self.path).split(os.sep)
        through = [os.path.join(self.path, *way[:k]) for k in range(len(way) + 1)]
        real = [os.path.realpath(folder) for folder in through]
        return any(here == target or here.startswith(os.path.join(target, "")) for here in real)

    def _is_file(self, entry: os.DirEntry) -> bool:
        if entry.name.startswith(".") or JUNK.fullmatch(entry.name):
            self.passed_over["hidden or system file"] += 1
            return False
        if entry.is_file():
            return True
        self.passed_over["broken link" if entry.is_symlink() else "not a regular file"] += 1
        return False

    def _named(self, name: str) -> bool:
        """False for a name that is no UTF-8: no table could hold it."""
        try:
            name.encode()
        except UnicodeEncodeError:
            self.passed_over[NOT_UTF8] += 1
            return False
        return True

    @cached_property
    def kinds(self) -> dict[str, str]:
        """{file: name of the format that owns it} of the files that some format owns."""
        found = {}
        for name in self.files:
            head = first_bytes(self.path / name)
            kind = next((k for k, owns in self.owners.items() if owns(head, name)), None)
            if kind:
                found[name] = kind
        return found

    def summary(self, names: list[str] | None = None) -> str:
        """How many files of which kind: "3 .nii, 1 .csv, 2 DICOM files without ending"."""
        kinds = Counter(ending(name) for name in (self.files if names is None else names))
        return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())) or "no file"


NOT_UTF8 = "name that is not UTF-8"
# What is passed over for these reasons may be slices, and counts as left out.
MAY_BE_SLICES = (NOT_UTF8, "broken link")


def _inside(place: str) -> list[os.DirEntry]:
    """A folder's entries by name; the system tells their kind without a look at each file."""
    try:
        with os.scandir(place) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"Folder cannot be opened: {error.strerror}", file=place) from None


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file, from which its kind is told."""
    try:
        with open(path, "rb") as handle:
            return handle.read(HEAD)
    except OSError as error:
        raise DataError(f"File cannot be read: {error.strerror}", file=path) from None


def ending(name: str) -> str:
    """A file's ending where it is a common one, else "of another kind"."""
    lower = PurePosixPath(name).name.lower()
    return next((end for end in NAMED if lower.endswith(end)), "of another kind")


def check_left_out(left_out: Mapping[str, int], used: int, options: Options, path: Path) -> None:
    """DataError where more than the allowed share of the folder's images is left out."""
    missing = sum(left_out.values())
    if missing > options.allow_missing * (used + missing):
        words = "; ".join(f"{count:,}: {reason}" for reason, count in left_out.items())
        raise DataError(
            f"{missing:,} of {counted(used + missing, 'image')} would be left out",
            file=path,
            found=words,
            expected=f"at most {100 * options.allow_missing:g} %; put the folder in order, or say"
            f" that it may be so: ALLOW_MISSING: {missing / (used + missing) + 0.005:.2f}",
        )
