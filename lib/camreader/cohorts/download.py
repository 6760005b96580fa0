"""Fetch DeepLesion's official archives and unpack them: nothing outside the folder, nothing twice.

A dropped connection or a killed run is taken up where it stopped; a zip that is done is neither
fetched nor unpacked again.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import requests
import urllib3
from tqdm.auto import tqdm

from camreader.common.errors import DataError
from camreader.common.storage import write_json

LIST = "data/published/deeplesion_zips.txt"
HOME = "https://nihcc.app.box.com/v/DeepLesion"
CHUNK = 1 << 20
PATIENCE = 8  # failures in a row, without one new byte, before giving up
TIMEOUT = (20, 60)  # seconds to connect, and without a byte
MAX_SLICE = 32 << 20  # bytes; a DeepLesion slice has 0.2-1.5 MB
MAX_RATIO = 200  # uncompressed over compressed; a slice reaches 5, a blank image 100
MAX_FILES = 200_000
SPARE = 256 << 20  # bytes of disk that stay free
SLICE = re.compile(r"(?:[^/]+/)*(\d{6}_\d{2}_\d{2}/\d{3,4}\.png)")
TARGET = "Images_png"


def read_list(path: str | Path) -> tuple[list[str], str | None]:
    """(list of zip URLs in their official order, URL of the MD5 file or None)."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split()
    except OSError as error:
        raise DataError(f"List of zips cannot be read: {error}", file=path) from None
    for row, line in enumerate(lines, start=1):
        if not re.match(r"https?://", line):
            raise DataError("Not a URL", file=path, row=row, found=line[:100])
    sums = [line for line in lines if line.endswith(".txt")]
    return [line for line in lines if line.endswith(".zip")], sums[0] if sums else None


def parse_numbers(text: str, count: int) -> list[int]:
    """[1, 2, 5] from "1-2,5"; numbers of the official zips, 1 to `count`."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        if match is None:
            raise DataError("Bad --zips", found=text, expected=f"1-3 or 1,4, up to {count}")
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not numbers or min(numbers) < 1 or max(numbers) > count:
        raise DataError("Bad --zips", found=text, expected=f"numbers 1 to {count}")
    return sorted(numbers)


def parse_checksums(text: str) -> dict[int, str]:
    """{zip number: md5} from lines such as "<md5>  Images_png_01.zip"."""
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([0-9a-fA-F]{32})\s+\*?(?:.*?)(\d+)\.zip\s*", line)
        if match:
            sums[int(match[2])] = match[1].lower()
    return sums


def fetch(url: str, target: str | Path, pause: float = 1.0, progress: bool = True) -> Path:
    """Download `url` to `target`, going on after dropped connections; returns `target`.

    The bytes so far are in `<target>.part`, the server's mark of the file in `<target>.tag`: a
    file that changed meanwhile is fetched from its start. DataError when nothing comes any more.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part, failures, error = target.with_name(target.name + ".part"), 0, None
    while failures < PATIENCE:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _attempt(url, target, part, progress):
                part.replace(target)
                _tag(target).unlink(missing_ok=True)
                return target
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as dropped:
            error = dropped
        came = (part.stat().st_size if part.exists() else 0) > before
        failures = 0 if came else failures + 1
        time.sleep(pause * min(2**failures, 30))
    raise DataError(f"Download failed {PATIENCE} times in a row: {error}", file=url)


def _tag(target: Path) -> Path:
    return target.with_name(target.name + ".tag")


def _attempt(url: str, target: Path, part: Path, progress: bool) -> bool:
    """One request; True when the file is complete. Appends to `part` or starts it anew."""
    have, tag = (part.stat().st_size if part.exists() else 0), _tag(target)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"}
    if have and tag.exists():
        headers |= {"If-Range": tag.read_text(encoding="utf-8")}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as reply:
        if reply.status_code == 416:  # nothing comes after our last byte
            whole = reply.headers.get("Content-Range") == f"bytes */{have}"
            if not whole:
                part.unlink(missing_ok=True)
            return whole
        if 400 <= reply.status_code < 500 and reply.status_code not in (408, 429):
            raise DataError("The server refuses", file=url, found=f"HTTP {reply.status_code}")
        reply.raise_for_status()
        start = have if _continues(reply, have) else 0
        mark = reply.headers.get("ETag") or reply.headers.get("Last-Modified") or ""
        if mark and not mark.startswith("W/"):  # a weak mark cannot vouch for bytes
            tag.write_text(mark)
        else:
            tag.unlink(missing_ok=True)
        length = reply.headers.get("Content-Length")
        total = start + int(length) if length else None
        need_space(part.parent, (total or start) - start, target.name)
        return _receive(reply, part, start, total, target.name, progress)


def _continues(reply: requests.Response, have: int) -> bool:
    """True where the reply goes on exactly after our last byte."""
    text = reply.headers.get("Content-Range", "")
    return reply.status_code == 206 and text.startswith(f"bytes {have}-")


def _receive(
    reply: requests.Response, part: Path, start: int, total: int | None, name: str, progress: bool
) -> bool:
    """Write the reply's body behind `start` bytes of `part`; True when all of it came."""
    shown = {"unit": "B", "unit_scale": True, "desc": name, "disable": not progress}
    with (
        tqdm(total=total, initial=start, **shown) as bar,
        open(part, "r+b" if start else "wb") as handle,
    ):
        handle.seek(start)
        handle.truncate()
        while block := reply.raw.read1(CHUNK):  # what came is written before the next may fail
            handle.write(block)
            handle.flush()
            bar.update(len(block))
        return total is None or handle.tell() == total


def md5_of(path: str | Path) -> str:
    """MD5 of a file in hex; the data set publishes no stronger sum."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as handle:
        while block := handle.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


class DamagedZip(DataError):
    """The zip did not survive its way: fetching it again is the cure."""


def need_space(folder: str | Path, needed: int, what: str) -> None:
    """DataError where the disk of `folder` has no room for `needed` bytes and some spare."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise DataError(
            f"Disk too full for {what}",
            file=folder,
            found=f"{free / 2**30:.1f} GiB free",
            expected=f"{(needed + SPARE) / 2**30:.1f} GiB",
        )


def check_archive(archive: zipfile.ZipFile, path: str | Path) -> dict[zipfile.ZipInfo, str]:
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


def _check_member(member: zipfile.ZipInfo, path: str | Path) -> None:
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


def unpack(path: str | Path, folder: str | Path, progress: bool = True) -> dict:
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


def _there(target: Path, size: int) -> bool:
    return target.is_file() and target.stat().st_size == size


def _own_folder(parent: Path, root: Path) -> None:
    """Make a series folder; a link in its place would lead writes out of the folder."""
    parent.mkdir(parents=True, exist_ok=True)
    if parent.is_symlink() or root.is_symlink():
        raise DataError("Zip refused: a link stands in the place of a folder", file=parent)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member beside its place, then rename; zipfile compares size and CRC-32."""
    temporary = target.with_name(f".{target.name}.part")
    with archive.open(member) as packed, open(temporary, "wb") as handle:
        shutil.copyfileobj(packed, handle, 1 << 20)
    os.replace(temporary, target)


def mark_done(mark: str | Path, facts: Mapping) -> None:
    """Remember a finished zip: its checksum and its slices, once these are on the disk."""
    os.sync()
    write_json(facts, mark)


def is_done(mark: str | Path, folder: str | Path) -> bool:
    """True where a finished zip's slices are all still there, in their full size."""
    try:
        files = json.loads(Path(mark).read_text(encoding="utf-8"))["files"].items()
    except (FileNotFoundError, ValueError, KeyError, AttributeError):
        return False
    return all(_there(Path(folder) / TARGET / name, size) for name, size in files)


def get_zip(
    number: int,
    url: str,
    folder: str | Path,
    checksum: str | None = None,
    keep: bool = False,
    progress: bool = True,
    pause: float = 1.0,
) -> str:
    """Fetch, verify and unpack one zip; returns what was done in words."""
    parts = Path(folder) / "downloads"
    target, mark = (parts / f"Images_png_{number:02d}.{end}" for end in ("zip", "done"))
    if is_done(mark, folder):
        return "already there"
    if not target.exists():
        fetch(url, target, pause, progress)
    found = md5_of(target) if checksum else None
    if found != checksum:
        target.unlink()
        raise DataError(
            "Zip is not what was published; it was removed, run again to fetch it anew",
            file=target,
            found=f"MD5 {found}",
            expected=f"MD5 {checksum}",
        )
    try:
        result = unpack(target, folder, progress)
    except DamagedZip:
        target.unlink()
        raise
    if not result["files"]:
        raise DataError("No slice in the zip", file=target, expected="<series>/<slice>.png")
    mark_done(mark, {"url": url, "md5": found, **result})
    if not keep:
        target.unlink()
    checked = "MD5 verified" if checksum else "MD5 not verified"
    return f"{len(result['files']):,} slices, {checked}"


def get(
    zips: str,
    folder: str | Path,
    urls: str | Path = LIST,
    keep: bool = False,
    progress: bool = True,
    pause: float = 1.0,
) -> None:
    """Fetch the zips "1-3" into `folder`, one after the other, printing what was done."""
    links, sums_url = read_list(urls)
    numbers = parse_numbers(zips, len(links))
    parts = Path(folder) / "downloads"
    parts.mkdir(parents=True, exist_ok=True)
    sums = {}
    if sums_url:
        path = parts / "MD5_checksums.txt"
        text = (path if path.exists() else fetch(sums_url, path, pause, False)).read_text("latin-1")
        sums = parse_checksums(text)
        if not sums:
            path.unlink()  # a page in its place, perhaps; asked for again next time
    unknown = [str(number) for number in numbers if number not in sums]
    if unknown:
        print(f"No MD5 is published for zip {', '.join(unknown)}: only its own CRC-32 is checked")
    for number in numbers:
        url = links[number - 1]
        done = get_zip(number, url, folder, sums.get(number), keep, progress, pause)
        print(f"zip {number}: {done}")
    if not (Path(folder) / "DL_info.csv").exists():
        print(f"DL_info.csv is not in the zips: put it from {HOME} into {folder}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `camreader download`."""
    parser.add_argument("--zips", default="1", help="numbers of the zips, such as 1-3 or 1,7")
    parser.add_argument("--dest", required=True, help="folder that receives Images_png/")
    parser.add_argument("--list", default=LIST, help="file with the zips' URLs, one a line")
    parser.add_argument("--keep", action="store_true", help="keep the zips after unpacking")


def run(options: argparse.Namespace) -> None:
    """Fetch and unpack; a run that was stopped goes on from where it was."""
    get(options.zips, options.dest, options.list, options.keep)
