"""A network that is used as it is: asked about every slice once, and nothing is trained.

It has not seen these slices, as far as anybody says, so all of them are its test set; where the
data came with a split of their own, it is the test part. It is recorded as the final run of the
sound protocol where patients are known (its intervals are then by patient), else of the paper's.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from camreader.cohorts import pixels, windows
from camreader.common.errors import DataError
from camreader.common.storage import read_table, write_table
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.training import results, runs
from camreader.training.compute import device
from camreader.training.description import Description
from camreader.training.experiments import YOURS, Ended, Plan, Settings, part_of_study
from camreader.training.own_networks import OwnNetwork, ready

NOTHING = "Nothing is trained: the network is used as it is"
BATCH = 32


def take(study: Study, name: str, plan: Plan, settings: Settings, seed: int) -> dict[str, Any]:
    """Ask the network about every slice unless that is done; return the run's record, a dict.

    settings: with its `own` description settled. DataError for every run but the one final one.
    """
    frame = read_table(study.cohort_table, Cohort)
    final = "sound-final" if frame["patient_id"].notna().all() else "paper-final"
    if name in YOURS.values():  # notebook 09 asks it beside the study's own network
        final = name
    if name != final:
        once = f"; it is tested once, as {final}" if name.endswith("-final") else ""
        raise DataError(NOTHING + (once if name in ("paper-final", "sound-final") else ""))
    if not settings.own.own:
        raise DataError("TRAIN: use needs a NETWORK", expected="NETWORK under 02_train")
    window = windows.window_for(study.card, plan.window)
    hu = pixels.load(study.pixels, frame)
    images = torch.from_numpy(windows.model_input(np.asarray(hu), *window))
    identity = {"name": name, "seed": seed, "settings": asdict(settings), "plan": asdict(plan)}
    mark = runs.fingerprint(identity, frame[["slice_id", "label", plan.split]], images)
    where = runs.folder(study, name, seed)
    if record := runs.finished(where, mark):
        return record
    began = time.perf_counter()
    protocol, run = part_of_study(name)
    who: dict[str, Any] = {"protocol": protocol, "run": run, "seed": seed}
    answers, weights, facts = _asked(study, settings.own.opened(study.runs), images, frame, where)
    answers = answers.assign(split=_parts(study, frame)).assign(**who)
    facts |= {"window": plan.window, "image_size": images.shape[-1]} | _not_trained()
    facts["seconds"] = time.perf_counter() - began
    record = who | _counts(answers, frame) | facts | identity | {"fingerprint": mark}
    history = pd.DataFrame(columns=["draw", "epoch", *who])  # no epoch
    runs.finish(where, weights, history, answers, record)
    return runs.finished(where, mark)  # type: ignore[return-value]  # just written


def _asked(
    study: Study, own: Description, images: torch.Tensor, frame: pd.DataFrame, where: Path
) -> tuple[pd.DataFrame, dict[str, torch.Tensor], dict[str, Any]]:
    """(answers, weights, facts for the record) of a network, or of the results it left.

    What a run keeps beside these is written to its folder `where`: maps, or several classes.
    """
    facts: dict[str, Any] = {"architecture": own.said, "parameters": 0, "network": None}
    if own.kind == "results":
        return results.take(study, own, frame, where), {}, facts
    network = ready(own, images.shape[-1], images)
    answers, classes = _answers(network, images, frame)
    if classes is not None:
        write_table(classes, where / "classes.parquet")
    facts["network"] = network.facts
    facts["parameters"] = sum(p.numel() for p in network.parameters())
    return answers, network.state_dict(), facts


def _not_trained() -> dict[str, Any]:
    """What the record of a training says, for one that did not happen."""
    zero = dict.fromkeys(("kept_draw", "kept_epoch", "epochs", "planned", "extended"), 0)
    said = {"ended": Ended.USED, "train_error": None, "device": "", "precision": "float32"}
    flags = {"underfits": False, "still_falling": False}
    return zero | {"draws": 1} | said | flags | {"torch": torch.__version__}


def _parts(study: Study, frame: pd.DataFrame) -> pd.Series:
    """The part each slice plays: that of a split that came with the data, else all are tested."""
    if study.card.get("own_split"):
        return frame["official_split"]
    return pd.Series("test", frame.index)


@torch.no_grad()
def _answers(
    network: OwnNetwork, images: torch.Tensor, frame: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """(predictions of every slice, probabilities of each of several classes or None)."""
    place = device()
    network.eval().to(place)
    parts = [
        network.raw(images[i : i + BATCH].to(place)).cpu() for i in range(0, len(images), BATCH)
    ]
    outputs = torch.cat(parts).double()
    network.cpu()
    if not outputs.isfinite().all():
        row = int((~outputs.isfinite()).any(1).nonzero()[0])
        words = "The network answers with values that are not finite (NaN or infinite)"
        raise DataError(words, row=frame["slice_id"].iloc[row])
    two = network.two(outputs)
    logits = (two if two.ndim == 1 else two[:, 1] - two[:, 0]).numpy()
    answers = pd.DataFrame({"slice_id": frame["slice_id"], "logit": logits})
    answers["probability"] = 1 / (1 + np.exp(-logits))
    answers["predicted"] = (logits > 0).astype(int)
    if outputs.shape[1] < 3:
        return answers, None
    shares = pd.DataFrame(
        outputs.softmax(1).numpy(), columns=class_names(network.description, outputs.shape[1])
    )
    return answers, pd.concat([frame[["slice_id"]], shares], axis=1)


def class_names(description: Description, outputs: int) -> list[str]:
    """Names of a network's outputs: OUTPUTS, else "class 0", "class 1", ..."""
    return list(description.outputs) or [f"class {number}" for number in range(outputs)]


def _counts(answers: pd.DataFrame, frame: pd.DataFrame) -> dict[str, int]:
    """How many slices each part has, and how many of them are answered wrong by their label."""
    wrong = answers["predicted"].to_numpy() != frame["label"].to_numpy()
    return {
        f"{kind}_{part}": int(rows.sum())
        for part in ("train", "validation", "test")
        for kind, rows in (
            ("n", (answers["split"] == part).to_numpy()),
            ("wrong", wrong & (answers["split"] == part).to_numpy()),
        )
    }
