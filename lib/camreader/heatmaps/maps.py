"""The maps notebook 04 needs: of every decision, and of "tumor" by every method.

Grad-CAM of a whole test set takes a second per thousand slices, so it is written anew each time, a
chunk at a time and straight to a file: a large cohort's maps never lie in memory. The methods that
need more (`methods.own_jobs`) keep their maps, and what randomised weights do to the maps is kept
too, so that a scheduler can make them side by side (`methods.jobs`); the notebook then finds them
made, or makes them itself.
From the shell: camreader maps --cohort phantom --method occlusion
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm.auto import tqdm

from camreader.common.errors import DataError, NotApplicable
from camreader.common.source import code_digest
from camreader.common.storage import atomic_path, digest, read_table, write_table
from camreader.common.study import Study
from camreader.heatmaps import gradcam, methods, tables
from camreader.heatmaps.cases import Explained, load

CHUNK = 256  # slices explained before their maps are written
FACTS = ("explained_class", "score", "blank", "relative")


def store(study: Study, explained: Explained, progress: bool = True) -> tuple:
    """Grad-CAM of every test slice's decision in runs/<cohort>/heatmaps/gradcam.npy.

    Returns (read-only memory map float16 (n, S, S), DataFrame of explained_class, score, blank,
    relative, layer). The file is whole or absent.
    """
    path, images = study.runs / "heatmaps" / "gradcam.npy", explained.images
    if explained.model is None:
        return _as_given(explained)
    facts = []
    with atomic_path(path) as temporary:
        shape = (len(images), *images.shape[2:])
        maps = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        with tqdm(total=len(images), unit="map", disable=not progress) as bar:
            for rows in gradcam.slices(len(images), CHUNK):
                found = gradcam.explain(explained.model, images[rows])
                maps[rows] = found.maps
                facts.append(pd.DataFrame({name: getattr(found, name) for name in FACTS}))
                bar.update(rows.stop - rows.start)
        maps.flush()
    layers = [gradcam.layer_name(explained.model, m) for m in gradcam.find_layers(explained.model)]
    table = pd.concat(facts, ignore_index=True).assign(layer=", ".join(layers))
    return np.load(path, mmap_mode="r"), table


def _as_given(explained: Explained) -> tuple[np.ndarray, pd.DataFrame]:
    """The same of maps that came with results: as they are, and what is known of them."""
    assert explained.given is not None, "results come with their maps"
    facts = pd.DataFrame({"explained_class": explained.cases["predicted"].to_numpy()})
    sign = 2 * facts["explained_class"] - 1
    facts["score"] = sign * explained.cases["logit"].to_numpy()
    facts["blank"] = ~(explained.given > 0).any((1, 2))
    return explained.given, facts.assign(relative=False, layer="as given")


def tumor_maps(
    study: Study, explained: Explained, names: Iterable[str], slow_slices: int = 60, seed: int = 0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Maps of "tumor" on the slices with a lesion: {method: (rows of `cases`, maps (k, S, S))}.

    Maps that came with results are taken as they are, whatever they explain.

    Slow methods see a seeded sample of `slow_slices` of those slices; a method that does not
    apply to the network is left out.
    """
    found = {}
    for name in tqdm(list(names), desc="methods", leave=False):
        rows = _chosen(explained, name, slow_slices, seed)
        make = kept if methods.METHODS[name].own_job else computed
        if explained.given is not None and name == "given":
            found[name] = rows, explained.given[rows]
            continue
        try:
            found[name] = rows, make(study, explained, name, rows)
        except NotApplicable:
            continue
    return found


def _chosen(explained: Explained, name: str, slow_slices: int, seed: int) -> np.ndarray:
    """Rows of `explained.cases` that a method explains, rising."""
    rows = np.flatnonzero(explained.cases["lesion"])
    if methods.METHODS[name].slow:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:slow_slices])
    return rows


def computed(_study: Study, explained: Explained, name: str, rows: np.ndarray) -> np.ndarray:
    """Maps (k, S, S) float32 of "tumor" by one method, of the cases numbered `rows` (k,)."""
    return methods.compute(name, explained.model, explained.images[rows], 1)


def kept(study: Study, explained: Explained, name: str, rows: np.ndarray) -> np.ndarray:
    """The same, from runs/<cohort>/heatmaps/<method>.safetensors; made where it does not fit.

    It fits when weights, slices, pixels and the methods' code are those it was made from.
    """
    path = study.runs / "heatmaps" / f"{name}.safetensors"
    mark = _fingerprint(explained, name, rows)
    try:
        with safe_open(path, framework="np") as handle:
            if (handle.metadata() or {}).get("mark") == mark:
                return handle.get_tensor("maps")
    except (FileNotFoundError, SafetensorError):
        pass  # not made yet, or damaged: made again
    maps = computed(study, explained, name, rows)
    with atomic_path(path) as temporary:
        save_file({"maps": maps}, temporary, metadata={"mark": mark})
    return maps


def sanity(study: Study, explained: Explained, seed: int = 0) -> pd.DataFrame:
    """`tables.sanity`, kept in runs/<cohort>/heatmaps/ and made again where it no longer fits."""
    path = study.runs / "heatmaps" / f"{methods.RANDOMISED}.parquet"
    rows = np.flatnonzero(explained.cases["lesion"])
    mark = _fingerprint(explained, f"{methods.RANDOMISED} {seed}", rows)
    try:
        found = read_table(path)
        if set(found.pop("mark")) == {mark}:
            return found
    except (DataError, KeyError):
        pass  # not made yet, or damaged: made again
    table = tables.sanity(explained, seed=seed)
    write_table(table.assign(mark=mark), path)
    return table


def _fingerprint(explained: Explained, name: str, rows: np.ndarray) -> str:
    """SHA-256 (hex) of what decides the maps: method, code, slices, their pixels, weights."""
    code = code_digest("heatmaps.tables", ("heatmaps",))
    slices = list(explained.cases["slice_id"].iloc[rows])
    parts: list[str | memoryview] = [f"{name} {code} {slices}", explained.images[rows].numpy().data]
    weights = explained.model.state_dict() if explained.model is not None else {}
    for key, value in weights.items():
        parts += [key, value.detach().cpu().contiguous().numpy().data]
    return digest(*parts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `camreader maps`."""
    slow = [name for name, method in methods.METHODS.items() if method.slow]
    parser.add_argument("--data", default="data", help="folder of cohorts/ and runs/")
    parser.add_argument("--cohort", default="phantom")
    parser.add_argument("--protocol", default="sound", help="whose final network: sound or paper")
    parser.add_argument("--trained-seed", type=int, default=0, help="of the network's training")
    parser.add_argument("--method", required=True, choices=methods.jobs())
    parser.add_argument("--slow-slices", type=int, default=60, help=f"for {', '.join(slow)}")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of those slices")


def run(options: argparse.Namespace) -> None:
    """Make the maps of one method, or compare maps while weights are randomised."""
    study = Study(str(Path(options.data)), options.cohort)
    explained = load(study, options.protocol, options.trained_seed)
    if options.method == methods.RANDOMISED:
        print(f"{options.method}: {len(sanity(study, explained, options.seed))} rows")
        return
    found = tumor_maps(study, explained, [options.method], options.slow_slices, options.seed)
    made = len(found[options.method][0]) if found else "does not apply to this network; no"
    print(f"{options.method}: {made} maps")
