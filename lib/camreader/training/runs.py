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

from camreader.common.errors import DataError
from camreader.common.source import code_digest
from camreader.common.storage import (
    atomic_path,
    read_json,
    read_table,
    write_json,
    write_table,
)
from camreader.common.tables import Predictions
from camreader.common.text import counted
from camreader.statistics.intervals import wilson
from camreader.training.experiments import part_of_study
from camreader.training.networks import build

SUMMARY = ("split", "stopping_rule", "augmented", "starts_from", "n_train", "draws", "epochs")
SUMMARY += ("kept_epoch", "stopped", "train_error", "n_test", "wrong_test", "test_error", "low")
SUMMARY += ("high", "interval", "seconds", "device")
# A change in any of them means training again: the fitting and what it imports.


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
    digest.update(code_digest("training.trainer", ("training", "cohorts")).encode())
    return digest.hexdigest()


def finished(where, mark):
    """The record of the run in folder `where` if it finished with fingerprint `mark`, or None."""
    path = Path(where) / "model.json"
    record = read_json(path) if path.exists() else {}
    return record if record.get("fingerprint") == mark else None


def refuse(where, name, seed, words):
    """Record in model.json that the cohort cannot carry this run; a later run asks again."""
    protocol, run = part_of_study(name)
    who = {"protocol": protocol, "run": run, "seed": seed}
    write_json(who | {"finished": False, "refused": words}, Path(where) / "model.json")


def save_checkpoint(where, tensors, facts):
    """Replace the run's checkpoint. tensors: name -> tensor; facts: a JSON-able dict."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_path(Path(where) / "checkpoint.safetensors") as temporary:
        about = {"facts": json.dumps(facts), "sha256": _digest(tensors)}
        save_file(tensors, temporary, metadata=about)


def load_checkpoint(where, mark):
    """(tensors, facts) of an undamaged checkpoint with fingerprint `mark`, or (None, None)."""
    path = Path(where) / "checkpoint.safetensors"
    try:
        with safe_open(path, framework="pt") as handle:
            about = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError):
        return None, None
    if about.get("sha256") != _digest(tensors):
        return None, None
    facts = json.loads(about["facts"])
    return (tensors, facts) if facts["fingerprint"] == mark else (None, None)


def _digest(tensors):
    """SHA-256 over named tensors, as hex text."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


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
    record = _finished_record(where)
    network = build(record["architecture"], record["image_size"])
    path = Path(where) / "model.safetensors"
    try:
        with safe_open(path, framework="pt", device=device) as handle:
            network.load_state_dict({name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
    except (FileNotFoundError, SafetensorError) as error:
        words = f"Weights cannot be read: {error}; `make report` trains them again"
        raise DataError(words, file=path) from None
    return network.to(device).eval(), record


def record(study, name, seed=0):
    """The contents of model.json of a finished run; DataError where there is none."""
    return _finished_record(folder(study, name, seed))


def _finished_record(where):
    content = read_json(Path(where) / "model.json")
    if not content.get("finished"):
        raise DataError("This run was refused", file=where, found=content.get("refused"))
    return content


def collect(study, records, target="predictions"):
    """Join the predictions of the finished runs among `records` (of training.train_all).

    Writes data/runs/<cohort>/<target>.parquet and returns the table.
    """
    finished_runs = records[records["status"] == "finished"]
    if finished_runs.empty:
        words = "; ".join(dict.fromkeys(records["reason"]))
        raise DataError(f"No run of this cohort can be trained: {words}")
    frame = pd.concat([read_part(study, row, "predictions") for row in finished_runs.itertuples()])
    write_table(frame.reset_index(drop=True), study.runs / f"{target}.parquet", Predictions)
    return frame.reset_index(drop=True)


def read_part(study, row, part):
    """A finished run's table: row has protocol, run, seed; part is "history" or "predictions"."""
    return read_table(folder(study, f"{row.protocol}-{row.run}", row.seed) / f"{part}.parquet")


def history(study, records):
    """Loss and accuracy by run and epoch of the finished runs among `records`, one table."""
    finished_runs = records[records["status"] == "finished"]
    return pd.concat([read_part(study, row, "history") for row in finished_runs.itertuples()])


def summary(records):
    """One flat row per run: data, stopping, error rates, or why it was refused.

    low, high: of the test error, Wilson's by slice, too narrow where a patient has several; the
    evaluation (notebook 03) gives those by patient.
    """
    rows = []
    for record in records.to_dict("records"):
        row = {name: record[name] for name in ("protocol", "run", "seed", "status")}
        row |= _outcome(record) if record["status"] == "finished" else {}
        rows.append(row | {"reason": record["reason"]})
    columns = ["protocol", "run", "seed", "status", *SUMMARY, "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _outcome(record):
    error = wilson(record["wrong_test"], record["n_test"])
    split = "by slice" if record["plan"]["split"] == "split_image" else "by patient"
    stop = record["plan"]["stop"]
    return {name: record[name] for name in SUMMARY if name in record} | {
        "split": split,
        "stopping_rule": f"all {stop}" if stop == "epochs" else f"on {stop}",
        "augmented": record["plan"]["augment"],
        "starts_from": record["plan"]["start"],
        "test_error": error.value,
        "low": error.low,
        "high": error.high,
        "interval": "Wilson by slice",
    }


def finding(table):
    """Sentences that state how the runs went, computed from `summary`."""
    for row in table.itertuples():
        name = f"{row.protocol}, {row.run} run (seed {row.seed})"
        if row.status == "refused":
            yield f"{name}: refused. {row.reason}."
            continue
        error = wilson(row.wrong_test, row.n_test)
        draws = f" in {row.draws:.0f} draws of the split" if row.draws > 1 else ""
        yield (
            f"{name}: {row.stopped} after {counted(row.epochs, 'epoch')}{draws}; training error "
            f"{row.train_error:.1%}, test error {error} by slice."
        )
