"""Maps of "tumor" by Grad-CAM and the methods it is compared with.

Those that need many passes a slice (plans.COMPARED) are kept on disk, so that a scheduler can make
them side by side; the notebook then finds them made, or makes them itself.
From the shell: camreader maps --cohort phantom --method occlusion
"""

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from camreader.common.errors import DataError
from camreader.common.source import code_digest
from camreader.common.storage import atomic_path
from camreader.common.study import Study
from camreader.heatmaps import cases
from camreader.heatmaps import maps as map_store
from camreader.heatmaps import methods as rivals
from camreader.training.compute import keep_buffers
from camreader.training.experiments import COMPARED

SLOW = ("integrated_gradients", "occlusion")  # hundreds of passes a slice: on a sample of slices


def tumor_maps(study, run, methods, slow_slices=60, seed=0):
    """Maps of "tumor" on the slices with a lesion: {method: (rows of `cases`, maps (k, S, S))}.

    run: an `explained.Explained`. Methods in SLOW see a seeded sample of `slow_slices` of those
    slices; a method that does not apply to the network is left out.
    """
    found = {}
    for method in methods:
        rows = chosen(run, method, slow_slices, seed)
        try:
            if method in COMPARED:
                maps = kept(study, run, method, rows)
            else:
                maps = computed(run, method, rows)
            found[method] = (rows, maps)
        except DataError as error:
            if "does not apply" not in str(error):
                raise
    return found


def chosen(run, method, slow_slices, seed):
    """Rows of `run.cases` that a method explains, rising."""
    rows = np.flatnonzero(run.cases["lesion"])
    if method in SLOW:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:slow_slices])
    return rows


def computed(run, method, rows):
    """Maps (k, S, S) float32 of "tumor" by one method."""
    return rivals.compute(method, run.model, run.images[rows], 1)


def kept(study, run, method, rows):
    """The same, from runs/<cohort>/heatmaps/<method>.safetensors; made where it does not fit.

    It fits when weights, slices, pixels and the method's code are those it was made from.
    """
    path = study.runs / "heatmaps" / f"{method}.safetensors"
    code = code_digest("heatmaps.methods", ("heatmaps",))
    mark = map_store.fingerprint(run.model, method, len(rows), code + run.mark(rows))
    try:
        with safe_open(path, framework="np") as handle:
            if (handle.metadata() or {}).get("mark") == mark:
                return handle.get_tensor("maps")
    except (FileNotFoundError, SafetensorError):
        pass  # not made yet, or damaged: made again
    maps = computed(run, method, rows)
    with atomic_path(path) as temporary:
        save_file({"maps": maps}, temporary, metadata={"mark": mark})
    return maps


def add_arguments(parser):
    """Arguments of `camreader maps`."""
    parser.add_argument("--data", default="data", help="folder of cohorts/ and runs/")
    parser.add_argument("--cohort", default="phantom")
    parser.add_argument("--protocol", default="sound", help="whose final network: sound or paper")
    parser.add_argument("--trained-seed", type=int, default=0, help="of the network's training")
    parser.add_argument("--method", required=True, choices=COMPARED)
    parser.add_argument("--slow-slices", type=int, default=60, help=f"for {', '.join(SLOW)}")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of those slices")


def run(options):
    """Make the maps of one method."""
    keep_buffers()
    study = Study(options.data, options.cohort)
    trained = cases.load(study, options.protocol, options.trained_seed)
    found = tumor_maps(study, trained, [options.method], options.slow_slices, options.seed)
    made = len(found[options.method][0]) if found else "does not apply to this network; no"
    print(f"{options.method}: {made} maps")
