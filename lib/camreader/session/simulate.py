"""A reading session that nobody held: readings drawn from a model, marked as simulated.

The reader study can be rehearsed, and its figures understood, before the first radiologist sits
down. Simulated answers take the way of real ones, through a reading log in which every event says
`simulated`; they are evidence about nothing but the software.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path
from camreader.session.log import ReadingLog
from camreader.session.questions import ANSWERS, FIRST, QUESTIONS, Question, for_stages, score
from camreader.session.stages import named
from camreader.session.tidy import load_tidy

SKILL = (1.3, 0.25)  # distance of the classes for a reader, in SDs: mean and SD over readers
CASE_SD, READING_SD, BIAS_SD = 0.6, 0.6, 0.3  # shared by readers; own; a reader's threshold
TRUST = (0.2, 0.6)  # how far full CNN evidence moves a reader, lowest and highest
CUTS = (0.25, 0.6, 1.0, 1.5)  # belief needed for a confidence of 2, 3, 4, 5
CNN_EVIDENCE = (1.2, 1.16)  # mean and SD for the made-up network: right in 85 % of cases
SECONDS = {"unaided": 32.0, "aided": 13.0}  # median time of a practised reader
EXTRA = (  # a simulated event may say these
    "truth", "cnn_prediction", "score", "patient", "cnn_probability", "arm", "period", "map",
    "map_hit", "region",
)  # fmt: skip


def simulate_readings(
    readers: int = 6, cases: int = 60, seed: int = 0, predictions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Tidy readings of a sequential study (unaided, then with the heat-map), two rows per case.

    `predictions` is a table slice_id, truth, probability, predicted (and patient, where known) of
    real slices and a real network; without it both are made up. Half of the cases are diseased
    where there are enough. Returns a DataFrame with the tidy columns that an analysis needs, in
    the order of answering; `simulated` is True in every row.
    """
    rng = np.random.default_rng(seed)
    known = _made_up_cases(cases, rng) if predictions is None else _draw(predictions, cases, rng)
    difficulty = rng.normal(0, CASE_SD, len(known))
    tables = [_one_reader(f"R{k + 1}", known, difficulty, rng) for k in range(readers)]
    return _answer_others(pd.concat(tables, ignore_index=True), seed)


def _made_up_cases(cases: int, rng: np.random.Generator) -> pd.DataFrame:
    truth = (np.arange(cases) < cases // 2).astype(int)
    evidence = (2 * truth - 1) * rng.normal(*CNN_EVIDENCE, cases)
    names = [f"simulated case {k + 1:03d}" for k in range(cases)]
    table = {"slice_id": names, "truth": truth, "probability": special.expit(5 * evidence)}
    return pd.DataFrame(table).assign(predicted=(evidence > 0).astype(int))


def _draw(predictions: pd.DataFrame, cases: int, rng: np.random.Generator) -> pd.DataFrame:
    """At most `cases` rows, half of them diseased where possible."""
    groups = [predictions[predictions["truth"] == k] for k in (1, 0)]
    diseased = min(len(groups[0]), max(cases // 2, cases - len(groups[1])))
    chosen = [
        group.sample(min(n, len(group)), random_state=int(rng.integers(2**31)))
        for group, n in zip(groups, (diseased, cases - diseased), strict=True)
    ]
    return pd.concat(chosen, ignore_index=True)


def _one_reader(
    name: str, cases: pd.DataFrame, difficulty: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    n = len(cases)
    truth = cases["truth"].to_numpy()
    separation = (truth - 0.5) * rng.normal(*SKILL)
    unaided = separation + difficulty + rng.normal(0, READING_SD, n) + rng.normal(0, BIAS_SD)
    logit = special.logit(cases["probability"].clip(0.01, 0.99).to_numpy())
    aided = unaided + np.clip(logit / 3, -1, 1) * rng.uniform(*TRUST) + rng.normal(0, 0.2, n)
    order = rng.permutation(n) + 1
    cnn = cases["predicted"].to_numpy()
    known = pd.DataFrame({"case": cases["slice_id"], "truth": truth, "order": order})
    known = known.assign(reader=name, cnn_prediction=cnn, simulated=True)
    if "patient" in cases:
        known["patient"] = cases["patient"]
    tables = []
    for modality, belief in (("unaided", unaided), ("aided", aided)):
        answers = _answers(belief, rng) | {"seconds": _seconds(modality, order, rng)}
        tables.append(known.assign(modality=modality, **answers))
    tables[0]["helpfulness"] = ""
    tables[1]["helpfulness"] = _helpfulness((unaided > 0) == (cnn == 1), rng)
    return pd.concat(tables).sort_values("order", kind="stable")


def _answers(belief: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Diagnosis, confidence 1..5 and score 1..10 from a reader's belief (0 = undecided)."""
    confidence = 1 + np.searchsorted(CUTS, np.abs(belief))
    tumor = belief > 0
    other = ~tumor & (rng.random(len(belief)) < 0.08)  # seen something, but not a tumor
    diagnosis = np.where(tumor, "tumor", np.where(other, "other", "no tumor"))
    found = {"diagnosis": diagnosis, "confidence": confidence}
    return found | {"score": score(diagnosis, confidence)}


def _seconds(modality: str, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log-normal times: longer for the first cases (learning), a little for the last (fatigue)."""
    pace = 1 + 0.6 * np.exp(-order / 10) + 0.1 * order / order.max()
    return np.round(SECONDS[modality] * pace * np.exp(rng.normal(0, 0.35, len(order))), 1)


def _helpfulness(agrees: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """ "Helpful" mostly means "it agreed with me", as in the published readings."""
    draws = rng.random(len(agrees))
    yes, some = np.where(agrees, 0.65, 0.2), np.where(agrees, 0.9, 0.55)
    return np.where(draws < yes, "yes", np.where(draws < some, "some", "no"))


def _answer_others(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Whatever else readers are asked, answered at random: a rehearsal needs an answer."""
    rng = np.random.default_rng([seed, 1])
    for question in for_stages(QUESTIONS, named(frame["modality"].unique())):
        if question.name not in FIRST and question.kind != "text":
            answers = pd.Series([_at_random(question, rng) for _ in frame.index], dtype=object)
            frame[question.name] = answers.where(frame["modality"].isin(question.stages), None)
    return frame


def _at_random(question: Question, rng: np.random.Generator) -> Any:
    if question.options:
        return question.values[rng.integers(len(question.options))]
    steps = round((question.high - question.low) / question.step)
    return question.low + question.step * int(rng.integers(steps + 1))


# ---- through a log ----


def through_log(frame: pd.DataFrame, path: str | Path, study: str = "simulated") -> pd.DataFrame:
    """Send simulated tidy answers through a log of their own, built anew at `path`; load them.

    What comes back is what the log says, and every row says `simulated`. DataError where `path`
    is a log of real readings: it is not replaced.
    """
    path = Path(path)
    earlier = ReadingLog(path, None, readonly=True).events() if path.exists() else ()
    if not all(event["simulated"] for event in earlier):
        raise DataError("This log holds readings of real readers and is not replaced", file=path)
    with atomic_path(path) as temporary:
        log = ReadingLog(temporary, study, simulated=True)
        replay(frame, log)
        log.close()
        for leftover in ("-wal", "-shm"):  # of the log that is replaced
            path.with_name(path.name + leftover).unlink(missing_ok=True)
    return load_tidy(path)


def replay(frame: pd.DataFrame, log: ReadingLog) -> None:
    """Write tidy answers, row by row, into a log that marks its events as simulated.

    frame: DataFrame with the tidy columns in the order of answering; cells that are missing stay
    missing, and seconds stand in for missing milliseconds. ValueError for a log of real readings.
    """
    if not log.simulated:
        raise ValueError("Simulated answers may only go into a log opened with simulated=True")
    for slot, reader in enumerate(frame["reader"].drop_duplicates(), start=1):
        log.append("enrolled", reader, payload={"slot": slot})
    names = [*(q.name for q in QUESTIONS if q.kind != "text"), "milliseconds", *EXTRA]
    for row in frame.astype(object).to_dict("records"):
        stage, payload = row["modality"], _payload(row, names)
        kind = ANSWERS.get(stage, "answered")
        if kind == "answered":
            payload |= {"stage": stage, "period": payload.get("period", 1)}
        log.append(kind, row["reader"], str(row["case"]), stage, payload)


def _payload(row: dict, names: list[str]) -> dict:
    known = {name: _plain(row[name]) for name in names if not _missing(row.get(name))}
    if "milliseconds" not in known and not _missing(row.get("seconds")):
        known["milliseconds"] = round(1000 * float(row["seconds"]))
    return known


def _missing(value: Any) -> bool:
    return value is None or value == "" or bool(pd.isna(value))


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
