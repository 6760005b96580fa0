"""A reading as it was set up, in tables and sentences that reveal no case."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from camreader.session import protocol
from camreader.session.marks import MODES, rule_in_words
from camreader.session.plan import Plan
from camreader.session.progress import Design
from camreader.session.stages import ASSIGN


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
    plan, cases = Plan(**design.card["plan"]), pd.DataFrame(design.card["cases"])
    paradigm, missed = design.paradigm, plan.errors
    if design.banner:
        yield f"{design.banner}."
    yield f"study:    {design.study}"
    yield f"network:  {design.card['model']}"
    yield f"cases:    {(~cases['training']).sum()} to read, {cases['training'].sum()} for practice"
    yield f"balance:  {plan.prevalence:.0%} of the cases with the finding, if there are enough"
    yield from [f"spread:   evenly over {plan.strata}, where it is known"] * bool(plan.strata)
    yield f"enriched: {missed[0]} false negatives, {missed[1]} false positives asked for"
    yield f"design:   {paradigm.name}: {ASSIGN[paradigm.assign]}"
    for arm in paradigm.arms:
        steps = [f"{stage.name} ({', '.join(stage.shows) or 'nothing'})" for stage in arm.stages]
        yield f"          {arm.name}: {', then '.join(steps)}"
    yield f"sealed:   {protocol.quoted(design.folder) or 'no protocol'}"
    yield from (f"changed:  {words}" for words in design.protocol_changes)
    yield f"primary:  {paradigm.contrast[0]} minus {paradigm.contrast[1]} (AUC)"
    yield f"shows:    {paradigm.can}" if paradigm.can else "shows:    what its stages differ in"
    yield f"not:      {paradigm.cannot}" if paradigm.cannot else "not:      what no stage varies"
    yield f"asks for: {', '.join(question.name for question in design.questions)}"
    if plan.stack:
        yield f"stacks:   up to {plan.stack} slices above and below the key slice"
    if plan.marks:
        yield f"marks:    {MODES[plan.marks]}; accepted {rule_in_words(plan.marks_within_mm)}"
    yield f"readers:  {plan.readers}; seed {plan.seed}"


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
    if words := protocol.quoted(design.folder):
        first, second = design.paradigm.contrast
        yield f"Primary contrast: {first} minus {second}, AUC ({words})."
    yield from (f"Changed after the first answer: {words}." for words in design.protocol_changes)
    yield from (f"{note}." for note in design.card["notes"])
    if progress.empty:
        yield "Nobody has read yet: notebook 08 shows simulated readings, marked as such."
        return
    done = int((progress["stage"] == "finished").sum())
    yield (
        f"{len(progress)} of {readers} readers have begun and {done} have finished; "
        f"{int(progress['answered'].sum())} stops are stored. The design can no longer be changed."
    )
