"""Setting up a reading: the cases drawn, their secrets sealed, the design stored.

`prepare` does the work in a process of its own, so that the notebook that calls it (and any
reader sitting at it) never holds a label, an answer of the network or a heat-map.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from camreader.cohorts import pixels, windows
from camreader.common.errors import DataError
from camreader.common.storage import atomic_path, read_json, read_table, write_json
from camreader.common.study import Study
from camreader.common.tables import Cohort, Predictions
from camreader.session import sealed
from camreader.session.database import log_address, place, sqlite_file
from camreader.session.log import LogError, ReadingLog
from camreader.session.plan import Plan, choose_cases, reading_orders
from camreader.session.progress import Design
from camreader.session.simulate import simulate_readings
from camreader.session.tidy import through_log

RUNS = ("sound-final", "paper-final")  # the network whose help is tested: the first one trained


def write_study(folder, chosen, images, maps, plan, card):
    """Write a reading's folder: images, sealed envelopes and, last, design.json; return Design.

    chosen: DataFrame[slice_id, truth, predicted, probability, training] in the order of case
    numbers. images: int16 HU (H, W), one per row. maps: (N, S, S) floats 0..1. card: what the
    page may say (title, model, notes ...). The folder needs nothing else: copied alone to a
    reading workstation it holds no cohort and no predictions.
    """
    folder = Path(folder)
    _clear(folder)
    cases = chosen.assign(case=[f"C{n:03d}" for n in range(1, len(chosen) + 1)])
    for case, image in zip(cases["case"], images, strict=True):
        with atomic_path(folder / "images" / f"{case}.npy") as temporary:
            np.save(temporary, np.asarray(image, np.int16), allow_pickle=False)
    contents = {
        row.case: {
            "truth": int(row.truth),
            "cnn_prediction": int(row.predicted),
            "cnn_probability": round(float(row.probability), 4),
            "slice_id": row.slice_id,
            **sealed.pack_map(heat),
        }
        for row, heat in zip(cases.itertuples(), maps, strict=True)
    }
    sealed.write_envelopes(folder, contents)
    orders = reading_orders(cases, plan)
    design = card | {
        "study": f"{card['name']}-{_mark(plan, contents, orders)}",
        "plan": asdict(plan),
        "washout_days": plan.washout_days if plan.design == "crossover" else 0,
        "cases": cases[["case", "training"]].to_dict("records"),
        "orders": orders,
    }
    write_json(design, folder / "design.json")
    return Design.load(folder)


def _clear(folder):
    """Take an earlier set-up away, the design first: half a study must not look like one.

    Asked here once more, because a reader may have begun while the new maps were drawn.
    """
    if (folder / "design.json").exists() and (where := Design.load(folder).begun):
        raise DataError(f"Somebody has begun to read, so the design stays ({where})", file=folder)
    (folder / "design.json").unlink(missing_ok=True)
    for part in ("images", "sealed"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _mark(plan, contents, orders):
    facts = json.dumps([asdict(plan), contents, orders], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:12]


def candidates(study, run, seed=0):
    """Test slices of one network with what it said of them: the pool cases are chosen from."""
    predictions = read_table(study.runs / "predictions.parquet", Predictions)
    runs = predictions["protocol"] + "-" + predictions["run"]
    mine = predictions[(runs == run) & (predictions["seed"] == seed)]
    cohort = read_table(study.cohort_table, Cohort).reset_index(names="row")
    frame = mine[mine["split"] == "test"].merge(cohort, on="slice_id")
    frame["truth"] = frame["truth"].fillna(frame["label"]).astype(int)
    names = ["row", "slice_id", "patient_id", "image_path", "truth", "predicted", "probability"]
    return frame[names]


def find_run(study, seed=0):
    """Name of the network to read with: the sound one, else the paper's; DataError if none."""
    for run in RUNS:
        record = study.runs / f"{run}-seed{seed}" / "model.json"  # a refused run has one too
        if record.exists() and read_json(record).get("finished"):
            return run
    raise DataError(
        "No trained network to read with; `make report` or notebook 02 trains it",
        file=study.runs,
        expected=" or ".join(RUNS),
    )


def set_up(study, plan, seed_of_run=0):
    """Choose, draw maps, seal and write the study's reading; needs torch. Returns Design."""
    plan.check()
    run = find_run(study, seed_of_run)
    chosen, notes = choose_cases(candidates(study, run, seed_of_run), plan)
    if not len(chosen):
        raise DataError("No test slice to read", file=study.runs / "predictions.parquet")
    maps, record = _draw(study, run, seed_of_run, chosen)
    images, shown = _full_resolution(study, chosen, record["plan"]["window"])
    facts = study.card
    card = {name: facts[name] for name in ("name", "title", "synthetic", "label_rule")} | shown
    card |= {"notes": notes, "model": f"{run}-seed{seed_of_run} {record['fingerprint'][:12]}"}
    return write_study(study.readings, chosen, images, maps, plan, card)


def _draw(study, run, seed, chosen):
    """Grad-CAM maps (N, S, S) of the chosen slices, and the record of the network explained."""
    from camreader.heatmaps.gradcam import grad_cam
    from camreader.training import runs  # brings torch, slow to import; only this process needs it

    model, record = runs.load_model(runs.folder(study, run, seed))
    hu = pixels.load(study.pixels, read_table(study.cohort_table, Cohort))
    rows = np.asarray(hu[chosen["row"].to_numpy()])
    window = windows.window_for(study.card, record["plan"]["window"])
    return grad_cam(model, windows.model_input(rows, *window)), record


def _full_resolution(study, chosen, window):
    """Slices as the reader sees them, and the unit and window they open with."""
    card = study.card
    images = [pixels.read_hu(Path(card["source"]) / path) for path in chosen["image_path"]]
    shown = {"unit": windows.unit_of(card), "window": list(windows.window_for(card, window))}
    return images, shown


def rehearse(study, plan, seed_of_run=0):
    """Invented readings of the plan's size, in a log of their own in which all say `simulated`.

    They are of test slices under their slice names, so that they tell nothing of the cases.
    """
    known = candidates(study, find_run(study, seed_of_run), seed_of_run)
    frame = simulate_readings(plan.readers, plan.cases, plan.seed, known)
    return through_log(frame, study.readings / "simulated.sqlite")


def prepare_reading(study, plan, database=""):
    """The study's Design, set up now in a process of its own unless it already is.

    Until somebody has read, invented readings (simulated.sqlite) stand ready for a rehearsal of
    the analysis. From then on the study keeps its design, in whatever database it is read;
    DataError, in words, if another plan is then asked for.
    """
    plan.check()
    arguments = ["--data", study.data, "--cohort", study.cohort, "--reports", study.reports]
    command = [sys.executable, "-m", "camreader.session.prepare", *arguments]
    done = subprocess.run(
        [*command, "--plan", json.dumps(asdict(plan)), "--database", str(database)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(f"The reading could not be set up: {last.removeprefix('DataError: ')}")
    return Design.load(study.readings)


def main(arguments=None):
    """Command line of `prepare`: set the reading up, or keep what has been read by."""
    parser = argparse.ArgumentParser(
        prog="python -m camreader.session.prepare", description=__doc__
    )
    for name in ("data", "cohort", "reports", "plan", "database"):
        parser.add_argument(f"--{name}", default="")
    options = parser.parse_args(arguments)
    study, plan = (
        Study(options.data, options.cohort, options.reports),
        Plan(**json.loads(options.plan)),
    )
    try:
        keep_or_set_up(study, plan, log_address(study.readings, options.database))
    except (DataError, LogError) as error:
        raise SystemExit(f"DataError: {error}") from None


def keep_or_set_up(study, plan, database):
    """Set up anew unless somebody has begun to read; refuse another plan from then on."""
    if where := _begun(study.readings, database):
        stored = Plan(**Design.load(study.readings).card["plan"])
        if stored != plan:
            raise DataError(
                f"Readings exist ({where}), so the design stays; for another design use another "
                "cohort name or move the folder of the readings away",
                file=study.readings,
                found=plan,
                expected=stored,
            )
        return
    set_up(study, plan)
    rehearse(study, plan)


def _begun(folder, database):
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
