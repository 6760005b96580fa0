"""`camreader send`: DICOM files of results to a DICOMweb archive (STOW-RS).

Only files that say they hold no identity are sent. What the archive has already is not sent again;
the same command goes on where it stopped.
"""

import argparse
from pathlib import Path
from typing import Any

import pydicom
from tqdm.auto import tqdm

from camreader.cohorts import dicom, pacs
from camreader.cohorts.folder import Folder
from camreader.common.errors import DataError, StudyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("folder", help="folder of DICOM files, such as reports/dicom")
    parser.add_argument("url", help="DICOMweb address, such as https://pacs/dicom-web")


def run(options: argparse.Namespace) -> int:
    """Send a folder."""
    sent, there = send(options.folder, options.url)
    print(f"{sent:,} files sent, {there:,} were in the archive already.")
    return 0


def send(folder: str | Path, url: str) -> tuple[int, int]:
    """(files sent, files the archive had already) of the DICOM files below `folder`.

    DataError for a file that does not say that identity was removed; StudyError where the server
    stays away or refuses a file.
    """
    listed = Folder(folder, {"DICOM": dicom.owns})
    paths = [listed.path / name for name in listed.kinds]
    if not paths:
        raise DataError("No DICOM file to send", file=folder, found=listed.summary())
    heads = [_checked(path) for path in paths]
    client, sent = pacs.client(url), 0
    for path, head in tqdm(list(zip(paths, heads, strict=True)), unit="file"):
        if not _is_there(client, head):
            data = pydicom.dcmread(path)
            answer = pacs.patiently(lambda data=data: _store(client, data), "Store")  # type: ignore[misc]
            failed = answer.get("FailedSOPSequence")
            if failed or not _is_there(client, head):
                reason = failed[0].get("FailureReason") if failed else "it is not found afterwards"
                raise StudyError(f"The archive did not take {path.name} (reason: {reason})")
            sent += 1
    return sent, len(paths) - sent


def _store(client: Any, data: pydicom.Dataset) -> pydicom.Dataset:
    return client.store_instances([data])


def _checked(path: Path) -> pydicom.Dataset:
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True)
        said = str(data.get("PatientIdentityRemoved"))
        needed = data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID
    except Exception as error:  # the reader raises many kinds; their words may hold a name
        raise DataError("DICOM cannot be read", file=path, found=type(error).__name__) from None
    if said != "YES" or not all(needed):
        raise DataError(
            "A file that does not say that identity was removed is not sent",
            file=path,
            column="PatientIdentityRemoved",
            expected="YES, as in reports/dicom and in what camreader deidentify writes",
        )
    return data


def _is_there(client: Any, head: pydicom.Dataset) -> bool:
    """Whether the archive has an instance."""
    found = pacs.patiently(
        lambda: client.search_for_instances(search_filters={"SOPInstanceUID": head.SOPInstanceUID}),
        "Search",
    )
    return bool(found)
