"""A reading of one hospital is never shown as another's, whatever both are called."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from slices_fixture import write_png

from camreader import cohorts
from camreader.common.errors import DataError
from camreader.common.storage import read_table, write_json, write_table
from camreader.common.study import Study
from camreader.reader_study import study as study_readings
from camreader.session import belonging, prepare
from camreader.session.log import ReadingLog
from camreader.session.plan import Plan
from camreader.session.simulate import simulate_readings, through_log

PLAN = Plan(cases=8, readers=1, training_cases=0, design="sequential")


def slices(folder, seed, count=12):
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        place = folder / ("tumor" if number % 2 else "no_tumor") / f"{number:02d}.png"
        write_png(place, rng.integers(-1000, 1000, (32, 32)))
    return folder


def ingest(study, folder, **options):
    """01_ingest on a folder, under one and the same name."""
    frame, card = cohorts.load(folder, **options)
    frame, card = cohorts.bring_in(frame, card, study.cohort_folder / "source")
    cohorts.ingest(frame, card["source"], study.pixels, 16, progress=False)
    card["identity"] = cohorts.identity(frame, np.load(study.pixels))
    write_table(frame, study.cohort_table)
    study.save_card(card | {"name": "images"})


def set_up(study):
    cohort = read_table(study.cohort_table).head(8)
    chosen = cohort[["slice_id"]].assign(truth=cohort["label"].astype(int), predicted=1)
    chosen = chosen.assign(probability=0.9, training=False)
    images = [cohorts.pixels.read_hu(Path(study.card["source"]) / p) for p in cohort["image_path"]]
    card = {"name": "images", "title": study.card["title"], "identity": study.card["identity"]}
    card |= {"unit": "grey", "window": [128, 255], "notes": [], "model": "m", "synthetic": False}
    card["label_rule"] = "folder"
    prepare.write_study(study.readings, chosen, images, np.ones((8, 16, 16)) / 2, PLAN, card)
    return study.readings


def read(study):
    """One reader answers every case."""
    design = prepare.Design.load(study.readings)
    log = ReadingLog(study.readings / "readings.sqlite", design.study)
    log.append("enrolled", "Ann", payload={"slot": 1})
    answer = {"diagnosis": "tumor", "confidence": 3}
    for case in (row["case"] for row in design.card["cases"]):
        log.append("locked", "Ann", case, "sequential", answer)
        log.append("revised", "Ann", case, "sequential", answer | {"helpfulness": "no"})


@pytest.fixture
def study(tmp_path):
    study = Study(str(tmp_path / "data"), "images", str(tmp_path / "reports"))
    ingest(study, slices(tmp_path / "siteA" / "images", seed=1))
    set_up(study)
    read(study)
    return study


def test_readings_stay_those_of_their_cohort(study, tmp_path):
    assert "images" in study_readings.load("", study).source
    belonging.check(study, study.readings)
    ingest(study, slices(tmp_path / "siteB" / "images", seed=2))  # ids and labels are the same
    for ask in (
        lambda: study_readings.load("", study),
        lambda: study_readings.load(study.readings / "readings.sqlite", study),
        lambda: prepare.keep_or_set_up(study, PLAN, study.readings / "readings.sqlite"),
    ):
        with pytest.raises(DataError, match=r"another cohort.*8 of 8 cases.*COHORT"):
            ask()


def test_a_cohort_split_anew_keeps_its_readings_and_one_labelled_anew_does_not(study, tmp_path):
    before = study.card["identity"]
    folder = tmp_path / "siteA" / "images"
    ingest(study, folder, seed=5, test_share=0.4)
    assert study.card["identity"] != before
    assert not study_readings.load("", study).simulated  # every case is as it was read
    table = read_table(study.cohort_table)
    table.loc[2, "label"] = 1 - table.loc[2, "label"]
    write_table(table, study.cohort_table)
    with pytest.raises(DataError, match="1 of 8 cases"):
        study_readings.load("", study)


def test_one_picture_replaced_under_its_name_is_seen(study, tmp_path):
    folder = tmp_path / "siteA" / "images"
    write_png(folder / "no_tumor" / "00.png", np.full((32, 32), 7))
    ingest(study, folder)
    with pytest.raises(DataError, match="1 of 8 cases"):
        study_readings.load("", study)


def test_a_rehearsal_of_another_cohort_is_not_used(tmp_path):
    study = Study(str(tmp_path / "data"), "images", str(tmp_path / "reports"))
    pool = pd.DataFrame({"slice_id": [f"own_{k:06d}" for k in range(1, 11)], "truth": [0, 1] * 5})
    pool = pool.assign(probability=0.5, predicted=1, patient="")
    through_log(simulate_readings(2, 8, 0, pool), study.readings / "simulated.sqlite")
    write_json({"title": "own"}, study.cohort_folder / "cohort.json")
    cohort = pool[["slice_id"]].assign(label=pool["truth"], truth=pd.NA)
    write_table(cohort, study.cohort_table)
    assert "simulated.sqlite" in study_readings.load("", study).source
    write_table(cohort.assign(label=1 - cohort["label"]), study.cohort_table)
    found = study_readings.load("", study)
    assert "simulated.sqlite" not in found.source and "another cohort" in found.flags[0]
