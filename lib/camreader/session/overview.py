"""A reading as it was set up, in tables and sentences that give no case away."""

import numpy as np
import pandas as pd


def cases_table(design):
    """The cases without their truth: case, practice, rows, columns, and each reader's position.

    position_<n> is where reader n meets the case for the first time (1, 2, ...).
    """
    frame = pd.DataFrame(design.card["cases"]).rename(columns={"training": "practice"})
    shapes = [np.load(design.image_path(case), mmap_mode="r").shape for case in frame["case"]]
    frame["rows"], frame["columns"] = zip(*shapes, strict=True)
    for slot in design.slots:
        first = {}
        for position, step in enumerate(design.steps(slot), start=1):
            first.setdefault(step.case, position)
        frame[f"position_{slot}"] = frame["case"].map(first)
    return frame


def facts(design):
    """What a reader of the study's protocol asks, one line each."""
    plan, cases = design.card["plan"], pd.DataFrame(design.card["cases"])
    crossover = f"once without, once with the heat-map, {plan['washout_days']:g} days between"
    how = {"sequential": "each case unaided, then with the heat-map", "crossover": crossover}
    yield f"study:    {design.study}"
    yield f"network:  {design.card['model']}"
    yield f"cases:    {(~cases['training']).sum()} to read, {cases['training'].sum()} for practice"
    yield "balance:  half of the cases hold a tumor, as far as there are"
    yield f"enriched: the network is wrong in {plan['error_share']:.0%}, as far as it makes errors"
    yield f"design:   {plan['design']}, {how[plan['design']]}"
    yield f"readers:  {plan['readers']}; seed {plan['seed']}"


def finding(design, progress):
    """Sentences: what was set up, what fell short, and how far the readers are."""
    cases = sum(not entry["training"] for entry in design.card["cases"])
    readers = len(design.slots)
    steps = len(design.steps(design.slots[0]))
    yield (
        f"{readers} reader{'s' * (readers > 1)} will read {cases} cases ({steps} stops each, "
        f"practice included), each in an order of their own."
    )
    yield from (f"{note}." for note in design.card["notes"])
    if progress.empty:
        yield "Nobody has read yet: what notebook 08 shows is simulated, and says so."
        return
    done = int((progress["stage"] == "finished").sum())
    yield (
        f"{len(progress)} of {readers} readers have begun and {done} have finished; "
        f"{int(progress['answered'].sum())} stops are stored. The design stays as it is."
    )
