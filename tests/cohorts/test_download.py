"""Fetching and unpacking against a server that drops connections, and against killed runs."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from places import ROOT
from server import serve

from camreader.__main__ import main
from camreader.cohorts import download
from camreader.common.errors import DataError

RANDOM = np.random.default_rng(0).bytes(600_000)


def slices_zip(count=20, size=3000, seed=0, extra=()):
    """Bytes of a zip of `count` files named as DeepLesion's slices, and {name: content}."""
    rng = np.random.default_rng(seed)
    names = [f"Images_png/{seed + 1:06d}_01_01/{i:03d}.png" for i in range(count)]
    files = {name: rng.bytes(size) for name in names}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*files.items(), *extra]:
            archive.writestr(name, content)
    return stream.getvalue(), files


def listing(folder, base, zips, sums=None):
    """Write a list of zips; returns its path."""
    lines = [f"{base}/{i}.zip" for i in range(1, len(zips) + 1)]
    if sums is not None:
        lines.append(f"{base}/md5.txt")
    path = folder / "list.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_official_list_has_56_zips_and_a_checksum_file():
    links, sums = download.read_list(ROOT / download.LIST)
    assert len(links) == len(set(links)) == 56 and sums.endswith(".txt")


@pytest.mark.parametrize("drops", [0, 1, 5])
def test_dropped_connections_are_taken_up(tmp_path, drops):
    with serve({"/a.zip": RANDOM}, drops) as (base, server):
        target = download.fetch(f"{base}/a.zip", tmp_path / "a.zip", pause=0, progress=False)
    assert target.read_bytes() == RANDOM
    assert len(server.requests) == drops + 1
    assert all(span for _, span in server.requests[1:])  # each went on, none began anew
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_a_server_without_ranges_still_delivers(tmp_path):
    with serve({"/a": RANDOM}, 2, ranges=False) as (base, _):
        assert download.fetch(f"{base}/a", tmp_path / "a", 0, False).read_bytes() == RANDOM


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(tmp_path):
    (tmp_path / "a.part").write_bytes(b"old" * 1000)
    (tmp_path / "a.tag").write_text('"old"')
    with serve({"/a": RANDOM}) as (base, _):
        assert download.fetch(f"{base}/a", tmp_path / "a", 0, False).read_bytes() == RANDOM


def test_a_part_that_is_whole_is_not_fetched_again(tmp_path):
    (tmp_path / "a.part").write_bytes(RANDOM)
    with serve({"/a": RANDOM}) as (base, server):
        assert download.fetch(f"{base}/a", tmp_path / "a", 0, False).read_bytes() == RANDOM
    assert server.requests == [("/a", f"bytes={len(RANDOM)}-")]


def test_an_endless_failure_ends_in_words(tmp_path):
    with serve({"/a": b"xy"}, drops=10**6) as (base, _), pytest.raises(DataError, match="404"):
        download.fetch(f"{base}/absent", tmp_path / "a", 0, False)
    with pytest.raises(DataError, match="8 times in a row"):
        download.fetch("http://127.0.0.1:9/a", tmp_path / "a", 0, False)


def test_zips_are_verified_unpacked_and_not_repeated(tmp_path, capsys):
    (one, files), (two, more) = slices_zip(seed=0), slices_zip(seed=1)
    sums = "".join(
        f"{hashlib.md5(body).hexdigest()}  Images_png_{i:02d}.zip\n"
        for i, body in enumerate((one, two), start=1)
    )
    served = {"/1.zip": one, "/2.zip": two, "/md5.txt": sums.encode()}
    with serve(served, drops=3) as (base, server):
        urls = listing(tmp_path, base, (one, two), sums)
        download.get("1-2", tmp_path / "d", urls, progress=False, pause=0)
        before = len(server.requests)
        download.get("1-2", tmp_path / "d", urls, progress=False, pause=0)
        assert len(server.requests) == before
        cut = tmp_path / "d" / next(iter(files))
        cut.write_bytes(cut.read_bytes()[:-1])
        said = capsys.readouterr().out
        download.get("1-2", tmp_path / "d", urls, progress=False, pause=0)
        assert "zip 1: 20 slices, MD5 verified\nzip 2: already there" in capsys.readouterr().out
    for name, content in {**files, **more}.items():
        assert (tmp_path / "d" / name).read_bytes() == content
    assert said.count("20 slices, MD5 verified") == 2 and said.count("already there") == 2
    assert "DL_info.csv is not in the zips" in said
    assert not list((tmp_path / "d" / "downloads").glob("*.zip"))


@pytest.mark.parametrize("sums", [None, "<html>sign in</html>"])
def test_a_zip_without_a_published_md5_is_said_to_be_so(tmp_path, capsys, sums):
    body, _ = slices_zip()
    with serve({"/1.zip": body, "/md5.txt": (sums or "").encode()}) as (base, _):
        urls = listing(tmp_path, base, (body,), sums)
        download.get("1", tmp_path, urls, progress=False, pause=0)
    said = capsys.readouterr().out
    assert "No MD5 is published for zip 1: only" in said
    assert "zip 1: 20 slices, MD5 not verified" in said
    assert not list(tmp_path.rglob("MD5_checksums.txt"))  # asked for again next time


def test_a_zip_that_is_not_what_was_published_is_removed(tmp_path):
    body, _ = slices_zip()
    with serve({"/1.zip": body, "/md5.txt": b"0" * 32 + b"  Images_png_01.zip\n"}) as (base, _):
        urls = listing(tmp_path, base, (body,), True)
        with pytest.raises(DataError, match="not what was published"):
            download.get("1", tmp_path, urls, progress=False, pause=0)
    assert not list(tmp_path.rglob("*.zip")) and not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("damage", ["html", "cut", "flipped"])
def test_a_damaged_zip_without_checksum_is_removed(tmp_path, damage):
    body, _ = slices_zip()
    body = {
        "html": b"<html>sign in</html>",
        "cut": body[: len(body) // 2],
        "flipped": body[:2000] + bytes(20) + body[2020:],
    }[damage]
    with serve({"/1.zip": body}) as (base, _):
        urls = listing(tmp_path, base, (body,))
        with pytest.raises(DataError, match="damaged"):
            download.get("1", tmp_path, urls, progress=False, pause=0)
    assert not list(tmp_path.rglob("*.zip"))


@pytest.mark.parametrize("text", ["", "0", "57", "a", "3-1", "1-", "1;2", "-1"])
def test_bad_numbers_are_refused(text):
    with pytest.raises(DataError, match="Bad --zips"):
        download.parse_numbers(text, 56)


def test_numbers_and_lists():
    assert download.parse_numbers("1-3,7", 56) == [1, 2, 3, 7]
    assert download.parse_checksums("0" * 31 + "A *x/Images_png_07.zip\nnonsense") == {
        7: "0" * 31 + "a"
    }


def test_a_full_disk_is_said_before_it_happens(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 1 << 20})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    with serve({"/a": RANDOM}) as (base, _), pytest.raises(DataError, match="Disk too full"):
        download.fetch(f"{base}/a", tmp_path / "a", 0, False)


@pytest.mark.parametrize(
    "name",
    [
        "../000001_01_01/001.png",
        "Images_png/../../000001_01_01/001.png",
        "/000001_01_01/001.png",
        "C:\\000001_01_01\\001.png",
        "a\\..\\b.png",
    ],
)
def test_no_member_leaves_the_folder(tmp_path, name):
    body, _ = slices_zip(2, extra=[(name, b"x")])
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(DataError, match="its path leaves"):
        download.unpack(tmp_path / "a.zip", tmp_path / "out", progress=False)
    assert not list(tmp_path.rglob("*.png"))


def test_links_bombs_and_doubles_are_refused(tmp_path):
    link = zipfile.ZipInfo("Images_png/000009_01_01/001.png")
    link.external_attr = 0o120777 << 16
    cases = {
        "it is a link": [(link, "/etc")],
        "it is a bomb": [("Images_png/000009_01_01/001.png", bytes(20 << 20))],
        "larger than": [("Images_png/000009_01_01/001.png", bytes(33 << 20))],
        "two members": [("Images_png/000001_01_01/000.png", b"again")],
    }
    for words, extra in cases.items():
        (tmp_path / "a.zip").write_bytes(slices_zip(2, extra=extra)[0])
        with pytest.raises(DataError, match=words):
            download.unpack(tmp_path / "a.zip", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_planted_link_does_not_lead_out(tmp_path):
    (tmp_path / "a.zip").write_bytes(slices_zip(2)[0])
    (tmp_path / "out" / "Images_png").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "Images_png" / "000001_01_01").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="link"):
        download.unpack(tmp_path / "a.zip", tmp_path / "out", progress=False)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_other_members_are_skipped(tmp_path):
    body, _ = slices_zip(3, extra=[("__MACOSX/x.txt", b"x"), ("Images_png/readme.sh", b"x")])
    (tmp_path / "a.zip").write_bytes(body)
    result = download.unpack(tmp_path / "a.zip", tmp_path, progress=False)
    assert (len(result["files"]), result["skipped"]) == (3, 2)
    assert {p.suffix for p in (tmp_path / "Images_png").rglob("*") if p.is_file()} == {".png"}


def killed(command, ready, patience=60):
    """Start `command`, kill -9 it once ready() is true; fails if it ended before."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + patience
    while not ready() and time.monotonic() < end:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_while_fetching_then_while_unpacking(tmp_path):
    body, files = slices_zip(3000, 1500)
    with serve({"/1.zip": body}, delay=0.02) as (base, server):
        urls = listing(tmp_path, base, (body,))
        command = [sys.executable, "-m", "camreader", "download", "--zips", "1"]
        command += ["--dest", str(tmp_path), "--list", str(urls)]
        part = tmp_path / "downloads" / "Images_png_01.zip.part"
        killed(command, lambda: part.exists() and part.stat().st_size > 1_000_000)
        had = part.stat().st_size
        server.delay = 0
        root = tmp_path / "Images_png" / "000001_01_01"
        killed(command, lambda: root.exists() and len(os.listdir(root)) > 200)
        assert server.requests[-1][1] == f"bytes={had}-"
        done = {p: p.stat().st_mtime_ns for p in root.glob("*.png")}
        fetched = len(server.requests)
        assert 0 < len(done) < 3000
        assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
        assert len(server.requests) == fetched  # the zip was there: not fetched again
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())
    assert all((tmp_path / name).read_bytes() == content for name, content in files.items())


def test_the_command_says_its_problem_and_exits_1(tmp_path, capsys):
    assert main(["download", "--zips", "99", "--dest", str(tmp_path), "--list", "absent"]) == 1
    assert "cannot be read" in capsys.readouterr().err
