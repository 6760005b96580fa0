"""`make paper`: a finished run as a manuscript, in PDF and as a Word file.

Nothing is measured here: every number is read from the study's tables, or stands in a sentence that
a notebook left. Simulated readings are left out: they are no result.
"""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camreader import __version__
from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.report import catalogue, provenance, summary
from camreader.report.paper_files import Block, write_pdf, write_word

TITLE = "Does a heat-map help a radiologist?"
READ = "08_reader_study"
SHOWN: dict[
    str, tuple[str, tuple[str, ...], dict[str, list[str]]]
] = {  # notebook: heading, its figures, its tables with the columns that are printed
    "01_ingest": ("Images", ("figure3_examples",), {}),
    "02_train": (
        "Training",
        ("02_curves",),
        {"02_runs": ["protocol", "run", "split", "epochs", "draws", "n_test", "wrong_test"]},
    ),
    "03_evaluate": (
        "Accuracy",
        ("03_roc",),
        {"03_metrics": ["protocol", "run", "metric", "value", "low", "high", "n", "interval"]},
    ),
    "04_gradcam": (
        "Heat-maps",
        ("figure6_overlays", "04_localisation", "04_faithfulness"),
        {"04_localisation": ["truth", "method", "n", "patients", "hit", "hit_low", "hit_high"]},
    ),
    "05_reader_results": ("The published readings", ("05_claims",), {"table3": []}),
    "06_region_subexperiment": ("Lung and liver", ("06_comparison",), {}),
    READ: ("Readers", ("08_auc_dots", "08_stepwise"), {"08_or": []}),
}
ROWS = {  # of long tables, those that are printed
    "03_metrics": "run == 'final' and metric in ('accuracy', 'sensitivity', 'specificity', 'auc')",
    "04_localisation": "kind == 'all' and hit == hit",
    "08_or": "covariance == 'jackknife'",
}
LIMITS = (
    "One network architecture and one small training recipe; another network needs another run.",
    "A right place of the map's maximum is not a reason of the network: see faithfulness.",
    "For research on reading and explanation. Not a medical device; not for diagnosis.",
)


def manuscript(study: Study) -> list[Block]:
    """The whole paper in order, from the tables and findings of a finished `make report`."""
    return [
        *_front(study),
        *_methods(study),
        Block("heading", "Results"),
        *(block for notebook in SHOWN for block in _part(study, notebook)),
        Block("heading", "Limitations"),
        Block("list", lines=tuple(_limits(study))),
        *_made(study),
        *_checklists(study),
    ]


def _front(study: Study) -> Iterator[Block]:
    yield Block("title", TITLE)
    yield Block("text", f"A run of camreader {__version__} on: {study.card['title']}.")
    yield Block("heading", "Abstract")
    readers, place, accuracy, facts, planning = summary.answer(study)
    yield Block(
        "text",
        "Background. “Grad-CAM heat-maps helping a radiologist” (Applied Sciences 2022, 12, 7748) "
        "showed one radiologist 16 heat-maps. Whether such maps help was not compared.",
    )
    yield Block(
        "text",
        f"Methods. {study.card['title']}; “no {study.card.get('finding', 'tumor')}” means: "
        f"{study.card['label_rule']}. A generic CNN was trained under the paper's protocol and "
        "with patients kept apart; Grad-CAM and its rivals were held against known lesions.",
    )
    yield Block("text", f"Results. {place} {accuracy} {facts}")
    yield Block("text", f"Conclusion. {readers} {planning}")


def _methods(study: Study) -> Iterator[Block]:
    card = study.card
    yield Block("heading", "Methods")
    if card["synthetic"]:
        yield Block(
            "text",
            "Every slice was drawn by a program. The numbers test the workbook; they say nothing "
            "about patients.",
        )
    runs = read_table(study.tables / "02_runs.csv")
    finished = runs[runs["status"] == "finished"]
    trained = [f"{r.run} ({r.split}, stopped {r.stopping_rule})" for r in finished.itertuples()]
    yield Block("text", f"Networks: {', '.join(trained) or 'none was trained here'}.")
    yield Block(
        "text",
        "Intervals are 95 %: Wilson's for slices, bootstrap or design effect over patients where "
        "slices of one repeat, Obuchowski-Rockette with Hillis's degrees of freedom for readers.",
    )


def _part(study: Study, notebook: str) -> Iterator[Block]:
    """One notebook's findings, figures and tables."""
    heading, figures, tables = SHOWN[notebook]
    if notebook == READ and summary.is_simulated(study):
        yield Block("heading", heading, 2)
        yield Block("text", "Nobody has read these cases; readings that a model made are left out.")
        return
    part = catalogue.PARTS[notebook]
    yield Block("heading", heading, 2)
    yield Block("list", lines=tuple(study.findings(notebook)))
    for name in figures:
        yield Block("figure", caption(part.figures[name]), name=name)
    for name, columns in tables.items():
        frame = read_table(study.tables / f"{name}.csv")
        frame = frame.query(ROWS[name]) if name in ROWS else frame
        if "truth" in columns:  # the better known one: exact masks before boxes
            frame = frame[frame["truth"] == frame["truth"].iloc[0]]
        known = [column for column in columns if column in frame] or list(frame.columns)
        yield Block("table", caption(part.tables[name]), table=frame[known], name=name)


def caption(words: str) -> str:
    """A caption of the report without the published paper's number, which is said at its end."""
    number = re.match(r"((?:Figure|Table) \d+)\. ", words)
    return f"{words[number.end() :]} {number[1]} of the published paper." if number else words


def _limits(study: Study) -> Iterator[str]:
    if study.card["synthetic"]:
        yield "Synthetic images: an accuracy here says how hard the phantom was made."
    for protocol, reason in study.card["refusals"].items():
        yield f"The {protocol} protocol was refused: {reason}."
    yield from LIMITS


def _made(study: Study) -> Iterator[Block]:
    yield Block("heading", "How this was made")
    known = provenance.commit()
    yield Block("text", f"camreader {__version__}{f', commit {known}' if known else ''}.")
    lines = (provenance.line(study, *item) for item in catalogue.PARTS.items())
    yield Block("list", lines=tuple(lines))


def _checklists(study: Study) -> Iterator[Block]:
    frame = read_table(study.tables / "08_checklist.csv")
    yield Block("heading", "Checklists")
    for guideline, items in frame.groupby("guideline", sort=False):
        shown = items[["item", "asks", "status", "where", "missing"]].fillna("")
        yield Block("table", str(guideline), table=shown, name="08_checklist")


def write(study: Study) -> list[Path]:
    """Write paper.pdf and paper.docx into the folder of reports; return the two files.

    DataError where there is no finished report.
    """
    folder = Path(study.reports)
    if not (folder / "index.html").exists():
        words = "No finished report to write a paper from"
        raise DataError(words, file=folder, expected="make report")
    blocks = manuscript(study)
    writers: dict[str, Any] = {"paper.pdf": write_pdf, "paper.docx": write_word}
    for name, writer in writers.items():
        writer(blocks, study.figures, folder / name)
    return [folder / name for name in writers]


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of `camreader paper`."""
    parser.add_argument("--data", default="data", help="folder of cohorts/, runs/ and readings/")
    parser.add_argument("--cohort", default="phantom")
    parser.add_argument("--reports", default="reports", help="where the finished report lies")


def run(options: Namespace) -> None:
    """Write the paper of a finished run."""
    for path in write(Study(options.data, options.cohort, options.reports)):
        print(path)
