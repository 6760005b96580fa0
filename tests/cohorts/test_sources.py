"""The registry: another format is one module and one line."""

import cv2
import numpy as np
import pytest

from camreader.cohorts import cohort, images, labelled, pixels, sources
from camreader.common.errors import DataError


def raw_owns(head, name):
    return head.startswith(b"RAW8")


def raw_decode(data, path, offset):
    return np.frombuffer(data[4:], np.uint8).reshape(8, 8).astype(np.int16)


def raw_recognise(folder, options):
    return "raw" in folder.kinds.values()


def raw_read(folder, options):
    import pandas as pd

    found = labelled.read(folder, options)
    frame = pd.DataFrame(found.rows).assign(width=8, height=8, hu_offset=np.nan)
    frame["slice_id"] = [images.slice_name(n) for n in range(1, len(frame) + 1)]
    facts = {"kind": "Raw", "hu": False, "window": [128, 255]}
    return images.complete(frame), facts | images.facts_of(found, folder, frame)


def test_a_new_format_is_recognised_read_copied_and_ingested(tmp_path, monkeypatch):
    raw = sources.Source("raw", raw_recognise, raw_read, raw_decode, raw_owns)
    monkeypatch.setattr(sources, "SOURCES", (raw, *sources.SOURCES))
    rng = np.random.default_rng(0)
    for index in range(10):
        path = tmp_path / "in" / ("tumor" if index % 2 else "normal") / f"{index}.raw"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RAW8" + rng.integers(0, 255, 64).astype(np.uint8).tobytes())
    frame, card = cohort.load(tmp_path / "in")
    assert card["title"] == "Raw, 10 slices" and frame["label"].sum() == 5
    first = raw_decode((tmp_path / "in" / frame["image_path"][0]).read_bytes(), "", None)
    frame, card = pixels.bring_in(frame, card, tmp_path / "copy")
    pixels.ingest(frame, card["source"], tmp_path / "p.npy", 8, progress=False)
    assert np.array_equal(pixels.load(tmp_path / "p.npy", frame)[0], first)


def test_formats_are_told_apart_by_content(tmp_path):
    png = cv2.imencode(".png", np.full((4, 4), 32768 + 40, np.uint16))[1].tobytes()
    assert sources.decode(png, "a", None)[0, 0] == 40  # DeepLesion's way
    assert sources.decode(png, "a", -1024.0)[0, 0] == 31744 + 40  # own image: value + offset
    with pytest.raises(DataError, match="Not a slice"):
        sources.decode(b"<html>", "a.txt", None)


def test_a_folder_of_nothing_says_what_is_there(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "IM1").write_bytes(bytes(128) + b"DICM" + bytes(40))
    (tmp_path / "table.csv").write_text("image,label\n")
    with pytest.raises(DataError, match="No labelled image found") as raised:
        cohort.load(tmp_path)
    found = raised.value.places["found"]
    assert "1 .nii.gz" in found and "1 DICOM" in found and "table.csv" in found
