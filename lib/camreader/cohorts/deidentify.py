"""`camreader deidentify`: a folder of DICOM into another one, without a word about a person.

The same cleaning, report and last scan as `camreader fetch`, for files that are at hand.
"""

import argparse
from pathlib import Path
from typing import Any

import pydicom
from tqdm.auto import tqdm

from camreader.cohorts import dicom, fetch
from camreader.cohorts.deidentification import OPTIONS, Deidentifier
from camreader.cohorts.folder import Folder
from camreader.common.errors import DataError
from camreader.common.storage import atomic_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", help="folder of DICOM files")
    parser.add_argument("folder", help="where the images go; a run that was stopped goes on")
    parser.add_argument(
        "--keep", nargs="+", default=[], choices=list(OPTIONS), help="kept when asked for"
    )


def run(options: argparse.Namespace) -> int:
    """Clean a folder; returns 1 where something was withheld."""
    report = deidentify(options.source, options.folder, tuple(options.keep))
    print(f"{report['files']:,} images in {options.folder}; {fetch.REPORT} says what was removed.")
    for words, count in {**report["withheld"], **report["warnings"]}.items():
        print(f"{count:,}: {words}")
    return int(bool(report["withheld"]))


def deidentify(
    source: str | Path, folder: str | Path, keep: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Cleaned copies of all DICOM images below `source` in `folder`; returns the report."""
    listed, target = Folder(source, {"DICOM": dicom.owns}), Path(folder)
    if Path(source).resolve() in (target.resolve(), *target.resolve().parents):
        raise DataError("The new folder lies inside the old one", file=target)
    target.mkdir(parents=True, exist_ok=True)
    cleaner = Deidentifier(fetch.folder_key(target), keep)
    for name in tqdm(list(listed.kinds), unit="image"):
        try:
            data = pydicom.dcmread(listed.path / name, force=True)
        except Exception as error:  # the reader raises many kinds; their words may hold a name
            cleaner.report.withheld[f"DICOM that cannot be read ({type(error).__name__})"] += 1
            continue
        made = cleaner.clean(data)
        if made is not None:
            with atomic_path(target / made.PatientID / f"{made.SOPInstanceUID}.dcm") as temporary:
                made.save_as(temporary, enforce_file_format=True)
    report = fetch.finish(target, cleaner)
    (target / fetch.KEY).unlink(missing_ok=True)
    return report
