"""Setting up a reading: cases drawn, their answers sealed, the design stored.

`prepare` does the work in a process of its own, so that the notebook that calls it (and any
reader sitting at it) never holds a label, an answer of the network or a heat-map.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.cohorts import classes, pixels, windows
from camreader.common import crate
from camreader.common.errors import DataError
from camreader.common.storage import atomic_path, digest, read_table, write_json
from camreader.common.study import Study
from camreader.common.tables import Cohort
from camreader.session import belonging, lesions, protocol, sealed, stacks
from camreader.session.database import log_address, place, sqlite_file
from camreader.session.log import LogError, ReadingLog
from camreader.session.plan import Plan, choose_cases, patient_codes, reading_orders
from camreader.session.progress import Design
from camreader.session.questions import (
    QUESTIONS,
    Question,
    check_profile,
    check_questions,
    configured,
    for_stages,
)
from camreader.session.simulate import simulate_readings, through_log
from camreader.session.simulate_marks import place_marks
from camreader.session.stages import DEFAULT, OTHER_CASE, Paradigm, as_stored
from camreader.training import predictions
from camreader.training.learned import Learned, worth_explaining


def write_study(
    folder: str | Path,
    chosen: pd.DataFrame,
    images: Iterable[np.ndarray],
    maps: Mapping[str, np.ndarray] | np.ndarray,
    plan: Plan,
    card: dict,
    questions: Sequence[Question] = QUESTIONS,
) -> Design:
    """Write a reading's folder: images, sealed envelopes and, last, design.json; return Design.

    chosen: DataFrame[slice_id, truth, predicted, probability, training] and, where known,
    patient_id, region, spacing_mm, lesions (`lesions.of_cases`), stack (`stacks.of_cases`) and a
    column `hit <map>` per map, in the order of case numbers. images:
    int16 HU (H, W), one per row. maps: {name in the stages: (N, S, S) floats 0..1}, or those of
    "gradcam" alone. card: what the page may say (title, model, notes ...). The folder needs
    nothing else: copied alone to a reading workstation it holds no cohort and no predictions.
    """
    folder, paradigm = Path(folder), plan.paradigm
    check_questions(questions, paradigm, plan.score_question)
    asked = for_stages(questions, paradigm.stages)
    maps = maps if isinstance(maps, Mapping) else {"gradcam": maps}
    _clear(folder)
    cases = chosen.assign(case=[f"C{n:03d}" for n in range(1, len(chosen) + 1)])
    cases["patient"] = patient_codes(cases)
    for case, image in zip(cases["case"], images, strict=True):
        with atomic_path(folder / "images" / f"{case}.npy") as temporary:
            np.save(temporary, np.asarray(image, np.int16), allow_pickle=False)
    for row in cases.to_dict("records"):
        if (stack := row.get("stack")) is not None:
            with atomic_path(folder / "stacks" / f"{row['case']}.npy") as temporary:
                np.save(temporary, stack.images, allow_pickle=False)
    contents = _facts(cases) | _shown(cases, maps, paradigm)
    sealed.write_envelopes(folder, contents)
    orders = reading_orders(cases, plan)
    design = card | {
        "study": f"{card['name']}-{_fingerprint(plan, contents, orders, asked)}",
        "plan": asdict(plan),
        "paradigm": as_stored(paradigm),
        "questions": [asdict(question) for question in asked],
        "washout_days": plan.washout_days if paradigm.periods > 1 else 0,
        "cases": [_told_of_case(row) for row in cases.to_dict("records")],
        "orders": orders,
    }
    write_json(design, folder / "design.json")
    protocol.write(folder, design)
    return Design.load(folder)


def _told_of_case(row: Mapping) -> dict:
    """What the page may know of a case: practice or not, the size of its pixels, clinical text."""
    spacing = row.get("spacing_mm")
    known = {} if spacing is None or pd.isna(spacing) else {"spacing_mm": float(spacing)}
    if (stack := row.get("stack")) is not None:
        known |= {"key": stack.key, "slices": len(stack.images), "step_mm": stack.step_mm}
    known |= {"clinical_text": row["clinical_text"]} if row.get("clinical_text") else {}
    return {"case": row["case"], "training": bool(row["training"]), **known}


def _facts(cases: pd.DataFrame) -> dict[str, dict]:
    """{case: its facts, for the analysis}: hits {map: whether its maximum lies on the lesion}."""
    found = {}
    for row in cases.to_dict("records"):
        hits = {name[4:]: row[name] for name in row if str(name).startswith("hit ")}
        found[str(row["case"])] = {
            "truth": int(row["truth"]),
            **_answer(row),
            "slice_id": row["slice_id"],
            "patient": row["patient"],
            "region": row.get("region") or "",
            **({"lesions": row["lesions"]} if "lesions" in row else {}),
            **({"clinical_text": row["clinical_text"]} if row.get("clinical_text") else {}),
            "hits": {name: None if pd.isna(hit) else bool(hit) for name, hit in hits.items()},
        }
    return found


def _answer(row: dict) -> dict:
    return {
        "cnn_prediction": int(row["predicted"]),
        "cnn_probability": round(float(row["probability"]), 4),
    }


def _shown(
    cases: pd.DataFrame, maps: Mapping[str, np.ndarray], paradigm: Paradigm
) -> dict[str, dict]:
    """{"<case>.<stage>": what the stage shows of the case}, of stages that show something."""
    found = {}
    for number, row in enumerate(cases.to_dict("records")):
        for name, stage in paradigm.stages.items():
            all_of = _answer(row) | {"text": stage.text}
            if "map" in stage.shows:
                all_of |= sealed.pack_map(maps[stage.map][number])
            shown = [item for part in stage.shows for item in sealed.ITEMS[part]]
            if shown:
                found[f"{row['case']}.{name}"] = {item: all_of[item] for item in shown}
    return found


def _clear(folder: Path) -> None:
    """Take an earlier set-up away, the design first: half a study must not look like one.

    Asked here once more, because a reader may have begun while the new maps were drawn.
    """
    if (folder / "design.json").exists() and (where := Design.load(folder).begun):
        raise DataError(
            f"A reader has begun, so the design cannot be changed ({where})", file=folder
        )
    for name in ("design.json", protocol.FILE, crate.FILE):
        (folder / name).unlink(missing_ok=True)
    for part in ("images", "stacks", "sealed"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _fingerprint(plan: Plan, contents: dict, orders: dict, asked: Iterable[Question]) -> str:
    parts = [asdict(plan), contents, orders, [asdict(question) for question in asked]]
    parts.append(as_stored(plan.paradigm))
    return digest(json.dumps(parts, sort_keys=True))[:12]


def candidates(study: Study, run: str, seed: int = 0) -> pd.DataFrame:
    """Test slices of one network with what it said of them: the pool cases are chosen from."""
    table = predictions.load(study)
    from camreader.evaluation.protocols import with_conspicuity  # its room loads torch

    cohort = with_conspicuity(read_table(study.cohort_table, Cohort), study.card)
    protocol, name = run.split("-", 1)
    frame = predictions.test_slices(table, cohort, protocol, name, seed)
    names = ["row", "slice_id", "patient_id", "image_path", "truth", "predicted", "probability"]
    frame = frame.assign(size=frame["diameter_mm"])
    if "conspicuity" not in frame:
        frame = frame.assign(conspicuity=frame["contrast_hu"].abs())
    names += ["region", "size", "conspicuity", "boxes", "width", "height", "spacing_mm"]
    return frame[names + [name for name in ("clinical_text", "level") if name in frame]]


def find_run(study: Study, seed: int = 0) -> str:
    """Name of the network to read with: the sound one, else the paper's; DataError if none."""
    return f"{predictions.final_protocol(predictions.load(study), seed=seed)}-final"


def set_up(
    study: Study,
    plan: Plan,
    seed_of_run: int = 0,
    force: bool = False,
    questions: Sequence[Question] = QUESTIONS,
    profile: Sequence[Mapping] = (),
) -> Design:
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
    maps, record = _draw(study, run, seed_of_run, chosen, plan.paradigm)
    chosen = _with_hits(study, chosen, maps)
    chosen = chosen.assign(lesions=lesions.of_cases(chosen, study.card["source"]))
    if plan.stack:
        cohort = read_table(study.cohort_table, Cohort)
        own = chosen[["slice_id"]].merge(cohort, on="slice_id", how="left")
        chosen["stack"] = stacks.of_cases(own, cohort, study.card["source"], plan.stack)
    images, shown = _full_resolution(study, chosen, record["plan"]["window"])
    facts = study.card
    card = {name: facts[name] for name in ("name", "title", "synthetic", "label_rule")} | shown
    card["identity"] = facts.get("identity", "")
    card |= {"notes": notes, "model": f"{run}-seed{seed_of_run} {record['fingerprint'][:12]}"}
    card |= {"sides": stacks.sides(study.card["source"], chosen["image_path"].tolist())}
    card |= {"banner": judged.banner, "finding": classes.names(facts)[1]}
    card |= {"profile": [dict(field) for field in profile]}
    return write_study(study.readings, chosen, images, maps, plan, card, questions)


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


def _draw(
    study: Study, run: str, seed: int, chosen: pd.DataFrame, paradigm: Paradigm
) -> tuple[dict[str, np.ndarray], dict]:
    """({name of a map in the stages: maps (N, S, S)}, the record of the network explained).

    A map is the evidence for the finding, whatever the network decided. Where only a network's
    results were given, the maps among them stand for any method.
    """
    import torch

    from camreader.heatmaps import methods
    from camreader.training import results, runs  # bring torch, slow to import; only needed here

    model, record = runs.network_of(study, run, seed)
    if model is None:
        kept = results.maps_of(runs.folder(study, run, seed))[chosen["row"].to_numpy()]
        given = kept.astype(np.float32)
        images = torch.zeros(len(given), 1, *given.shape[1:])
    else:
        hu = pixels.load(study.pixels, read_table(study.cohort_table, Cohort))
        rows = np.asarray(hu[chosen["row"].to_numpy()])
        window = windows.window_for(study.card, record["plan"]["window"])
        images = torch.from_numpy(windows.model_input(rows, *window))

    def maps_of(name: str) -> np.ndarray:
        if model is None and name not in methods.baselines():
            return given
        return methods.compute(name, model, images, 1)

    wanted = {stage.map for stage in paradigm.stages.values() if "map" in stage.shows}
    drawn = {name: maps_of(name) for name in wanted - {OTHER_CASE}}
    if OTHER_CASE in wanted:
        own = drawn["gradcam"] if "gradcam" in drawn else maps_of("gradcam")
        drawn[OTHER_CASE] = own[_others(chosen["predicted"].to_numpy())]
    return drawn, record


def _others(predicted: np.ndarray) -> np.ndarray:
    """For each case the place of another one: the next with the same answer of the network, in a
    circle; where it is the only one, the next of all."""
    places = np.arange(len(predicted))
    other = np.roll(places, -1)
    for answer in (0, 1):
        alike = np.flatnonzero(predicted == answer)
        if len(alike) > 1:
            other[alike] = np.roll(alike, -1)
    return other


def _with_hits(study: Study, chosen: pd.DataFrame, maps: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The cases with a column `hit <map>`: whether its maximum lies on the lesion (exact mask,
    else box); missing where no lesion has a known place."""
    from camreader.heatmaps import cases, localisation

    size = next(iter(maps.values())).shape[1] if maps else 0
    truths = cases.truths(study, chosen, size) if maps else {}
    for name, heat in maps.items():
        lesion = truths.get("exact mask", truths["box"])
        known = lesion.any((1, 2)) & (chosen["truth"].to_numpy() == 1)
        hit = np.full(len(chosen), np.nan)
        if known.any():
            hit[known] = localisation.score(heat[known], lesion[known])["hit"] >= 0.5
        chosen = chosen.assign(**{f"hit {name}": hit})
    return chosen


def _full_resolution(
    study: Study, chosen: pd.DataFrame, window: str
) -> tuple[list[np.ndarray], dict]:
    """Slices as the reader sees them, and the unit and window they open with."""
    card = study.card
    images = [pixels.read_hu(Path(card["source"]) / path) for path in chosen["image_path"]]
    shown = {"unit": windows.unit_of(card), "window": list(windows.window_for(card, window))}
    shown["windows"] = card.get("windows", {})
    return images, shown


def rehearse(study: Study, plan: Plan, seed_of_run: int = 0) -> pd.DataFrame:
    """Invented readings of the plan's size, in a log of their own in which all say `simulated`.

    They are of test slices under their slice names, chosen as the plan chooses (as many errors of
    the network, patients spread) by another seed, so that they tell nothing of the cases.
    """
    pool = candidates(study, find_run(study, seed_of_run), seed_of_run)
    known, _ = choose_cases(pool, replace(plan, seed=plan.seed + 1, training_cases=0))
    known["patient"] = patient_codes(known)
    frame = simulate_readings(plan.readers, len(known), plan.seed, known, plan.paradigm)
    if plan.marks:
        known["lesions"] = lesions.of_cases(known, study.card["source"])
        frame = place_marks(frame, known, plan.marks, plan.seed, plan.marks_within_mm)
    return through_log(frame, study.readings / "simulated.sqlite")


def prepare_reading(
    study: Study,
    plan: Plan,
    database: str = "",
    force: bool = False,
    questions: Sequence[Mapping] = (),
    profile: Sequence[Mapping] = (),
    force_change: bool = False,
) -> Design:
    """The study's Design, set up now in a process of its own unless it already is.

    force: also with a network that did not learn; without it such a Design is refused (`set_up`).
    questions: added to the usual ones, or in the place of those of their name
    (`questions.configured`). profile: what readers are asked about themselves, a list of
    {"name", "prompt", "options"}. force_change: a margin or contrast that changed after the first
    answer is recorded in the sealed protocol's history; without it, it is refused.

    Until somebody has read, invented readings (simulated.sqlite) stand ready for a rehearsal of
    the analysis. From then on the study keeps its design, in whatever database it is read;
    DataError, in words, if another plan is then asked for.
    """
    plan.check()
    check_profile(profile)
    asked = configured(questions)
    check_questions(asked, plan.paradigm, plan.score_question)
    arguments = ["--data", study.data, "--cohort", study.cohort, "--reports", study.reports]
    command = [sys.executable, "-m", "camreader.session.prepare", *arguments]
    done = subprocess.run(
        [*command, "--plan", json.dumps(asdict(plan)), "--database", str(database)]
        + ["--asked", json.dumps({"questions": list(questions), "profile": list(profile)})]
        + ["--force"] * force
        + ["--force-change"] * force_change,
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
    for name in ("data", "cohort", "reports", "plan", "database", "asked"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--force-change", action="store_true", help="of margin or contrast")
    parser.add_argument("--force", action="store_true", help="even a network that did not learn")
    options = parser.parse_args(arguments)
    study, plan = (
        Study(options.data, options.cohort, options.reports),
        Plan(**json.loads(options.plan)),
    )
    try:
        database = log_address(study.readings, options.database)
        asked = json.loads(options.asked or "{}")
        asked["force_change"] = options.force_change
        keep_or_set_up(study, plan, database, options.force, **asked)
    except (DataError, LogError) as error:
        raise SystemExit(f"DataError: {error}") from None


def keep_or_set_up(
    study: Study,
    plan: Plan,
    database: str | Path,
    force: bool = False,
    questions: Sequence[Mapping] = (),
    profile: Sequence[Mapping] = (),
    force_change: bool = False,
) -> None:
    """Set up anew unless somebody has begun to read; refuse another plan from then on.

    A plan that names no design keeps that of the reading under way.
    """
    if where := _begun(study.readings, database):
        belonging.check(study, study.readings)
        design = Design.load(study.readings)
        stored = Plan(**design.card["plan"])
        plan = plan if plan.design else replace(plan, design=stored.design)
        changed = _analysis_only(stored, plan)
        if changed and force_change:
            return _change(design, plan, changed)
        if changed:
            words = f"The analysis was declared before the first answer: {changed}"
            expected = "the declared one, or FORCE_CHANGE: true, which the report will show"
            raise DataError(words, file=study.readings, expected=expected)
        if stored != plan:
            raise DataError(
                f"Readings exist ({where}), so the design cannot be changed; for another design "
                "use another cohort name or move the folder of the readings away",
                file=study.readings,
                found=plan,
                expected=stored,
            )
        return
    plan = plan if plan.design else replace(plan, design=DEFAULT)
    set_up(study, plan, force=force, questions=configured(questions), profile=profile)
    rehearse(study, plan)


def _analysis_only(stored: Plan, plan: Plan) -> str:
    """What differs of two plans that readers would read alike, in words; empty where they are the
    same, or where readers would meet something else."""
    old, new = stored.paradigm, plan.paradigm
    if replace(plan, design=stored.design, margin=stored.margin) != stored:
        return ""
    if replace(new, contrast=old.contrast) != old:
        return ""
    found = []
    if new.contrast != old.contrast:
        found.append(f"contrast {' minus '.join(old.contrast)} to {' minus '.join(new.contrast)}")
    if plan.margin != stored.margin:
        found.append(f"margin {stored.margin:g} to {plan.margin:g}")
    return "; ".join(found)


def _change(design: Design, plan: Plan, words: str) -> None:
    """Store another margin or contrast in the design, and in its protocol that it was changed."""
    card = design.card | {"plan": asdict(plan), "paradigm": as_stored(plan.paradigm)}
    write_json(card, design.folder / "design.json")
    protocol.amend(design.folder, card, words)


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
