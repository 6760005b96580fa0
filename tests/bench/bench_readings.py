"""How long an answer takes to be on disk while four readers answer at once.

Four processes store answers as fast as they can, which no reader does: first into one SQLite file,
then into a PostgreSQL server. An answer's time includes the renewal of the reader's lease.
"""

import statistics
import sys
import tempfile
from itertools import chain
from pathlib import Path

from results import finish

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from postgres import running_postgres  # noqa: E402 - the tests' own
from reading_writer import write_at_once  # noqa: E402

READERS, ANSWERS, LIMIT_S = ("Ann", "Bob", "Cem", "Dan"), 250, 1.0


def measure(name, address):
    """One row: milliseconds of an answer's way to the disk."""
    seconds = sorted(chain(*write_at_once(address, "bench", READERS, ANSWERS)))
    return {
        "database": name,
        "readers at once": len(READERS),
        "answers": len(seconds),
        "median_ms": round(1000 * statistics.median(seconds), 1),
        "p99_ms": round(1000 * seconds[int(0.99 * len(seconds))], 1),
        "slowest_ms": round(1000 * seconds[-1], 1),
    }


def main():
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure("SQLite", Path(folder) / "readings.sqlite")]
    with running_postgres() as address:
        rows.append(measure("PostgreSQL", address))
    for row in rows:
        print(row)
    slowest = max(row["slowest_ms"] for row in rows)
    summary = {
        "an answer stored": rows,
        "limit_ms": 1000 * LIMIT_S,
        "within_limit": slowest <= 1000 * LIMIT_S,
    }
    return summary


if __name__ == "__main__":
    finish("readings", main())
