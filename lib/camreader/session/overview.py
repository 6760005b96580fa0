"""A reading as it was set up, in tables and sentences that reveal no case."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from camreader.session.progress import Design


def cases_table(design: Design) -> pd.DataFrame:
    """The cases without their truth: case, practice, rows, columns, and each reader's position.

    position_<n> is where reader n meets the case for the first time (1, 2, ...).
    """
    if design.refused:
        return pd.DataFrame(columns=["case", "practice", "rows", "columns"])
    frame = pd.DataFrame(design.card["cases"]).rename(columns={"training": "practice"})
    shapes = [np.load(design.image_path(case), mmap_mode="r").shape for case in frame["case"]]
    frame["rows"], frame["columns"] = zip(*shapes, strict=True)
    for slot in design.slots:
        first: dict[str, int] = {}
        for position, step in enumerate(design.steps(slot), start=1):
            first.setdefault(step.case, position)
        frame[f"position_{slot}"] = frame["case"].map(first)
    return frame


def facts(design: Design) -> Iterator[str]:
    """The protocol in a few lines."""
    if design.refused:
        yield f"{design.refused}."
        return
    plan, cases = design.card["plan"], pd.DataFrame(design.card["cases"])
    crossover = f"once without, once with the heat-map, {plan['washout_days']:g} days apart"
    how = {"sequential": "each case first unaided, then with the heat-map", "crossover": crossover}
    if design.banner:
        yield f"{design.banner}."
    yield f"study:    {design.study}"
    yield f"network:  {design.card['model']}"
    yield f"cases:    {(~cases['training']).sum()} to read, {cases['training'].sum()} for practice"
    yield "balance:  half of the cases with a tumor, if there are enough"
    yield f"enriched: the network is wrong in {plan['error_share']:.0%}, if it makes enough errors"
    yield f"design:   {plan['design']}, {how[plan['design']]}"
    yield f"asks for: {', '.join(question.name for question in design.questions)}"
    yield f"readers:  {plan['readers']}; seed {plan['seed']}"


def finding(design: Design, progress: pd.DataFrame) -> Iterator[str]:
    """Sentences: what was set up, what fell short, and how far the readers are.

    progress: from `tidy.progress`.
    """
    if design.refused:
        yield f"{design.refused}."
        return
    if design.banner:
        yield f"{design.banner}."
    cases = sum(not entry["training"] for entry in design.card["cases"])
    readers = len(design.slots)
    steps = len(design.steps(design.slots[0]))
    yield (
        f"{readers} reader{'s' * (readers > 1)} will read {cases} cases ({steps} stops each, "
        f"practice included), each in an individual random order."
    )
    yield from (f"{note}." for note in design.card["notes"])
    if progress.empty:
        yield "Nobody has read yet: notebook 08 shows simulated readings, marked as such."
        return
    done = int((progress["stage"] == "finished").sum())
    yield (
        f"{len(progress)} of {readers} readers have begun and {done} have finished; "
        f"{int(progress['answered'].sum())} stops are stored. The design can no longer be changed."
    )
