"""Which study is read, and with which parameters: config.yaml and notebook 07 together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from camreader.common.configuration import cohort_name, parameter_values
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.session.database import settled
from camreader.session.progress import Design

NOTEBOOK = Path("notebooks/07_reading_session.ipynb")
OPTIONS = {  # parameters of the session itself, those that the notebook has, and its keywords
    "IDLE_SECONDS": "idle_seconds",
    "ONE_KEY": "one_key",
    "UNDO_SECONDS": "undo_seconds",
    "DISPLAY_CHECK": "display_check",
}


def find_study(config: Mapping[str, Any], cohort: str = "") -> Study:
    """The Study to read: the one named, the configured one, or the only one set up.

    DataError names the command that sets one up.
    """
    data, reports = config["data"], config["reports"]
    ready = sorted(path.parent.name for path in Path(data, "readings").glob("*/design.json"))
    wanted = cohort or cohort_name(config)
    if wanted not in ready and not cohort and len(ready) == 1:
        wanted = ready[0]
    if wanted not in ready:
        others = f"; set up are {', '.join(ready)}: ARGS='--cohort NAME'" if ready else ""
        words = f"No reading is set up for {wanted!r}: run `make report`{others}"
        raise DataError(words, file=Path(data, "readings"))
    return Study(data, wanted, reports)


def find_design(
    path: str | Path, cohort: str = "", database: str = ""
) -> tuple[Design, dict[str, Any]]:
    """(Design, options of its session) as the configuration at `path` has them.

    database: instead of the configured one. DataError where nothing is set up, or was refused.
    """
    config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    design = Design.load(find_study(config, cohort).readings)
    if design.refused:
        raise DataError(design.refused, file=design.folder)
    given = dict(config["parameters"].get(NOTEBOOK.stem) or {})
    given |= {"DATABASE": database} if database else {}
    return design, session_options(given)


def session_options(given: Mapping[str, Any], notebook: str | Path = NOTEBOOK) -> dict[str, Any]:
    """Keywords of ReadingSession from parameters of notebook 07, its own where none is given.

    The log's address is settled: a relative file is the project's, or the notebook's where the
    notebook names one.
    """
    own = parameter_values(notebook)
    told = {**own, **given}
    options = {name: told[key] for key, name in OPTIONS.items() if key in own}
    if given.get("DATABASE"):
        return options | {"database": settled(given["DATABASE"])}
    base = Path(notebook).parent
    return options | {"database": settled(own["DATABASE"], base) if own["DATABASE"] else ""}
