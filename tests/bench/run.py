"""`make bench`: every benchmark in a process of its own, then one page, reports/benchmarks.html.

Machines are noisy: the page quotes medians and ratios against peers measured in the same run.
`make bench ARGS=heatmaps` runs one; `make bench ARGS=--page` only writes the page again.
"""

import os
import subprocess
import sys
from pathlib import Path

from page import write_page
from results import FOLDER

from camreader.report.workflow import ALLOCATOR

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def chosen(names):
    """Scripts of the benchmarks called `names`, all without names; SystemExit on a wrong name."""
    scripts = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    if wrong := [name for name in names if name not in scripts]:
        raise SystemExit(f"no benchmark called {', '.join(wrong)}; known: {', '.join(scripts)}")
    return [scripts[name] for name in names] or list(scripts.values())


def main(names):
    """Run the named benchmarks (all without names); exit 1 when one failed, after the page."""
    failed = []
    for script in [] if names == ["--page"] else chosen(names):
        print(f"== {script.stem}", flush=True)
        done = subprocess.run([sys.executable, script], cwd=ROOT, env={**os.environ, **ALLOCATOR})
        failed += [script.stem] * (done.returncode != 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"The benchmarks: {write_page(FOLDER).as_uri()}")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
