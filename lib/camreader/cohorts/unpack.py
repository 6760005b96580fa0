"""Unpack a zip of slices into a folder: nothing outside it, nothing endless, nothing twice."""

import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from tqdm.auto import tqdm

from camreader.common.errors import DataError
from camreader.common.storage import write_json

MAX_SLICE = 32 << 20  # bytes; a DeepLesion slice has 0.2-1.5 MB
MAX_RATIO = 200  # uncompressed over compressed; a slice reaches 5, a blank image 100
MAX_FILES = 200_000
SPARE = 256 << 20  # bytes of disk that stay free
SLICE = re.compile(r"(?:[^/]+/)*(\d{6}_\d{2}_\d{2}/\d{3,4}\.png)")
TARGET = "Images_png"


class DamagedZip(DataError):
    """The zip did not survive its way: fetching it again is the cure."""


def need_space(folder, needed, what):
    """DataError where the disk of `folder` has no room for `needed` bytes and some spare."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise DataError(
            f"Disk too full for {what}",
            file=folder,
            found=f"{free / 2**30:.1f} GiB free",
            expected=f"{(needed + SPARE) / 2**30:.1f} GiB",
        )


def check_archive(archive, path):
    """{member: path below the target folder} after refusing what no slice archive has."""
    members = archive.infolist()
    packed = sum(member.compress_size for member in members)
    if len(members) > MAX_FILES or packed > os.path.getsize(path):
        raise DataError("Zip refused: more in it than fits in its size", file=path)
    targets = {}
    for member in members:
        _check_member(member, path)
        match = SLICE.fullmatch(member.filename)
        if match and not member.is_dir():
            targets[member] = match[1]
    if len(set(targets.values())) != len(targets):
        raise DataError("Zip refused: two members of one name", file=path)
    return targets


def _check_member(member, path):
    name = member.filename
    reasons = {
        "its path leaves the folder": ".." in name.split("/")
        or name.startswith(("/", "~"))
        or "\\" in name
        or ":" in name
        or "\0" in name,
        "it is a link": stat.S_ISLNK(member.external_attr >> 16),
        "it is encrypted": bool(member.flag_bits & 1),
        f"it is larger than {MAX_SLICE >> 20} MiB": member.file_size > MAX_SLICE,
        "it is a bomb": member.file_size > MAX_RATIO * max(member.compress_size, 1),
    }
    for reason, bad in reasons.items():
        if bad:
            raise DataError(f"Zip refused: {reason}", file=path, found=name[:200])


def unpack(path, folder, progress=True):
    """Unpack the slices of zip `path` into `folder`/Images_png; returns what came of it.

    "files": {path below Images_png: bytes}; "skipped": how many other members the zip has.

    Each slice appears whole, under its final name, after its checksum was verified; slices already
    there with the right size are kept, so a killed run goes on where it stopped. Other members
    are skipped. DataError for a damaged zip or one that tries more than that.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            targets = check_archive(archive, path)
            root = Path(folder) / TARGET
            todo = [(m, root / n) for m, n in targets.items() if not _there(root / n, m.file_size)]
            need_space(folder, sum(member.file_size for member, _ in todo), f"unpacking {path}")
            for parent in {target.parent for _, target in todo}:
                _own_folder(parent, root)
            for member, target in tqdm(todo, unit="slice", desc="unpack", disable=not progress):
                _extract(archive, member, target)
            skipped = len(archive.infolist()) - len(targets)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DamagedZip(f"Zip is damaged: {error}", file=path) from None
    except (OSError, NotImplementedError) as error:
        raise DataError(f"Zip cannot be unpacked: {error}", file=path) from None
    sizes = {name: member.file_size for member, name in targets.items()}
    return {"files": sizes, "skipped": skipped}


def _there(target, size):
    return target.is_file() and target.stat().st_size == size


def _own_folder(parent, root):
    """Make a series folder; a link in its place would lead writes out of the folder."""
    parent.mkdir(parents=True, exist_ok=True)
    if parent.is_symlink() or root.is_symlink():
        raise DataError("Zip refused: a link stands in the place of a folder", file=parent)


def _extract(archive, member, target):
    """Write one member beside its place, then rename; zipfile compares size and CRC-32."""
    temporary = target.with_name(f".{target.name}.part")
    with archive.open(member) as packed, open(temporary, "wb") as handle:
        shutil.copyfileobj(packed, handle, 1 << 20)
    os.replace(temporary, target)


def mark_done(mark, facts):
    """Remember a finished zip: its checksum and its slices, once these are on the disk."""
    os.sync()
    write_json(facts, mark)


def is_done(mark, folder):
    """True where a finished zip's slices are all still there, in their full size."""
    try:
        files = json.loads(Path(mark).read_text())["files"].items()
    except (FileNotFoundError, ValueError, KeyError, AttributeError):
        return False
    return all(_there(Path(folder) / TARGET / name, size) for name, size in files)
