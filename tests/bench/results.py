"""Where a benchmark's numbers go, and how it ends."""

import sys
from pathlib import Path

from camreader.common.storage import write_json

FOLDER = Path(__file__).parents[2] / "reports" / "benchmarks"


def finish(name, result, folder=FOLDER):
    """Write <name>.json; exit with 1 where `within_limit` says that a limit is broken."""
    write_json(result, folder / f"{name}.json")
    sys.exit(0 if result.get("within_limit", True) else 1)
