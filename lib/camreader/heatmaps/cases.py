"""The test slices of one trained run with their heat-maps: what notebook 04 stores and compares."""

from dataclasses import dataclass

import pandas as pd
import torch

from camreader.cohorts import pixels, windows
from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.tables import Cohort, Predictions, parse_boxes
from camreader.heatmaps import gradcam, localisation
from camreader.heatmaps import maps as map_store
from camreader.training import runs

OUTCOMES = {(1, 1): "true positive", (0, 1): "false positive"} | {
    (1, 0): "false negative",
    (0, 0): "true negative",
}
COLUMNS = [
    *("label", "region", "boxes", "width", "height", "diameter_mm", "spacing_mm"),
    *("patient_id", "image_path"),
]
PROTOCOLS = ("sound", "paper")


@dataclass(frozen=True)
class Explained:
    """A network, its run's test slices, and the pixels it sees of them."""

    protocol: str
    model: torch.nn.Module
    record: dict  # the run's model.json
    cases: pd.DataFrame  # one row per test slice: prediction, label, outcome, boxes, ...
    images: torch.Tensor  # (n, 1, S, S) float32 in 0..1, row order of `cases`

    def mark(self, rows=slice(None)):
        """Text that tells these slices and their pixels from others."""
        names = self.cases["slice_id"].iloc[rows]
        return "".join(names) + str(self.images[rows].double().sum().item())


def load(study, protocol="sound", seed=0):
    """The final run of `protocol`, or of the other protocol where that one was refused."""
    predictions = read_table(study.runs / "predictions.parquet", Predictions)
    final = predictions[(predictions["run"] == "final") & predictions["protocol"].isin(PROTOCOLS)]
    trained = [p for p in (protocol, *PROTOCOLS) if p in set(final["protocol"])]
    if not trained:
        raise DataError("No final run; run 02_train first", file=study.runs, expected=protocol)
    rows = final[(final["protocol"] == trained[0]) & (final["seed"] == seed)]
    if rows.empty:
        raise DataError("No run with this seed", found=seed, expected=sorted(set(final["seed"])))
    model, record = runs.load_model(runs.folder(study, f"{trained[0]}-final", seed))
    cohort = read_table(study.cohort_table, Cohort)
    cases = _cases(cohort, rows[rows["split"] == "test"])
    hu = pixels.load(study.pixels, cohort)[cases["row"].to_numpy()]
    window = windows.window_for(study.card, record["window"])
    images = torch.from_numpy(windows.model_input(hu, *window))
    return Explained(trained[0], model, record, cases, images)


def _cases(cohort, rows):
    """Predictions joined to the cohort: adds `row` (in pixels.npy), `outcome` and `lesion`."""
    cohort = cohort.reset_index(names="row").set_index("slice_id")
    cases = rows.reset_index(drop=True).join(cohort[["row", *COLUMNS]], on="slice_id")
    if cases["row"].isna().any():
        missing = cases.loc[cases["row"].isna(), "slice_id"].iloc[0]
        raise DataError("A predicted slice is not in the cohort", found=missing)
    pairs = zip(cases["label"].astype(int), cases["predicted"], strict=True)
    cases["outcome"] = [OUTCOMES[pair] for pair in pairs]
    cases["lesion"] = [bool(parse_boxes(text)) for text in cases["boxes"]]
    cases["lesion"] &= cases["label"] == 1
    return cases.astype({"row": int, "label": int})


def store(study, explained, progress=True):
    """Grad-CAM of every test slice's decision in runs/<cohort>/heatmaps/gradcam.npy.

    Returns (memory map (n, S, S), DataFrame of explained_class, score, blank, relative, layer).
    """
    maps, records = map_store.store(
        study.runs / "heatmaps" / "gradcam.npy",
        explained.model,
        lambda start, stop: explained.images[start:stop],
        len(explained.images),
        mark=explained.mark(),
        progress=progress,
    )
    frame = pd.DataFrame({name: records[name] for name in map_store.RECORD.names[1:]})
    layer = gradcam.layer_name(explained.model, gradcam.find_layer(explained.model))
    return maps, frame.assign(layer=layer)


def truths(study, cases, size):
    """{"exact mask" (phantom only), "box"}: boolean (n, size, size) lesion pixels of the cases."""
    exact = localisation.exact_masks(cases, study.card["source"], size)
    found = {} if exact is None else {"exact mask": exact}
    return found | {"box": localisation.box_masks(cases, size)}
