"""Training the runs of the study: loading, refusing, resuming, recording.

On several GPUs: torchrun --nproc-per-node=4 -m -- camreader train ... (the same arguments).
Every run of the study (plans.PLANS) is reached this way, so a scheduler can train them side by
side; the notebooks then find them finished and only collect them.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from camreader.cohorts import pixels, windows
from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.training import description, experiments, runs, used
from camreader.training.ahead import Ahead
from camreader.training.compute import keep_buffers, precision, repeatable, several_processes
from camreader.training.experiments import PLANS, Plan, Settings
from camreader.training.own_networks import tried
from camreader.training.runs import load_model
from camreader.training.steps import move_on, progress
from camreader.training.trainer import Fit

NUMBERS = [field for field in fields(Settings) if field.name != "own"]
FINE_TUNE = 0.1  # of the peak learning rate: weights that know something are changed gently

__all__ = ["PLANS", "Plan", "Settings", "fit", "load_model", "load_slices", "train", "train_all"]


def train(
    study: Study, name: str, seed: int = 0, settings: Settings | None = None
) -> dict[str, Any]:
    """Train the run `name` (a key of PLANS) unless it is finished; return its record, a dict.

    Raises DataError in words where the cohort cannot carry the run's protocol.
    """
    settings, plan = settings or Settings(), PLANS[name]
    given = settings
    settings = replace(settings, own=settings.own.settled(study.runs))
    if settings.own.window and not plan.region:
        plan = replace(plan, window=settings.own.window)
    if settings.own.used:
        return used.take(study, name, plan, settings, seed)
    if settings.own.train == "fine-tune":
        settings = replace(settings, learning_rate=FINE_TUNE * settings.learning_rate)
    if study.card.get("own_split"):  # it came with the data, and is not drawn again
        settings = replace(settings, resamples=1)
    frame, images = load_slices(study, plan)
    check_trainable(frame, plan, study.card["refusals"])
    identity = {"name": name, "seed": seed}
    weights = None
    if plan.start:
        identity["start"] = train(study, plan.start, seed, given)["fingerprint"]
        weights = load_model(runs.folder(study, plan.start, seed))[0].state_dict()
    where = runs.folder(study, name, seed)
    return fit(frame, images, plan, settings, where, identity, weights)


def train_all(
    study: Study,
    names: Iterable[str],
    seeds: Iterable[int] = (0,),
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Train every run; return one row per run, the refused ones with the reason in words.

    DataError, before anything is trained, where a network of one's own does not fit.
    """
    rows = []
    if settings is not None and settings.own.own:
        tried(settings.own, np.load(study.pixels, mmap_mode="r").shape[-1])
    for seed in seeds:
        for name in names:
            try:
                row = train(study, name, seed, settings) | {"status": "finished", "reason": ""}
            except DataError as error:
                protocol, run = experiments.part_of_study(name)
                row = {"protocol": protocol, "run": run, "seed": seed}
                row |= {"status": "refused", "reason": str(error)}
            rows.append(row)
    return pd.DataFrame(rows)


def load_slices(study: Study, plan: Plan) -> tuple[pd.DataFrame, torch.Tensor]:
    """(cohort rows the plan is about, float32 tensor (n, 1, S, S) in 0..1 through its window).

    All slices are held in memory (64 KiB each at 128x128), so training never waits for a disk.
    """
    frame = read_table(study.cohort_table, Cohort)
    rows = experiments.chosen(frame, plan)
    hu = pixels.load(study.pixels, frame)[rows]
    frame = experiments.labelled(frame.iloc[rows].reset_index(drop=True), plan)
    window = windows.window_for(study.card, plan.window)
    return frame, torch.from_numpy(windows.model_input(hu, *window))


def check_trainable(
    frame: pd.DataFrame, plan: Plan, refusals: Mapping[str, str] | None = None
) -> None:
    """DataError saying what is needed, where the slices cannot be trained and tested on."""
    if not len(frame):
        raise DataError(f"{_subject(plan)}: the cohort has no slice of the kind it needs")
    protocol = "sound" if plan.split == "split_patient" else "paper"
    what = f"Cannot train on the {plan.region or 'whole'} cohort under the {protocol} protocol"
    words = (refusals or {}).get(protocol)
    if words or frame[plan.split].isna().any():
        raise DataError(f"{what}: {words or 'some slices are in no part of the split'}")
    parts = {"train": 4, "test": 1} | ({"validation": 1} if plan.stop == "validation" else {})
    for part, needed in parts.items():
        labels = frame.loc[frame[plan.split] == part, "label"]
        tumor, free = int((labels == 1).sum()), int((labels == 0).sum())
        if min(tumor, free) < needed:
            raise DataError(
                f"{what}: too few slices in its {part} part",
                found=f"{tumor} tumor and {free} no tumor",
                expected=f"at least {needed} of each",
            )


def _subject(plan: Plan) -> str:
    """What a cohort without a single fitting slice cannot have; the same for runs alike."""
    if plan.region:
        return f"No training on {plan.region} slices"
    return f"No label experiment (truth known, key slice or {experiments.NEAR_MM:g} mm from one)"


def fit(
    frame: pd.DataFrame,
    images: torch.Tensor,
    plan: Plan,
    settings: Settings,
    where: Path | str,
    identity: dict[str, Any],
    weights: dict[str, torch.Tensor] | None = None,
) -> dict[str, Any]:
    """Train on `frame` (slice_id, label, the plan's split) and `images`; return the run's record.

    where: the run's folder; identity: a dict with name ("<protocol>-<run>"), seed and whatever
    else tells this run from others. A finished run with the same fingerprint is returned as it
    is, a started one is resumed, and anything else in the folder is trained anew.
    """
    identity = identity | {"settings": asdict(settings), "plan": asdict(plan)}
    known = frame.columns.intersection(["slice_id", "label", "boxes", plan.split])
    mark = runs.fingerprint(identity, frame[known], images)
    if record := runs.finished(where, mark):
        return record
    keep_buffers()
    own = settings.own.opened(Path(where).parent)
    with several_processes() as (rank, world), repeatable():
        opened = replace(settings, own=own)
        state = Fit(frame, images, plan, opened, identity["seed"], rank, world, weights)
        tensors, facts = runs.load_checkpoint(where, mark)
        if tensors is not None and facts is not None:
            state.resume(tensors, facts)
        run_epochs(state, where, mark)
        if rank == 0:
            runs.finish(where, *results(state, identity, mark))
    return runs.finished(where, mark)  # type: ignore[return-value]  # just written


def run_epochs(state: Fit, where: Path | str, mark: str) -> None:
    """Train until the state says it is done, with a checkpoint after every epoch."""

    def save() -> None:
        move_on(bar, state)
        if state.rank == 0:
            tensors, facts = state.checkpoint()
            runs.save_checkpoint(where, tensors, facts | {"fingerprint": mark})

    with progress(state) as bar, Ahead(state) as ahead:
        while state.ended is None:
            ahead.begin()
            state.run_epoch(bar)
            save()
            if ahead.take(bar):
                save()


def results(
    state: Fit, identity: dict[str, Any], mark: str
) -> tuple[dict[str, torch.Tensor], pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """(weights, history, predictions, record) of a finished training."""
    protocol, run = experiments.part_of_study(identity["name"])
    who = {"protocol": protocol, "run": run, "seed": identity["seed"]}
    predictions = state.predictions().assign(**who)
    wrong = predictions["predicted"].to_numpy() != state.labels.numpy()
    counts = {
        f"{kind}_{part}": int(rows.sum())
        for part in ("train", "validation", "test")
        for kind, rows in (
            ("n", predictions["split"] == part),
            ("wrong", wrong & (predictions["split"] == part)),
        )
    }
    record = who | counts | facts_of(state) | identity | {"fingerprint": mark}
    return state.best, pd.DataFrame(state.history).assign(**who), predictions, record


def facts_of(state: Fit) -> dict[str, Any]:
    """How the run went, for model.json: network, stopping, speed, machine."""
    cpu = f"CPU, {torch.get_num_threads()} threads"
    own, place = state.settings.own, (state.kept["draw"], state.kept["epoch"])
    kept = next(row for row in state.history if (row["draw"], row["epoch"]) == place)
    return {
        "architecture": own.said if own.own else state.settings.architecture,
        "network": getattr(state.network, "facts", None),
        "image_size": state.images.shape[-1],
        "window": state.plan.window,
        "parameters": sum(p.numel() for p in state.network.parameters()),
        "draws": state.draw + 1,
        "kept_draw": state.kept["draw"],
        "kept_epoch": state.kept["epoch"],
        "epochs": len(state.history),
        "planned": state.planned,
        "extended": state.extended,
        "ended": state.ended,
        "underfits": state.underfits,
        "still_falling": state.still_falling,
        "train_error": kept["train_error"],
        "seconds": state.seconds,
        "device": cpu if state.device.type == "cpu" else torch.cuda.get_device_name(),
        "precision": precision(state.device, state.settings.precision),
        "torch": torch.__version__,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `camreader train`."""
    parser.add_argument("--data", default="data", help="folder of cohorts/ and runs/")
    parser.add_argument("--cohort", default="phantom")
    parser.add_argument("--protocol", default="paper", help="paper, sound, lung, liver, leakage")
    parser.add_argument("--run", default="final", help=f"known runs: {', '.join(PLANS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--may-refuse",
        action="store_true",
        help="a run the cohort cannot support is recorded in model.json and is no failure",
    )
    description.add_arguments(parser)
    for field in NUMBERS:
        flag = "--" + field.name.replace("_", "-")
        kind = _flag if isinstance(field.default, bool) else type(field.default)
        parser.add_argument(flag, type=kind, default=field.default)


def _flag(text: str) -> bool:
    """True or False as YAML and Python write them."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def run(options: argparse.Namespace) -> None:
    """Train one run of the study."""
    name = f"{options.protocol}-{options.run}"
    if name not in PLANS:
        raise DataError("Unknown run", found=name, expected=", ".join(PLANS))
    settings = Settings(**{field.name: getattr(options, field.name) for field in NUMBERS})
    settings = replace(settings, own=description.from_options(options))
    study = Study(options.data, options.cohort)
    try:
        record = train(study, name, options.seed, settings)
    except DataError as error:
        if not options.may_refuse:
            raise
        runs.refuse(runs.folder(study, name, options.seed), name, options.seed, str(error))
        print(error)
        return
    print(f"{name}: {runs.ending(record)}; {record['wrong_test']} of {record['n_test']} wrong")
