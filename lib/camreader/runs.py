"""One training run on disk: what it was made from, how far it came, what came out.

A run's folder is data/runs/<cohort>/<protocol>-<run>-seed<k>/ and holds, once finished,
model.safetensors, history.parquet, predictions.parquet and, written last, model.json. While it
trains, checkpoint.safetensors holds everything needed to go on: one file, replaced atomically,
numbers and JSON only, so that reading it can run no code.
"""

import hashlib
import json
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from camreader.files import atomic_path, read_json, read_table, write_json, write_table
from camreader.network import build
from camreader.schemas import DataError, Predictions

SOURCES = ("network.py", "fitting.py")  # a change in either means training again


def folder(study, name, seed):
    """Folder of the run called <protocol>-<run> trained with `seed`."""
    return study.runs / f"{name}-seed{seed}"


def fingerprint(parameters, frame, images):
    """SHA-256 over everything that decides a run's result, as hex text.

    parameters: a dict; frame: the slices, labels and split trained on; images: their pixels,
    a tensor; to these it adds the source text of the network and of the training.
    """
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode())
    digest.update(frame.to_csv(index=False).encode())
    digest.update(images.numpy().data)
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


def finished(where, mark):
    """The record of the run in folder `where` if it finished with fingerprint `mark`, or None."""
    path = Path(where) / "model.json"
    record = read_json(path) if path.exists() else {}
    return record if record.get("fingerprint") == mark else None


def save_checkpoint(where, tensors, facts):
    """Replace the run's checkpoint. tensors: name -> tensor; facts: a JSON-able dict."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_path(Path(where) / "checkpoint.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"facts": json.dumps(facts)})


def load_checkpoint(where, mark):
    """(tensors, facts) of a checkpoint with fingerprint `mark`, or (None, None): start anew."""
    path = Path(where) / "checkpoint.safetensors"
    try:
        with safe_open(path, framework="pt") as handle:
            facts = json.loads(handle.metadata()["facts"])
            if facts["fingerprint"] != mark:
                return None, None
            return {name: handle.get_tensor(name) for name in handle.keys()}, facts  # noqa: SIM118
    except (FileNotFoundError, SafetensorError):
        return None, None


def finish(where, weights, history, predictions, record):
    """Write the run's results, model.json last, and drop its checkpoint."""
    where = Path(where)
    weights = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    with atomic_path(where / "model.safetensors") as temporary:
        save_file(weights, temporary)
    write_table(history, where / "history.parquet")
    write_table(predictions, where / "predictions.parquet", Predictions)
    write_json(record | {"finished": True}, where / "model.json")
    for leftover in [*where.glob("checkpoint.safetensors"), *where.glob(".*.tmp*")]:
        leftover.unlink()


def load_model(where, device="cpu"):
    """(network in evaluation mode, the contents of its model.json) of a finished run."""
    record = read_json(Path(where) / "model.json")
    network = build(record["architecture"], record["image_size"])
    with safe_open(Path(where) / "model.safetensors", framework="pt", device=device) as handle:
        network.load_state_dict({name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
    return network.to(device).eval(), record


def collect(study, names, seeds, target="predictions"):
    """Join the predictions of the finished runs `names` x `seeds`; write and return the table."""
    wanted = [folder(study, name, seed) / "predictions.parquet" for name in names for seed in seeds]
    tables = [read_table(path, Predictions) for path in wanted if path.exists()]
    if not tables:
        raise DataError("No finished run to collect", file=study.runs, expected=", ".join(names))
    frame = pd.concat(tables, ignore_index=True)
    write_table(frame, study.runs / f"{target}.parquet", Predictions)
    return frame
