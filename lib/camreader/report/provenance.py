"""Which notebook, code and inputs made each figure and table: in the report, and as an RO-Crate.

`reports/ro-crate-metadata.json` holds every figure and table by digest, and an action for each
notebook: its code, what it read, its parameters, when it ended.
"""

import functools
import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import camreader
from camreader.common.crate import file_entity, write_crate
from camreader.common.source import modules_behind, notebook_code
from camreader.common.storage import digest
from camreader.common.study import Study
from camreader.report import catalogue
from camreader.report.catalogue import Part

SHORT = 12  # hexadecimal digits of a digest that a page shows


@functools.cache
def code_of(notebook: str) -> str:
    """SHA-256 (hex) of a notebook's own file and of every module behind it."""
    path = Path("notebooks") / f"{notebook}.ipynb"
    sources = [Path(module) for module in modules_behind(path) if module.endswith(".py")]
    return digest(notebook_code(path), *sources)


def tables_read(study: Study, part: Part) -> dict[str, Path]:
    """{kind: file} of the tables that a notebook reads from the notebooks before it."""
    files = {
        catalogue.COHORT: study.cohort_table,
        catalogue.PREDICTIONS: study.runs / "predictions.parquet",
    }
    return {kind: files[kind] for kind in part.reads if kind in files}


def inputs_of(study: Study, part: Part) -> dict[str, str]:
    """{what a notebook read: its SHA-256 (hex)}: tables by content, pixels by their identity."""
    found = {kind: digest(path) for kind, path in tables_read(study, part).items()}
    if catalogue.COHORT in part.reads and study.card.get("identity"):
        found["pixels"] = study.card["identity"]
    return found


def line(study: Study, notebook: str, part: Part) -> str:
    """The sentence under a section: what made its figures and tables."""
    read = ", ".join(f"{name} {value[:SHORT]}" for name, value in inputs_of(study, part).items())
    words = f"Made by {notebook}.ipynb, code {code_of(notebook)[:SHORT]}"
    return f"{words}, from {read}." if read else f"{words}."


def commit() -> str:
    """The commit of the code, with a word where files differ from it; "" outside a repository."""
    try:
        asked = ["git", "describe", "--always", "--abbrev=40", "--dirty=, changed since"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def write(study: Study, views: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the crate of a finished run.

    views: {notebook: {"seconds": run time, "parameters": {name: value}}}, in the order they ran.
    """
    folder, now = Path(study.reports), datetime.now(UTC).isoformat(timespec="seconds")
    software = {
        "@id": "#camreader",
        "@type": "SoftwareSourceCode",
        "name": "camreader",
        "version": camreader.__version__,
        "description": camreader.__doc__.strip().partition("\n")[0],
        "programmingLanguage": "Python",
    }
    if known := commit():
        software["identifier"] = known
    files, actions = [file_entity(folder, "index.html", "The report")], []
    for notebook, part in catalogue.PARTS.items():
        named = {f"figures/{name}.png": words for name, words in part.figures.items()}
        named |= {f"tables/{name}.csv": words for name, words in part.tables.items()}
        named = {name: words for name, words in named.items() if (folder / name).exists()}
        files += [file_entity(folder, name, words) for name, words in named.items()]
        executed = f"notebooks/{notebook}.ipynb"
        files.append(file_entity(folder, executed, f"{part.title}, as it was executed"))
        actions.append(_action(study, notebook, part, [*named, executed], views[notebook]))
    root = {
        "name": f"Does a heat-map help a radiologist? {study.card['title']}",
        "description": "Figures, tables and executed notebooks of one run of camreader.",
        "datePublished": now,
        "mentions": [{"@id": action["@id"]} for action in actions],
    }
    write_crate(folder, root, files, [software, *actions])


def _action(
    study: Study, notebook: str, part: Part, made: list[str], view: Mapping[str, Any]
) -> dict[str, Any]:
    read = [f"{name} sha256:{value}" for name, value in inputs_of(study, part).items()]
    return {
        "@id": f"#{notebook}",
        "@type": "CreateAction",
        "name": part.question,
        "instrument": {"@id": "#camreader"},
        "result": [{"@id": name} for name in made],
        "description": f"code sha256:{code_of(notebook)}; read {', '.join(read) or 'nothing'}",
        "object": json.dumps(view["parameters"], sort_keys=True, default=str),
    }
