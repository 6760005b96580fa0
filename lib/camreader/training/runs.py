"""One training run on disk: what it was made from, how far it came, what came out.

A run's folder is data/runs/<cohort>/<protocol>-<run>-seed<k>/ and holds, once finished,
model.safetensors, history.parquet, predictions.parquet and, written last, model.json. While it
trains, checkpoint.safetensors holds everything needed to go on: one file, replaced atomically,
numbers and JSON only, so that reading it can run no code.

Tested in tests/training/test_train.py, which kills, resumes and refuses runs on disk.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from camreader.common.errors import DataError, NotApplicable
from camreader.common.source import code_digest
from camreader.common.storage import (
    atomic_path,
    digest,
    read_json,
    read_table,
    write_json,
    write_table,
)
from camreader.common.study import Study
from camreader.common.tables import Predictions
from camreader.common.text import counted
from camreader.statistics.intervals import wilson
from camreader.training.compute import device
from camreader.training.description import Description
from camreader.training.experiments import Ended, part_of_study
from camreader.training.networks import NO_NETWORK, build
from camreader.training.own_networks import restored

SUMMARY: tuple[str, ...] = (
    "split",
    "stopping_rule",
    "augmented",
    "starts_from",
    "n_train",
    "draws",
    "epochs",
)
SUMMARY += ("kept_epoch", "ended", "extended", "underfits", "train_error", "n_test", "wrong_test")
SUMMARY += ("test_error", "low", "high", "interval", "seconds", "device", "precision")
TIMES = {1: "once", 2: "twice"}
UNDERFITS = ": it has not learned its own training slices (more EPOCHS may help)"
# A change in any of them means training again: the fitting and what it imports.


def folder(study: Study, name: str, seed: int) -> Path:
    """Folder of the run called <protocol>-<run> trained with `seed`."""
    return study.runs / f"{name}-seed{seed}"


def fingerprint(parameters: dict[str, Any], frame: pd.DataFrame, images: torch.Tensor) -> str:
    """SHA-256 over everything that decides a run's result, as hex text.

    parameters: a dict; frame: the slices, labels and split trained on; images: their pixels,
    float32 (n, 1, S, S); to these it adds the source text of the network and of the training.
    """
    settings = json.dumps(parameters, sort_keys=True, default=str)
    code = code_digest("training.trainer", ("training", "cohorts"))
    return digest(settings, frame.to_csv(index=False), images.numpy().data, code)


def finished(where: Path | str, mark: str) -> dict[str, Any] | None:
    """The record of the run in folder `where` if it finished with fingerprint `mark`, or None."""
    path = Path(where) / "model.json"
    record = read_json(path) if path.exists() else {}
    return record if record.get("fingerprint") == mark else None


def refuse(where: Path | str, name: str, seed: int, words: str) -> None:
    """Record in model.json that the cohort cannot carry this run; a later run asks again."""
    protocol, run = part_of_study(name)
    who = {"protocol": protocol, "run": run, "seed": seed}
    write_json(who | {"finished": False, "refused": words}, Path(where) / "model.json")


def save_checkpoint(
    where: Path | str, tensors: dict[str, torch.Tensor], facts: dict[str, Any]
) -> None:
    """Replace the run's checkpoint. tensors: name -> tensor; facts: a JSON-able dict."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with atomic_path(Path(where) / "checkpoint.safetensors") as temporary:
        about = {"facts": json.dumps(facts), "sha256": _digest(tensors)}
        save_file(tensors, temporary, metadata=about)


def load_checkpoint(
    where: Path | str, mark: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | tuple[None, None]:
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


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over named tensors, as hex text."""
    parts: list[str | bytes] = []
    for name in sorted(tensors):
        parts += [name, tensors[name].numpy().tobytes()]
    return digest(*parts)


def finish(
    where: Path | str,
    weights: dict[str, torch.Tensor],
    history: pd.DataFrame,
    predictions: pd.DataFrame,
    record: dict[str, Any],
) -> None:
    """Write the run's results, model.json last, and drop its checkpoint."""
    where = Path(where)
    weights = {  # each its own memory: a file of tensors that share some is refused
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in weights.items()
    }
    with atomic_path(where / "model.safetensors") as temporary:
        save_file(weights, temporary)
    write_table(history, where / "history.parquet")
    write_table(predictions, where / "predictions.parquet", Predictions)
    write_json(record | {"finished": True}, where / "model.json")
    for leftover in [*where.glob("checkpoint.safetensors"), *where.glob(".*.tmp*")]:
        leftover.unlink()


def load_model(where: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """(network in evaluation mode on `compute.device()`, its model.json) of a finished run.

    NotApplicable where only the results of a network were given.
    """
    record = _finished_record(where)
    own = own_of(record)
    if own.own and own.kind == "results":
        raise NotApplicable(f"The network is {NO_NETWORK}", expected="NETWORK with code or weights")
    if own.own:
        network: nn.Module = restored(own.opened(Path(where).parent), record["network"])
    else:
        network = build(record["architecture"], record["image_size"])
    path = Path(where) / "model.safetensors"
    try:
        with safe_open(path, framework="pt") as handle:
            network.load_state_dict({name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
    except (FileNotFoundError, SafetensorError) as error:
        words = f"Weights cannot be read: {error}; `make report` trains them again"
        raise DataError(words, file=path) from None
    return network.to(device()).eval(), record


def network_of(study: Study, name: str, seed: int = 0) -> tuple[nn.Module | None, dict[str, Any]]:
    """(network, model.json) of a finished run; None where only its results were given."""
    where = folder(study, name, seed)
    try:
        return load_model(where)
    except NotApplicable:
        return None, _finished_record(where)


def weights_file(study: Study) -> str:
    """The weights of the study's final run, patients kept apart where it has both; "" where it is
    not the workbook's generic CNN."""
    for name in ("sound-final", "paper-final"):
        path = folder(study, name, 0) / "model.safetensors"
        if path.exists() and record(study, name).get("architecture") == "generic":
            return str(path)
    return ""


def own_of(record: dict[str, Any]) -> Description:
    """The description of the network a run was made with; empty for the workbook's own."""
    return Description(**record.get("settings", {}).get("own", {}))


def record(study: Study, name: str, seed: int = 0) -> dict[str, Any]:
    """The contents of model.json of a finished run; DataError where there is none."""
    return _finished_record(folder(study, name, seed))


def _finished_record(where: Path | str) -> dict[str, Any]:
    content = read_json(Path(where) / "model.json")
    if not content.get("finished"):
        raise DataError("This run was refused", file=where, found=content.get("refused"))
    return content


def collect(study: Study, records: pd.DataFrame, target: str = "predictions") -> pd.DataFrame:
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


def read_part(study: Study, row: Any, part: str) -> pd.DataFrame:
    """A finished run's table: row has protocol, run, seed; part is "history" or "predictions"."""
    return read_table(folder(study, f"{row.protocol}-{row.run}", row.seed) / f"{part}.parquet")


def history(study: Study, records: pd.DataFrame) -> pd.DataFrame:
    """Loss and accuracy by run and epoch of the finished runs among `records`, one table."""
    finished_runs = records[records["status"] == "finished"]
    return pd.concat([read_part(study, row, "history") for row in finished_runs.itertuples()])


def summary(records: pd.DataFrame) -> pd.DataFrame:
    """One flat row per run: data, stopping, error rates, or why it was refused.

    low, high: of the test error, Wilson's, where slices are the unit; where patients were split
    the interval by patient stands in the table 03_metrics alone, so that there is one.
    """
    rows = []
    for record in records.to_dict("records"):
        row = {name: record[name] for name in ("protocol", "run", "seed", "status")}
        row |= _outcome(record) if record["status"] == "finished" else {}
        rows.append(row | {"reason": record["reason"]})
    columns = ["protocol", "run", "seed", "status", *SUMMARY, "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _outcome(record: dict[str, Any]) -> dict[str, Any]:
    error = wilson(record["wrong_test"], record["n_test"])
    by_slice = record["plan"]["split"] == "split_image"
    if not by_slice:
        error = replace(error, low=float("nan"), high=float("nan"))
    stop = record["plan"]["stop"]
    return {name: record[name] for name in SUMMARY if name in record} | {
        "split": "by slice" if by_slice else "by patient",
        "stopping_rule": _rule(record, stop),
        "augmented": record["plan"]["augment"],
        "starts_from": record["plan"]["start"],
        "test_error": error.value,
        "low": error.low,
        "high": error.high,
        "interval": "Wilson by slice" if by_slice else "by patient: see 03_metrics",
    }


def _rule(record: dict[str, Any], stop: str) -> str:
    """What a training looks at to decide when to stop."""
    if record["ended"] == Ended.USED:
        return "none: not trained here"
    return f"all {stop}" if stop == "epochs" else f"on {stop}"


def ending(record: dict[str, Any]) -> str:
    """How a training ended, in words, from its record or its row of `summary`."""
    ended, error = Ended(record["ended"]), record["train_error"]
    if ended is Ended.USED:
        return str(ended)
    after = f"{ended} after {counted(int(record['epochs']), 'epoch')}"
    if record["draws"] > 1:
        after += f" in {counted(int(record['draws']), 'draw')} of the split"
    if record["extended"]:
        times = TIMES.get(int(record["extended"]), f"{int(record['extended'])} times")
        after += f" (it still underfitted at its planned end and went on {times})"
    return f"{after}; training error {error:.1%}" + (UNDERFITS if record["underfits"] else "")


def finding(table: pd.DataFrame) -> Iterator[str]:
    """Sentences that state how the runs went, computed from `summary`; one per refusal."""
    refused = table[table["status"] == "refused"]
    for row in table[table["status"] != "refused"].to_dict("records"):
        name = f"{row['protocol']}, {row['run']} run (seed {row['seed']})"
        error = wilson(row["wrong_test"], row["n_test"])
        said = f"{error} by slice"
        if row["split"] == "by patient":
            said = f"{100 * error.value:.1f} % ({error.k} of {error.n}; interval in 03_metrics)"
        yield f"{name}: {ending(row)}; test error {said}."
    for reason, rows in refused.groupby("reason", sort=False):
        names = ", ".join(dict.fromkeys(rows["protocol"] + " " + rows["run"]))
        yield f"Not trained: {names}. {reason}."
