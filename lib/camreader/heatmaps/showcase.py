"""Which test slices to show, and showing them at full resolution: viewer and DICOM export."""

from pathlib import Path

import numpy as np

from camreader.cohorts import pixels, windows
from camreader.common.tables import parse_boxes
from camreader.heatmaps import dicom_export
from camreader.heatmaps import methods as rivals
from camreader.viewer.widget import SliceViewer

ORDER = ("true positive", "false negative", "false positive", "true negative")
SHOWN = ("gradcam", "hirescam", "guided_gradcam")


def pick(cases, count, seed=0):
    """Row numbers of up to `count` cases, as even over the four outcomes as they allow.

    Seeded, not chosen by eye; in the order of ORDER.
    """
    rng = np.random.default_rng(seed)
    waiting = [list(rng.permutation(np.flatnonzero(cases["outcome"] == name))) for name in ORDER]
    chosen = [[] for _ in ORDER]
    while sum(map(len, chosen)) < min(count, len(cases)):
        for rows, taken in zip(waiting, chosen, strict=True):
            if rows and sum(map(len, chosen)) < count:
                taken.append(int(rows.pop()))
    return [row for taken in chosen for row in sorted(taken)]


def clearest(cases):
    """Row number of the surest true positive with a box, else of the surest decision."""
    sure = (cases["probability"] - 0.5).abs()
    good = cases["lesion"] & (cases["outcome"] == "true positive")
    return int(sure.where(good, sure - 1).to_numpy().argmax())


def errors(cases):
    """Row numbers of every false positive and false negative."""
    return np.flatnonzero(cases["label"] != cases["predicted"])


def title(case):
    """One line of a case for the viewer: its truth, the network's answer, its region."""
    words = {1: "tumor", 0: "no tumor"}
    return (
        f"{case.slice_id} · {case.region} · actual: {words[case.label]} · predicted: "
        f"{words[case.predicted]} (p = {case.probability:.2f}) · {case.outcome}"
    )


def display_slice(study, case):
    """A case's slice (H, W) at full resolution, in 0..1 of the window its region is read in."""
    card = study.card
    hu = pixels.read_hu(Path(card["source"]) / case.image_path)
    name = "lung" if case.region == "lung" else "soft tissue"
    return windows.window(hu, *windows.window_for(card, name))


def export_dicom(study, explained, rows, maps, layer, folder):
    """Overlays of the cases numbered `rows` as DICOM files in `folder`; a table of the files."""
    cases = explained.cases.iloc[rows]
    slices = [display_slice(study, case) for case in cases.itertuples()]
    cases = cases.assign(boxes=[parse_boxes(text) for text in cases["boxes"]])
    return dicom_export.export(folder, cases, slices, maps[rows], study.card, layer)


def viewer(study, explained, rows, maps, methods=SHOWN, **traits):
    """SliceViewer of the cases numbered `rows`, at full resolution, with several methods' maps.

    `maps` (n, S, S) are the stored Grad-CAM maps of all cases; the other methods are computed
    here for the same class, the network's decision.
    """
    cases, card = explained.cases.iloc[rows], study.card
    images = explained.images[rows]
    decided = cases["predicted"].to_numpy()
    stacks = {rivals.TITLES["gradcam"]: np.asarray(maps[rows], np.float32)}
    for method in methods:
        if method != "gradcam":
            found = rivals.compute(method, explained.model, images, decided)
            stacks[rivals.TITLES[method]] = found
    slices = [pixels.read_hu(Path(card["source"]) / path) for path in cases["image_path"]]
    return SliceViewer(
        slices,
        stacks,
        boxes=[parse_boxes(text) for text in cases["boxes"]],
        titles=[title(case) for case in cases.itertuples()],
        cohort_title=card["title"],
        window=tuple(card["window"]),
        unit=windows.unit_of(card),
        **traits,
    )
