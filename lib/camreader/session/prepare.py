"""Setting up a reading: cases drawn, their answers sealed, the design stored.

`prepare` does the work in a process of its own, so that the notebook that calls it (and any
reader sitting at it) never holds a label, an answer of the network or a heat-map.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.cohorts import pixels, windows
from camreader.common.errors import DataError
from camreader.common.storage import atomic_path, digest, read_table, write_json
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.session import questions, sealed
from camreader.session.database import log_address, place, sqlite_file
from camreader.session.log import LogError, ReadingLog
from camreader.session.plan import Plan, choose_cases, patient_codes, reading_orders
from camreader.session.progress import Design
from camreader.session.simulate import simulate_readings, through_log
from camreader.training import predictions
from camreader.training.learned import Learned, worth_explaining


def write_study(
    folder: str | Path,
    chosen: pd.DataFrame,
    images: Iterable[np.ndarray],
    maps: Iterable[np.ndarray],
    plan: Plan,
    card: dict,
) -> Design:
    """Write a reading's folder: images, sealed envelopes and, last, design.json; return Design.

    chosen: DataFrame[slice_id, truth, predicted, probability, training] and, where known,
    patient_id, in the order of case numbers. images: int16 HU (H, W), one per row. maps:
    (N, S, S) floats 0..1. card: what the page may say (title, model, notes ...). The folder needs
    nothing else: copied alone to a
    reading workstation it holds no cohort and no predictions.
    """
    folder, asked = Path(folder), questions.QUESTIONS
    questions.check_questions(asked)
    _clear(folder)
    cases = chosen.assign(case=[f"C{n:03d}" for n in range(1, len(chosen) + 1)])
    cases["patient"] = patient_codes(cases)
    for case, image in zip(cases["case"], images, strict=True):
        with atomic_path(folder / "images" / f"{case}.npy") as temporary:
            np.save(temporary, np.asarray(image, np.int16), allow_pickle=False)
    contents = _contents(cases, maps)
    sealed.write_envelopes(folder, contents)
    orders = reading_orders(cases, plan)
    design = card | {
        "study": f"{card['name']}-{_fingerprint(plan, contents, orders, asked)}",
        "plan": asdict(plan),
        "questions": [asdict(question) for question in asked],
        "washout_days": plan.washout_days if plan.design == "crossover" else 0,
        "cases": cases[["case", "training"]].to_dict("records"),
        "orders": orders,
    }
    write_json(design, folder / "design.json")
    return Design.load(folder)


def _contents(cases: pd.DataFrame, maps: Iterable[np.ndarray]) -> dict[str, dict]:
    """{case: what is sealed of it}."""
    return {
        str(row["case"]): {
            "truth": int(row["truth"]),
            "cnn_prediction": int(row["predicted"]),
            "cnn_probability": round(float(row["probability"]), 4),
            "slice_id": row["slice_id"],
            "patient": row["patient"],
            **sealed.pack_map(heat),
        }
        for row, heat in zip(cases.to_dict("records"), maps, strict=True)
    }


def _clear(folder: Path) -> None:
    """Take an earlier set-up away, the design first: half a study must not look like one.

    Asked here once more, because a reader may have begun while the new maps were drawn.
    """
    if (folder / "design.json").exists() and (where := Design.load(folder).begun):
        raise DataError(
            f"A reader has begun, so the design cannot be changed ({where})", file=folder
        )
    (folder / "design.json").unlink(missing_ok=True)
    for part in ("images", "sealed"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _fingerprint(
    plan: Plan, contents: dict, orders: dict, asked: Iterable[questions.Question]
) -> str:
    parts = [asdict(plan), contents, orders, [asdict(question) for question in asked]]
    return digest(json.dumps(parts, sort_keys=True))[:12]


def candidates(study: Study, run: str, seed: int = 0) -> pd.DataFrame:
    """Test slices of one network with what it said of them: the pool cases are chosen from."""
    table = predictions.load(study)
    cohort = read_table(study.cohort_table, Cohort)
    protocol, name = run.split("-", 1)
    frame = predictions.test_slices(table, cohort, protocol, name, seed)
    names = ["row", "slice_id", "patient_id", "image_path", "truth", "predicted", "probability"]
    return frame[names]


def find_run(study: Study, seed: int = 0) -> str:
    """Name of the network to read with: the sound one, else the paper's; DataError if none."""
    return f"{predictions.final_protocol(predictions.load(study), seed=seed)}-final"


def set_up(study: Study, plan: Plan, seed_of_run: int = 0, force: bool = False) -> Design:
    """Choose, draw maps, seal and write the study's reading; needs torch. Returns Design.

    A network that is not worth explaining (learned.worth_explaining) is refused: the Design then
    holds no case and says why. With `force` it is read all the same, under its banner.
    """
    plan.check()
    run = find_run(study, seed_of_run)
    judged = worth_explaining(study, run, seed_of_run)
    if not (judged.worth or force):
        return refuse(study, plan, judged)
    chosen, notes = choose_cases(candidates(study, run, seed_of_run), plan)
    if not len(chosen):
        raise DataError("No test slice to read", file=study.runs / "predictions.parquet")
    maps, record = _draw(study, run, seed_of_run, chosen)
    images, shown = _full_resolution(study, chosen, record["plan"]["window"])
    facts = study.card
    card = {name: facts[name] for name in ("name", "title", "synthetic", "label_rule")} | shown
    card |= {"notes": notes, "model": f"{run}-seed{seed_of_run} {record['fingerprint'][:12]}"}
    card |= {"banner": judged.banner}
    return write_study(study.readings, chosen, images, maps, plan, card)


def refuse(study: Study, plan: Plan, judged: Learned) -> Design:
    """Write a design without cases that says why this network is not to be read with."""
    folder = study.readings
    _clear(folder)
    words = (
        f"No reading is set up. {judged.banner}. What readers would be shown explains nothing; "
        "train longer (EPOCHS), look at the labels, or set FORCE_UNLEARNED: true for 07"
    )
    card = {"name": study.card["name"], "title": study.card["title"], "refused": words}
    card |= {"study": f"{card['name']}-refused", "plan": asdict(plan), "washout_days": 0}
    card |= {"cases": [], "orders": {}, "notes": [], "model": judged.run, "banner": judged.banner}
    write_json(card, folder / "design.json")
    return Design.load(folder)


def _draw(study: Study, run: str, seed: int, chosen: pd.DataFrame) -> tuple[np.ndarray, dict]:
    """Maps (N, S, S) of the chosen slices, and the record of the network explained.

    Grad-CAM's of its decisions; where only a network's results were given, the maps among them.
    """
    import torch

    from camreader.heatmaps.gradcam import grad_cam
    from camreader.training import results, runs  # bring torch, slow to import; only needed here

    model, record = runs.network_of(study, run, seed)
    if model is None:
        kept = results.maps_of(runs.folder(study, run, seed))
        return kept[chosen["row"].to_numpy()].astype(np.float32), record
    hu = pixels.load(study.pixels, read_table(study.cohort_table, Cohort))
    rows = np.asarray(hu[chosen["row"].to_numpy()])
    window = windows.window_for(study.card, record["plan"]["window"])
    images = torch.from_numpy(windows.model_input(rows, *window))
    return grad_cam(model, images), record


def _full_resolution(
    study: Study, chosen: pd.DataFrame, window: str
) -> tuple[list[np.ndarray], dict]:
    """Slices as the reader sees them, and the unit and window they open with."""
    card = study.card
    images = [pixels.read_hu(Path(card["source"]) / path) for path in chosen["image_path"]]
    shown = {"unit": windows.unit_of(card), "window": list(windows.window_for(card, window))}
    return images, shown


def rehearse(study: Study, plan: Plan, seed_of_run: int = 0) -> pd.DataFrame:
    """Invented readings of the plan's size, in a log of their own in which all say `simulated`.

    They are of test slices under their slice names, chosen as the plan chooses (as many errors of
    the network, patients spread) by another seed, so that they tell nothing of the cases.
    """
    pool = candidates(study, find_run(study, seed_of_run), seed_of_run)
    known, _ = choose_cases(pool, replace(plan, seed=plan.seed + 1, training_cases=0))
    known["patient"] = patient_codes(known)
    frame = simulate_readings(plan.readers, len(known), plan.seed, known)
    return through_log(frame, study.readings / "simulated.sqlite")


def prepare_reading(study: Study, plan: Plan, database: str = "", force: bool = False) -> Design:
    """The study's Design, set up now in a process of its own unless it already is.

    force: also with a network that did not learn; without it such a Design is refused (`set_up`).

    Until somebody has read, invented readings (simulated.sqlite) stand ready for a rehearsal of
    the analysis. From then on the study keeps its design, in whatever database it is read;
    DataError, in words, if another plan is then asked for.
    """
    plan.check()
    arguments = ["--data", study.data, "--cohort", study.cohort, "--reports", study.reports]
    command = [sys.executable, "-m", "camreader.session.prepare", *arguments]
    done = subprocess.run(
        [*command, "--plan", json.dumps(asdict(plan)), "--database", str(database)]
        + ["--force"] * force,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(f"The reading could not be set up: {last.removeprefix('DataError: ')}")
    return Design.load(study.readings)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of `prepare`: set the reading up, or keep what has been read by."""
    parser = argparse.ArgumentParser(
        prog="python -m camreader.session.prepare", description=__doc__
    )
    for name in ("data", "cohort", "reports", "plan", "database"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--force", action="store_true", help="even a network that did not learn")
    options = parser.parse_args(arguments)
    study, plan = (
        Study(options.data, options.cohort, options.reports),
        Plan(**json.loads(options.plan)),
    )
    try:
        database = log_address(study.readings, options.database)
        keep_or_set_up(study, plan, database, options.force)
    except (DataError, LogError) as error:
        raise SystemExit(f"DataError: {error}") from None


def keep_or_set_up(study: Study, plan: Plan, database: str | Path, force: bool = False) -> None:
    """Set up anew unless somebody has begun to read; refuse another plan from then on."""
    if where := _begun(study.readings, database):
        stored = Plan(**Design.load(study.readings).card["plan"])
        if stored != plan:
            raise DataError(
                f"Readings exist ({where}), so the design cannot be changed; for another design "
                "use another cohort name or move the folder of the readings away",
                file=study.readings,
                found=plan,
                expected=stored,
            )
        return
    set_up(study, plan, force=force)
    rehearse(study, plan)


def _begun(folder: Path, database: str | Path) -> str | None:
    """Where readings of the design in `folder` are, in words: noted beside it, or in `database`."""
    if not (folder / "design.json").exists():
        return None
    design, file = Design.load(folder), sqlite_file(database)
    if design.begun or (file is not None and not file.exists()):
        return design.begun
    try:
        events = ReadingLog(database, design.study, readonly=True).events()
    except LogError as error:
        raise DataError(str(error)) from None
    return None if all(event["simulated"] for event in events) else place(database)


if __name__ == "__main__":
    main()
