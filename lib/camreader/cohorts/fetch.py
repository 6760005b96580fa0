"""`camreader fetch`: images from a DICOMweb archive into a folder, without a word about a person.

Each image is cleaned in memory (see `deidentification`) before it is written; nothing else is. A
file appears whole or not at all, under the UID that stands for its own, so the same command goes on
where it stopped and nothing comes twice. With a list that has labels the folder is ready for 01.
"""

import argparse
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydicom.dataset import Dataset
from tqdm.auto import tqdm

from camreader.cohorts import pacs
from camreader.cohorts.deidentification import OPTIONS, Deidentifier
from camreader.common.errors import DataError, StudyError
from camreader.common.rows import read_rows
from camreader.common.storage import atomic_path, write_json, write_table

LEVELS = ("study", "series", "instance", "accession")
CARRIED = ("label", "region", "box", "frame", "split")  # columns that go on to labels.csv
SYNONYMS = {
    "study": ("studyinstanceuid", "study_uid", "study_instance_uid"),
    "series": ("seriesinstanceuid", "series_uid", "series_instance_uid"),
    "instance": ("sopinstanceuid", "sop_instance_uid", "instance_uid"),
    "accession": ("accessionnumber", "accession_number"),
    "label": ("class", "diagnosis"),
}
REPORT, KEY = "deidentification.json", ".key"
QUERIES = ("StudyDate", "ModalitiesInStudy", "PatientID", "StudyDescription", "AccessionNumber")
NOT_THERE = "not in the archive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("url", help="DICOMweb address, such as https://pacs/dicom-web")
    parser.add_argument("folder", help="where the images go; a run that was stopped goes on")
    parser.add_argument("--list", help="table with a column study or accession; label goes along")
    parser.add_argument(
        "--query",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help=f"studies by {', '.join(QUERIES)}",
    )
    parser.add_argument("--modality", help="only series of this modality")
    parser.add_argument(
        "--keep", nargs="+", default=[], choices=list(OPTIONS), help="kept when asked for"
    )


def run(options: argparse.Namespace) -> int:
    """Fetch; returns 1 where something that was asked for did not come."""
    report = fetch(
        options.url, options.folder, options.list, options.query, options.modality, options.keep
    )
    print(f"{report['files']:,} images in {options.folder}; {REPORT} says what was removed.")
    for words, count in {**report["withheld"], **report["warnings"]}.items():
        print(f"{count:,}: {words}")
    return int(bool(report["withheld"]))


def fetch(
    url: str,
    folder: str | Path,
    table: str | Path | None = None,
    query: Sequence[str] = (),
    modality: str | None = None,
    keep: Sequence[str] = (),
) -> dict[str, Any]:
    """Fetch what a list or a query names into `folder`; returns the report that is written there.

    StudyError where the server stays away (the same call goes on), DataError for a bad list.
    """
    folder = Path(folder)
    wanted = list(asked_for(table, query))
    folder.mkdir(parents=True, exist_ok=True)
    cleaner = Deidentifier(folder_key(folder), keep)
    client = pacs.client(url)
    places: list[tuple[dict, Dataset]] = []
    for row in wanted:
        found = list(_instances(client, row, modality, cleaner))
        cleaner.report.withheld[NOT_THERE] += not found
        places += [(row, one) for one in found]
    rows = []
    for row, one in tqdm(places, unit="image"):
        path = _bring(client, one, folder, cleaner)
        if path is not None:
            told = {"image": path, "patient": path.split("/")[0]}
            rows.append(told | {name: row[name] for name in CARRIED if row.get(name)})
    if any("label" in row for row in rows):
        write_table(pd.DataFrame(rows).fillna("").drop_duplicates(), folder / "labels.csv")
    report = finish(folder, cleaner)
    (folder / KEY).unlink(missing_ok=True)
    return report


def asked_for(table: str | Path | None, query: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What to look for: one dict per row of the list, or one for the query."""
    if (table is None) == (not query):
        raise DataError("Say what to fetch", expected="either --list or --query")
    if table is None:
        pairs = [text.split("=", 1) for text in query]
        for pair in pairs:
            if len(pair) != 2 or pair[0] not in QUERIES:
                raise DataError("Query not understood", expected=f"NAME=VALUE of {QUERIES}")
        yield {"query": dict(pairs)}
        return
    found = read_rows(table, (), Path(table).name, (*LEVELS, *CARRIED), SYNONYMS)
    for cell in found.cells():
        row = {name: cell.text(name) for name in (*LEVELS, *CARRIED) if cell.text(name)}
        if not row.get("study") and not row.get("accession"):
            cell.cells = {"study": ""} | dict(cell.cells)
            raise cell.wrong("study", "a StudyInstanceUID, or a number in the column accession")
        yield row


def folder_key(folder: Path) -> bytes:
    """The key of this folder's names: CAMREADER_KEY, else one that is thrown away at the end."""
    given = os.environ.get("CAMREADER_KEY")
    if given:
        return given.encode()
    path = folder / KEY
    if not path.exists():
        if any(folder.glob("P*/*.dcm")):
            raise StudyError(
                f"{folder} is a finished folder, and the key of its names is gone: fetch into"
                " another one, or set CAMREADER_KEY from the beginning to add to a folder later."
            )
        with atomic_path(path) as temporary:
            temporary.touch(0o600)
            temporary.write_text(secrets.token_hex(32))
    return path.read_text().encode()


def _instances(
    client: Any, row: dict, modality: str | None, cleaner: Deidentifier
) -> Iterator[Dataset]:
    """The archive's entries of the images that a row means; their identifiers are remembered."""
    filters = dict(row.get("query", {}))
    if row.get("study"):
        filters["StudyInstanceUID"] = row["study"]
    if row.get("accession"):
        filters["AccessionNumber"] = row["accession"]
    studies = pacs.patiently(
        lambda: client.search_for_studies(search_filters=filters, get_remaining=True), "Search"
    )
    for study in (Dataset.from_json(one) for one in studies):
        cleaner.note(study)
        told = {"Modality": modality} if modality else {}
        told |= {"SeriesInstanceUID": row["series"]} if row.get("series") else {}
        told |= {"SOPInstanceUID": row["instance"]} if row.get("instance") else {}
        found = pacs.patiently(
            lambda study=study, told=told: client.search_for_instances(  # type: ignore[misc]
                study.StudyInstanceUID, search_filters=told, get_remaining=True
            ),
            "Search",
        )
        for one in sorted((Dataset.from_json(o) for o in found), key=lambda d: d.SOPInstanceUID):
            one.StudyInstanceUID = study.StudyInstanceUID
            one.PatientID = study.get("PatientID", "")
            yield one


def _bring(client: Any, one: Dataset, folder: Path, cleaner: Deidentifier) -> str | None:
    """The path of one image in the folder, fetched and cleaned where it is not there yet."""
    name = f"{cleaner.patient(one)}/{cleaner.uid(one.SOPInstanceUID)}.dcm"
    if (folder / name).exists():
        return name
    data = pacs.patiently(
        lambda: client.retrieve_instance(
            one.StudyInstanceUID,
            one.SeriesInstanceUID,
            one.SOPInstanceUID,
            media_types=(("application/dicom", "*"),),
        ),
        "Retrieve",
    )
    if data.SOPInstanceUID != one.SOPInstanceUID:
        raise StudyError("The server sent another image than the one asked for")
    made = cleaner.clean(data)
    if made is None:
        return None
    with atomic_path(folder / name) as temporary:
        made.save_as(temporary, enforce_file_format=True)
    if cleaner.scan((folder / name).read_bytes(), name):
        (folder / name).unlink()
        cleaner.report.withheld["an identifier stands in the written file"] += 1
        return None
    return name


def finish(folder: Path, cleaner: Deidentifier) -> dict[str, Any]:
    """Scan everything that lies in the folder once more, and write the report.

    A file in which an identifier is found is removed, and counted.
    """
    files = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (KEY, REPORT)):
        if cleaner.scan(path.read_bytes(), path.relative_to(folder).as_posix()):
            path.unlink()
            cleaner.report.withheld["an identifier stands in the written file"] += 1
        files += path.suffix == ".dcm" and path.exists()
    said = cleaner.report
    report = {
        "profile": "PS3.15 Basic Application Level Confidentiality Profile, narrowed to a list of"
        " kept elements; Retain Longitudinal Temporal Information, Modified Dates",
        "kept_by_request": said.options,
        "files": files,
        "cleaned_in_this_run": said.images,
        "identifiers_looked_for": len(cleaner.seen),
        "identifiers_found_in_files": 0,
        "removed": dict(sorted(said.removed.items())),
        "replaced": dict(sorted(said.replaced.items())),
        "withheld": dict(+said.withheld),
        "warnings": dict(said.warnings),
    }
    write_json(report, folder / REPORT)
    return report
