"""`make bench`: every benchmark in a process of its own, then one page, reports/benchmarks.html.

Machines are noisy: the page quotes medians and ratios against peers measured in the same run.
`make bench ARGS=heatmaps` runs one.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from camreader.files import atomic_path
from camreader.report import versions
from camreader.workflow import ALLOCATOR

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "reports" / "benchmarks"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: .9rem } th { background: #f4f6f8 }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #d5dae0 }
"""


def cell(value):
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def as_html(value):
    """Nested results as HTML: a list of records is a table, a dict a table of two columns."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        names = list(dict.fromkeys(name for row in value for name in row))
        head = "".join(f'<th scope="col">{cell(name)}</th>' for name in names)
        rows = [
            "".join(f"<td>{as_html(row.get(name, ''))}</td>" for name in names) for row in value
        ]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    if isinstance(value, dict):
        rows = (
            f'<tr><th scope="row">{cell(k)}</th><td>{as_html(v)}</td></tr>'
            for k, v in value.items()
        )
        return f"<table><tbody>{''.join(rows)}</tbody></table>"
    if isinstance(value, list):
        return ", ".join(cell(v) for v in value)
    return cell(value)


def write_page():
    """One page from every result there is, with the machine and the versions."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform(terse=True)}"
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    used = ", ".join(f"{name} {version}" for name, version in versions())
    parts = [
        f"<h2>{escape(path.stem)}</h2>\n{as_html(json.loads(path.read_text()))}"
        for path in sorted(RESULTS.glob("*.json"))
    ]
    with atomic_path(RESULTS.parent / "benchmarks.html") as temporary:
        temporary.write_text(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmarks</title>'
            f"<style>{STYLE}</style><h1>Benchmarks</h1><p>{escape(machine)}; {made}. "
            f"{escape(used)}. Ratios are against peers in the same run.</p>"
            f"{''.join(parts)}</html>\n",
            encoding="utf-8",
        )


def main(names):
    """Run the named benchmarks (all without names); exit 1 when one failed, after the page."""
    failed = []
    for script in sorted(HERE.glob("bench_*.py")):
        if names and script.stem.removeprefix("bench_") not in names:
            continue
        print(f"== {script.stem}", flush=True)
        done = subprocess.run([sys.executable, script], cwd=ROOT, env={**os.environ, **ALLOCATOR})
        failed += [script.stem] * (done.returncode != 0)
    write_page()
    print(f"{RESULTS.parent / 'benchmarks.html'}")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
