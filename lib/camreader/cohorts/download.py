"""Fetch DeepLesion's official archives and unpack them.

A dropped connection or a killed run is taken up where it stopped; a zip that is done is neither
fetched nor unpacked again.
"""

import hashlib
import re
import time
from pathlib import Path

import requests
import urllib3
from tqdm.auto import tqdm

from camreader.cohorts.unpack import DamagedZip, is_done, mark_done, need_space, unpack
from camreader.common.errors import DataError

LIST = "data/published/deeplesion_zips.txt"
HOME = "https://nihcc.app.box.com/v/DeepLesion"
CHUNK = 1 << 20
PATIENCE = 8  # failures in a row, without one new byte, before giving up
TIMEOUT = (20, 60)  # seconds to connect, and without a byte


def read_list(path):
    """(list of zip URLs in their official order, URL of the MD5 file or None)."""
    try:
        lines = Path(path).read_text().split()
    except OSError as error:
        raise DataError(f"List of zips cannot be read: {error}", file=path) from None
    for row, line in enumerate(lines, start=1):
        if not re.match(r"https?://", line):
            raise DataError("Not a URL", file=path, row=row, found=line[:100])
    sums = [line for line in lines if line.endswith(".txt")]
    return [line for line in lines if line.endswith(".zip")], sums[0] if sums else None


def parse_numbers(text, count):
    """[1, 2, 5] from "1-2,5"; numbers of the official zips, 1 to `count`."""
    numbers = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        if match is None:
            raise DataError("Bad --zips", found=text, expected=f"1-3 or 1,4, up to {count}")
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not numbers or min(numbers) < 1 or max(numbers) > count:
        raise DataError("Bad --zips", found=text, expected=f"numbers 1 to {count}")
    return sorted(numbers)


def parse_checksums(text):
    """{zip number: md5} from lines such as "<md5>  Images_png_01.zip"."""
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([0-9a-fA-F]{32})\s+\*?(?:.*?)(\d+)\.zip\s*", line)
        if match:
            sums[int(match[2])] = match[1].lower()
    return sums


def fetch(url, target, pause=1.0, progress=True):
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


def _tag(target):
    return target.with_name(target.name + ".tag")


def _attempt(url, target, part, progress):
    """One request; True when the file is complete. Appends to `part` or starts it anew."""
    have, tag = (part.stat().st_size if part.exists() else 0), _tag(target)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"}
    if have and tag.exists():
        headers |= {"If-Range": tag.read_text()}
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


def _continues(reply, have):
    """True where the reply goes on exactly after our last byte."""
    text = reply.headers.get("Content-Range", "")
    return reply.status_code == 206 and text.startswith(f"bytes {have}-")


def _receive(reply, part, start, total, name, progress):
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


def md5_of(path):
    """MD5 of a file in hex; the data set publishes no stronger sum."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as handle:
        while block := handle.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def get_zip(number, url, folder, checksum=None, keep=False, progress=True, pause=1.0):
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


def get(zips, folder, urls=LIST, keep=False, progress=True, pause=1.0):
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


def add_arguments(parser):
    """Arguments of `camreader download`."""
    parser.add_argument("--zips", default="1", help="numbers of the zips, such as 1-3 or 1,7")
    parser.add_argument("--dest", required=True, help="folder that receives Images_png/")
    parser.add_argument("--list", default=LIST, help="file with the zips' URLs, one a line")
    parser.add_argument("--keep", action="store_true", help="keep the zips after unpacking")


def run(options):
    """Fetch and unpack; a run that was stopped goes on from where it was."""
    get(options.zips, options.dest, options.list, options.keep)
