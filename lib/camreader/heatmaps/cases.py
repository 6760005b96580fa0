"""The test slices of one trained run: what notebook 04 explains, which it shows, and how.

Shown at full resolution: in figures, in the viewer, and as DICOM files for a reading room.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from camreader.cohorts import masks, pixels, windows
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.tables import Cohort, parse_boxes
from camreader.heatmaps import dicom_export, localisation, map_export, methods
from camreader.training import predictions, results, runs
from camreader.training.compute import keep_buffers
from camreader.training.learned import Learned, worth_explaining
from camreader.viewer.widget import SliceViewer

OUTCOMES = {  # truth, network's answer; in the order in which cases are shown
    (1, 1): "true positive",
    (1, 0): "false negative",
    (0, 1): "false positive",
    (0, 0): "true negative",
}
NAMES = {1: "tumor", 0: "no tumor"}


@dataclass(frozen=True)
class Explained:
    """A network, its run's test slices, and the pixels it sees of them."""

    protocol: str
    model: torch.nn.Module | None  # None: only its results were given
    record: dict  # the run's model.json
    cases: pd.DataFrame  # `predictions.test_slices`, and each one's `outcome` and `lesion`
    images: torch.Tensor  # (n, 1, S, S) float32 in 0..1, row order of `cases`
    judged: Learned | None = None  # whether it learned anything; None: not asked
    given: np.ndarray | None = None  # maps (n, S, S) that came with results, rows as `cases`

    @property
    def banner(self) -> str:
        """What has to stand over every map of this network; empty where it is worth explaining."""
        return self.judged.banner if self.judged else ""

    @property
    def main(self) -> str:
        """The method whose maps are stored and shown: Grad-CAM, or the maps as they were given."""
        return "gradcam" if self.model is not None else "given"


def load(
    study: Study, protocol: str = "sound", seed: int = 0, target: str = "predictions"
) -> Explained:
    """The final run of `protocol`, or of the other protocol where that one was refused.

    target: the table of predictions that run stands in. Freed buffers are kept from here on: a
    notebook that is run by hand is then as quick as a job.
    """
    keep_buffers()
    table = predictions.load(study, target)
    cohort = read_table(study.cohort_table, Cohort)
    protocol = predictions.final_protocol(table, protocol)
    cases = with_outcome(predictions.test_slices(table, cohort, protocol, "final", seed))
    model, record = runs.network_of(study, f"{protocol}-final", seed)
    given = None
    if model is None:
        kept = results.maps_of(runs.folder(study, f"{protocol}-final", seed))
        given = np.asarray(kept[cases["row"].to_numpy()], np.float32)
    hu = pixels.load(study.pixels, cohort)[cases["row"].to_numpy()]
    window = windows.window_for(study.card, record["window"])
    images = torch.from_numpy(windows.model_input(hu, *window))
    judged = worth_explaining(study, f"{protocol}-final", seed, target)
    return Explained(protocol, model, record, cases, images, judged, given)


def with_outcome(tested: pd.DataFrame) -> pd.DataFrame:
    """Test slices with their `outcome` by the truth, and whether a `lesion` has a known place."""
    pairs = zip(tested["truth"], tested["predicted"], strict=True)
    lesion = tested["boxes"].map(lambda text: bool(parse_boxes(text))) & (tested["truth"] == 1)
    return tested.assign(outcome=[OUTCOMES[pair] for pair in pairs], lesion=lesion)


def truths(study: Study, cases: pd.DataFrame, size: int) -> dict[str, np.ndarray]:
    """{"exact mask" (phantom only), "box"}: boolean (n, size, size) lesion pixels of the cases."""
    exact = localisation.exact_masks(cases, study.card["source"], size)
    found = {} if exact is None else {"exact mask": exact}
    return found | {"box": masks.box_masks(cases, size)}


def pick(cases: pd.DataFrame, count: int, seed: int = 0) -> list[int]:
    """Row numbers of up to `count` cases, as even over the four outcomes as they allow.

    Seeded, not chosen by eye; in the order of OUTCOMES.
    """
    rng = np.random.default_rng(seed)
    waiting = [
        list(rng.permutation(np.flatnonzero(cases["outcome"] == name)))
        for name in OUTCOMES.values()
    ]
    chosen: list[list[int]] = [[] for _ in OUTCOMES]
    while sum(map(len, chosen)) < min(count, len(cases)):
        for rows, taken in zip(waiting, chosen, strict=True):
            if rows and sum(map(len, chosen)) < count:
                taken.append(int(rows.pop()))
    return [row for taken in chosen for row in sorted(taken)]


def clearest(cases: pd.DataFrame) -> int:
    """Row number of the surest true positive with a box, else of the surest decision."""
    sure = (cases["probability"] - 0.5).abs()
    good = cases["lesion"] & (cases["outcome"] == "true positive")
    return int(sure.where(good, sure - 1).to_numpy().argmax())


def errors(cases: pd.DataFrame) -> np.ndarray:
    """Row numbers of every false positive and false negative."""
    return np.flatnonzero(~cases["correct"])


def title(case: Any) -> str:
    """One line of a case for the viewer: its truth, the network's answer, its region."""
    return (
        f"{case.slice_id} · {case.region} · actual: {NAMES[case.truth]} · predicted: "
        f"{NAMES[case.predicted]} (p = {case.probability:.2f}) · {case.outcome}"
    )


def display_slice(study: Study, case: Any) -> np.ndarray:
    """A case's slice (H, W) at full resolution, in 0..1 of the window its region is read in."""
    card = study.card
    hu = pixels.read_hu(Path(card["source"]) / case.image_path)
    return windows.window(hu, *windows.for_region(card, case.region)[1])


def export_dicom(
    study: Study,
    explained: Explained,
    rows: list[int],
    maps: np.ndarray,
    layer: str,
    folder: str | Path,
) -> pd.DataFrame:
    """Overlays and maps of the cases numbered `rows` as files in `folder`; a table of the files.

    Where the network is not worth explaining, every picture says so.
    """
    cases = explained.cases.iloc[rows]
    slices = [display_slice(study, case) for case in cases.itertuples()]
    cases = cases.assign(boxes=[parse_boxes(text) for text in cases["boxes"]])
    card = study.card | {"banner": explained.banner}
    overlays = dicom_export.export(folder, cases, slices, maps[rows], card, layer)
    values = [pixels.read_hu(Path(card["source"]) / path) for path in cases["image_path"]]
    numbers = map_export.export(folder, cases, values, maps[rows], card, layer)
    return pd.concat([overlays, numbers], ignore_index=True)


def viewer(
    study: Study,
    explained: Explained,
    rows: list[int],
    maps: np.ndarray,
    **traits: Any,
) -> SliceViewer:
    """SliceViewer of the cases numbered `rows`, at full resolution, with several methods' maps.

    `maps` (n, S, S) are the stored maps of all cases; those of the other methods registered for
    the viewer are computed here for the same class, the network's decision.
    """
    cases, card = explained.cases.iloc[rows], study.card
    images = explained.images[rows]
    decided = cases["predicted"].to_numpy()
    offered = [name for name, method in methods.METHODS.items() if method.viewer]
    stacks: dict[str, Any] = {methods.title(explained.main): np.asarray(maps[rows], np.float32)}
    for name in offered:
        applies = methods.METHODS[name].applies
        if name != explained.main and applies(explained.model, images) is None:
            stacks[methods.title(name)] = methods.compute(name, explained.model, images, decided)
    slices = [pixels.read_hu(Path(card["source"]) / path) for path in cases["image_path"]]
    return SliceViewer(
        slices,
        stacks,
        boxes=[parse_boxes(text) for text in cases["boxes"]],
        titles=[title(case) for case in cases.itertuples()],
        cohort_title=card["title"],
        window=tuple(card["window"]),
        unit=windows.unit_of(card),
        presets=windows.presets(windows.unit_of(card), card["window"], card.get("windows")),
        **traits,
    )
