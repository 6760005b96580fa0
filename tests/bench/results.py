"""Where a benchmark's numbers go, and how it ends."""

import argparse
import sys
from pathlib import Path

from camreader.common.storage import write_json

FOLDER = Path(__file__).parents[2] / "reports" / "benchmarks"


def finish(name, result, folder=FOLDER):
    """Write <name>.json; exit with 1 where `within_limit` says that a limit is broken."""
    write_json(result, folder / f"{name}.json")
    sys.exit(0 if result.get("within_limit", True) else 1)


def studies_asked(about, usual):
    """How many studies the command line asks for with --studies; `usual` where it does not."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--studies", type=int, default=usual, help=f"simulated (default {usual:,})")
    return parser.parse_known_args()[0].studies
