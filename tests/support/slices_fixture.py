"""A tiny data set in DeepLesion's layout, drawn by the tests themselves."""

import csv

import cv2
import numpy as np

from camreader.cohorts.deeplesion import COLUMNS

SHIFT = 32768


def write_png(path, hu):
    """Write HU (H, W) as DeepLesion does: uint16, HU + 32768."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = (np.asarray(hu, np.int64) + SHIFT).astype(np.uint16)
    path.write_bytes(cv2.imencode(".png", stored)[1].tobytes())


def slice_hu(seed=0, size=64):
    """A noisy disc in air, int16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2
    body = np.where(x**2 + y**2 < (0.4 * size) ** 2, 40, -1024)
    return (body + rng.normal(0, 10, body.shape)).astype(np.int16).clip(-1024)


def info_row(patient=1, study=1, series=1, key=5, **changes):
    """One row of DL_info.csv, consistent in itself: a 20 x 10 pixel lesion."""
    x, y = 20.0, 30.0
    row = {
        "File_name": f"{patient:06d}_{study:02d}_{series:02d}_{key:03d}.png",
        "Patient_index": patient,
        "Study_index": study,
        "Series_ID": series,
        "Key_slice_index": key,
        "Measurement_coordinates": f"{x}, {y}, {x + 20}, {y}, {x + 10}, {y - 5}, {x + 10}, {y + 5}",
        "Bounding_boxes": f"{x - 5}, {y - 10}, {x + 25}, {y + 10}",
        "Lesion_diameters_Pixel_": "20, 10",
        "Normalized_lesion_location": "0.5, 0.5, 0.5",
        "Coarse_lesion_type": 5,
        "Possibly_noisy": 0,
        "Slice_range": f"{key - 4}, {key + 4}",
        "Spacing_mm_px_": "0.8, 0.8, 5",
        "Image_size": "64, 64",
        "DICOM_windows": "-175, 275",
        "Patient_gender": "F",
        "Patient_age": "",
        "Train_Val_Test": 3,
    }
    return row | changes


def write_info(folder, rows):
    """Write DL_info.csv."""
    with open(folder / "DL_info.csv", "w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder / "DL_info.csv"


def write_deeplesion(folder, patients=4, layout="Images_png"):
    """`patients` series of slices 1..9 with the key slice 5; returns the rows of DL_info.csv."""
    rows = [info_row(patient) for patient in range(1, patients + 1)]
    for patient in range(1, patients + 1):
        for index in range(1, 10):
            name = f"{patient:06d}_01_01/{index:03d}.png"
            write_png(folder / layout / name, slice_hu(100 * patient + index))
    write_info(folder, rows)
    return rows


def write_truth(folder, patients=4, lesion=(4, 5, 6), unknown=(9,)):
    """slice_truth.csv: the lesion on `lesion`, nothing known of `unknown`, the rest free."""
    lines = ["series,slice,has_lesion_full_annotation,n_boxes,boxes_x1y1x2y2"]
    for patient in range(1, patients + 1):
        for index in range(1, 10):
            cells = "0,0,"
            if index in lesion:
                cells = "1,1,20 20 40 30"
            elif index in unknown:
                cells = ",,"
            lines.append(f"{patient:06d}_01_01,{index},{cells}")
    (folder / "slice_truth.csv").write_text("\n".join(lines) + "\n")
