"""The one page that leads to everything: reports/index.html, complete without a network.

Every string in it is escaped by the template engine; images and notebooks are linked by relative
address, so the folder can be carried to another machine as it is.
"""

import importlib.metadata
import platform
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pandas as pd
from markupsafe import Markup
from PIL import Image

from camreader import __version__
from camreader.common.configuration import parameter_values
from camreader.common.storage import atomic_path, read_json, read_table
from camreader.common.study import Study
from camreader.published import claims
from camreader.report import catalogue, provenance, summary
from camreader.report.catalogue import Part
from camreader.viewer import html

LONG_TABLE = 40  # rows shown on the page; the CSV has them all
DRAWN_DPI, SCREEN_DPI = (
    150,
    100,
)  # figures are saved at the first, their text is sized for the other
VIEWER = "04_gradcam"  # the notebook whose slice viewer comes to life on the page
SHOWN_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scikit-learn",
    "statsmodels",
    "captum",
)


def number(value: Any) -> str:
    """A table cell as a reader wants it: short floats, whole numbers whole, gaps as a dash."""
    if value is None or value is pd.NA or value != value:
        return "–"
    if isinstance(value, float):
        whole = abs(value) < 1e15 and value == int(value)  # infinity is no integer
        return f"{value:.0f}" if whole else f"{value:.4g}"
    return str(value)


def table_view(study: Study, name: str, caption: str) -> dict[str, Any]:
    """One CSV as the template wants it; long ones are cut, and say so."""
    frame = read_table(study.tables / f"{name}.csv")
    rows = [[number(v) for v in row] for row in frame.head(LONG_TABLE).itertuples(index=False)]
    columns = [c.replace("_", " ") for c in frame.columns]
    return {"name": name, "caption": caption, "columns": columns, "rows": rows, "n": len(frame)}


def figure_view(study: Study, name: str, caption: str) -> dict[str, Any]:
    """A figure and its size on the page, in CSS pixels at which its text reads as it was set."""
    with Image.open(study.figures / f"{name}.png") as image:
        width, height = (round(side * SCREEN_DPI / DRAWN_DPI) for side in image.size)
    return {"name": name, "caption": caption, "width": width, "height": height}


def executed(path: Path) -> dict[str, Any]:
    """Seconds a notebook ran and all its parameters, those it was given and its defaults."""
    record = nbformat.read(path, as_version=4).metadata.get("papermill", {})
    parameters = parameter_values(path) | dict(record.get("parameters", {}))
    return {"seconds": record.get("duration"), "parameters": parameters}


def part_view(study: Study, notebook: str, part: Part) -> dict[str, Any]:
    """One notebook's section: its findings, figures, tables, links and run time."""
    source = Path(study.reports) / "notebooks" / f"{notebook}.ipynb"
    html.export_notebook(source, source.with_suffix(".html"))
    return {
        "notebook": notebook,
        "part": part,
        "rehearsal": notebook == summary.REHEARSED and summary.is_simulated(study),
        "finding": study.findings(notebook),
        "made": provenance.line(study, notebook, part),
        "figures": [figure_view(study, *item) for item in part.figures.items()],
        "tables": [table_view(study, *item) for item in part.tables.items()],
        **executed(source),
    }


def live_viewer(path: Path) -> Markup:
    """The slice viewer that an executed notebook saved, as HTML that is alive; empty without."""
    widgets = nbformat.read(path, as_version=4).metadata.get("widgets", {})
    models = widgets.get(html.STATE, {}).get("state", {}).values()
    saved = next((model for model in models if "_esm" in model["state"]), None)
    return Markup(html.widget_html(saved, "report-viewer") if saved else "")


def claims_view(study: Study) -> dict[str, Any]:
    """The claims ledger; where this run measured nothing of a claim, its cell is a dash."""
    view = table_view(study, "claims", catalogue.CLAIMS)
    view["rows"] = [
        [cell if cell != claims.NOT_MEASURED else "–" for cell in r] for r in view["rows"]
    ]
    return view


def training_view(study: Study, seeds: list[int]) -> dict[str, float]:
    """How many networks were trained with these seeds, and how long that took in all."""
    records = [read_json(path) for path in study.runs.glob("*-seed*/model.json")]
    spent = [r["seconds"] for r in records if r.get("finished") and r["seed"] in seeds]
    return {"networks": len(spent), "minutes": sum(spent) / 60}


def versions() -> list[tuple[str, str]]:
    """The versions behind the numbers, as (name, version) pairs."""
    pairs = [("camreader", __version__)]
    pairs += [("Python", platform.python_version()), ("system", platform.system())]
    return pairs + [(name, importlib.metadata.version(name)) for name in SHOWN_PACKAGES]


def write_report(study: Study) -> None:
    """Write reports/index.html from what the notebooks of `study` left, and the crate of it all."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
    )
    parts = [part_view(study, *item) for item in catalogue.PARTS.items()]
    seeds = next((p["parameters"]["SEEDS"] for p in parts if "SEEDS" in p["parameters"]), [0])
    front = summary.LOCALISATION
    page = environment.get_template("template.html").render(
        card=study.card,
        parts=parts,
        claims=claims_view(study),
        answer=summary.answer(study),
        front=figure_view(study, front, catalogue.PARTS[VIEWER].figures[front]),
        viewer=live_viewer(Path(study.reports) / "notebooks" / f"{VIEWER}.ipynb"),
        challenge=read_json(study.challenge),
        counterparts=summary.counterparts(study),
        policy=html.POLICY,
        versions=versions(),
        minutes=sum(p["seconds"] or 0 for p in parts) / 60,
        training=training_view(study, seeds),
        seeds=seeds,
        long_table=LONG_TABLE,
    )
    with atomic_path(Path(study.reports) / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    ran = {part["notebook"]: part for part in parts}
    provenance.write(study, ran)


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of `camreader page`."""
    parser.add_argument("--data", default="data", help="folder of cohorts/, runs/ and readings/")
    parser.add_argument("--cohort", default="phantom")
    parser.add_argument("--reports", default="reports", help="where index.html goes")


def run(options: Namespace) -> None:
    """Write reports/index.html from what the notebooks left."""
    write_report(Study(options.data, options.cohort, options.reports))
