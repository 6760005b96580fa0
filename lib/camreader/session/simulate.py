"""A reading session that nobody held: readings drawn from a model, marked as simulated.

The reader study can be rehearsed, and its figures understood, before the first radiologist sits
down. Simulated answers take the way of real ones, through a reading log in which every event says
`simulated`; they are evidence about nothing but the software.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path
from camreader.session import invented
from camreader.session.log import ReadingLog
from camreader.session.questions import (
    ANSWERS,
    FIRST,
    PROFILE,
    QUESTIONS,
    SLIDERS,
    Question,
    for_stages,
    score,
)
from camreader.session.reader_model import (
    ERROR_SHARE,
    Effects,
    Readers,
    confidence_of,
    made_up_cases,
)
from camreader.session.stages import PRESETS, Paradigm, Stage, named
from camreader.session.tidy import load_tidy

SECONDS = {"first": 32.0, "later": 13.0}  # median time of a practised reader, by look at a case
MOST_YEARS = 25  # of a simulated reader's experience
FACTS = ("truth", "cnn_prediction", "cnn_probability", "score", "patient", "region")
EXTRA = (*FACTS, "arm", "period", "map", "map_hit", *SLIDERS, "marks", "places")  # it may say these
STEP = ["_reader", "_case", "_period", "_place", "_look"]  # where a reading stands; not exported


def simulate_readings(
    readers: int = 6,
    cases: int = 60,
    seed: int = 0,
    predictions: pd.DataFrame | None = None,
    paradigm: Paradigm | None = None,
    effects: Effects | None = None,
    error_share: float = ERROR_SHARE,
) -> pd.DataFrame:
    """Tidy readings of a study as `paradigm` has it read (None: sequential, two rows per case).

    `predictions` is a table slice_id, truth, probability, predicted (and patient, region, map_hit,
    where known) of real slices and a real network; without it both are made up, with errors of the
    network in `error_share` of the cases. Half of the cases are diseased where there are enough.
    `effects`: what each thing shown does (None: the defaults of `Effects`). Returns a DataFrame
    with the tidy columns that an analysis needs, in the order of answering; `simulated` is True
    in every row.
    """
    rng = np.random.default_rng(seed)
    paradigm = PRESETS["sequential"] if paradigm is None else paradigm
    paradigm.check()
    if predictions is None:
        known = made_up_cases(cases, rng, error_share)
    else:
        known = _draw(predictions, cases, rng)
    drawn = Readers(readers, known, effects or Effects(), rng)
    arms = assignment(paradigm, known["truth"].to_numpy(), readers, rng)
    places = np.stack(
        [[rng.permutation(len(known)) for _ in range(paradigm.periods)] for _ in range(readers)]
    )
    tables = [
        _rows(drawn, looked, (arms == a), places, (a, k, arm.name), rng)
        for a, arm in enumerate(paradigm.arms)
        for k, looked in enumerate(drawn.beliefs(arm))
    ]
    return _answer_others(_joined(tables, known, readers, rng), seed)


def assignment(
    paradigm: Paradigm, truth: np.ndarray, readers: int, rng: np.random.Generator
) -> np.ndarray:
    """Number of the arm under which reader r reads case c in period p, (R, N, periods).

    Balanced: groups of cases, each with its share of either class, go round the arms from reader
    to reader and from period to period (a Latin square); readers are spread evenly over arms.
    """
    arms, periods = len(paradigm.arms), paradigm.periods
    found = np.zeros((readers, len(truth), periods), int)
    if paradigm.assign == "readers":
        found += (rng.permutation(readers) % arms)[:, None, None]
    elif paradigm.assign != "within":
        group = np.zeros(len(truth), int)
        for k in (0, 1):
            own = np.flatnonzero(truth == k)
            group[own] = rng.permutation(len(own)) % arms
        turn = np.arange(readers)[:, None] + np.arange(periods)
        found = (group[None, :, None] + turn[:, None, :]) % arms
    return found


def _draw(predictions: pd.DataFrame, cases: int, rng: np.random.Generator) -> pd.DataFrame:
    """At most `cases` rows, half of them diseased where possible."""
    groups = [predictions[predictions["truth"] == k] for k in (1, 0)]
    diseased = min(len(groups[0]), max(cases // 2, cases - len(groups[1])))
    chosen = [
        group.sample(min(n, len(group)), random_state=int(rng.integers(2**31)))
        for group, n in zip(groups, (diseased, cases - diseased), strict=True)
    ]
    return pd.concat(chosen, ignore_index=True)


def _rows(
    drawn: Readers,
    looked: tuple[Stage, np.ndarray, np.ndarray],
    read: np.ndarray,
    places: np.ndarray,
    where: tuple[int, int, str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """One stage of one arm: a row per reading; read (R, N, P) bool, places (R, P, N)."""
    (stage, belief, hit), (_, look, arm) = looked, where
    r, c, p = np.nonzero(read)
    place = places[r, p, c]
    table = pd.DataFrame(dict(zip(STEP, (r, c, p, place, look), strict=True)))
    agrees = (belief[r, c] > 0) == (drawn.cases["predicted"].to_numpy()[c] == 1)
    table = table.assign(modality=stage.name, arm=arm, period=p + 1, **_answers(belief[r, c], rng))
    shown = "map" in stage.shows
    helped = _helpfulness(agrees, rng) if stage.shows else np.full(len(table), "")
    seconds = _seconds(look, place + 1, drawn.shape[1], rng)
    table = table.assign(seconds=seconds, helpfulness=helped, map=stage.map if shown else "")
    return table.assign(map_hit=hit[c], **_sliders(len(table), shown, rng))


def _joined(
    tables: list[pd.DataFrame], cases: pd.DataFrame, readers: int, rng: np.random.Generator
) -> pd.DataFrame:
    """All stages in the order of answering, with what is known of case and reader."""
    frame = pd.concat(tables, ignore_index=True)
    frame = frame.sort_values(["_reader", "_period", "_place", "_look"], ignore_index=True)
    c = frame["_case"].to_numpy()
    names = {"case": "slice_id", "truth": "truth", "cnn_prediction": "predicted"}
    names |= {"cnn_probability": "probability", "patient": "patient", "region": "region"}
    for column, name in names.items():
        if name in cases:
            frame[column] = cases[name].to_numpy()[c]
    years = rng.integers(1, MOST_YEARS + 1, readers)
    frame["reader"] = "R" + (frame["_reader"] + 1).astype(str)
    frame["reader_years"] = years[frame["_reader"]]
    frame["order"] = frame.groupby(["reader", "modality"]).cumcount() + 1
    return frame.drop(columns=STEP).assign(simulated=True)


def _answers(belief: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Diagnosis, confidence 1..5 and score 1..10 from a reader's belief (0 = undecided)."""
    confidence = confidence_of(belief)
    tumor = belief > 0
    other = ~tumor & (rng.random(len(belief)) < 0.08)  # seen something, but not a tumor
    diagnosis = np.where(tumor, "tumor", np.where(other, "other", "no tumor"))
    found = {"diagnosis": diagnosis, "confidence": confidence}
    return found | {"score": score(diagnosis, confidence)}


def _seconds(look: int, place: np.ndarray, cases: int, rng: np.random.Generator) -> np.ndarray:
    """Log-normal times: longer for the first cases (learning), a little for the last (fatigue)."""
    pace = 1 + 0.6 * np.exp(-place / 10) + 0.1 * place / cases
    median = SECONDS["later" if look else "first"]
    return np.round(median * pace * np.exp(rng.normal(0, 0.35, len(place))), 1)


def _sliders(rows: int, shown: bool, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """How the map was looked at: opacity and threshold, missing where there was none."""
    if not shown:
        return dict.fromkeys(SLIDERS, np.full(rows, np.nan))
    changes = rng.poisson(1.2, rows).astype(float)
    last = np.where(changes > 0, np.round(rng.beta(2, 2, rows), 2), 0.5)
    most = np.where(changes > 0, np.round(last + (1 - last) * rng.random(rows), 2), 0.5)
    threshold = np.where(rng.random(rows) < 0.3, np.round(rng.random(rows), 2), 0.0)
    return dict(zip(SLIDERS, (changes, last, most, threshold), strict=True))


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

    What comes back is what the log says, and every row says `simulated`; digests of the answers
    stay beside it, for files that lose the word. DataError where `path`
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
    found = load_tidy(path)
    invented.register(path.parent, found)
    return found


def replay(frame: pd.DataFrame, log: ReadingLog) -> None:
    """Write tidy answers, row by row, into a log that marks its events as simulated.

    frame: DataFrame with the tidy columns in the order of answering; cells that are missing stay
    missing, and seconds stand in for missing milliseconds. ValueError for a log of real readings.
    """
    if not log.simulated:
        raise ValueError("Simulated answers may only go into a log opened with simulated=True")
    profile = [name for name in frame if str(name).startswith(PROFILE)]
    people = frame.drop_duplicates("reader").astype(object)
    for slot, person in enumerate(people.to_dict("records"), start=1):
        said = {n.removeprefix(PROFILE): _plain(person[n]) for n in profile}
        payload = {"slot": slot} | ({"profile": said} if said else {})
        log.append("enrolled", person["reader"], payload=payload)
    names = [*(q.name for q in QUESTIONS if q.kind != "text"), "milliseconds", *EXTRA]
    seen: set[tuple] = set()
    for row in frame.astype(object).to_dict("records"):
        stage, payload = row["modality"], _payload(row, names)
        place = row["reader"], row["case"], stage
        kind = "answered" if place in seen else ANSWERS.get(stage, "answered")
        seen.add(place)
        if kind == "answered":
            payload |= {"stage": stage, "period": payload.get("period", 1)}
        log.append(kind, row["reader"], str(row["case"]), stage, payload)


def _payload(row: dict, names: list[str]) -> dict:
    known = {name: _plain(row[name]) for name in names if not _missing(row.get(name))}
    if "milliseconds" not in known and not _missing(row.get("seconds")):
        known["milliseconds"] = round(1000 * float(row["seconds"]))
    return known


def _missing(value: Any) -> bool:
    if isinstance(value, list | dict):
        return False
    return value is None or value == "" or bool(pd.isna(value))


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
