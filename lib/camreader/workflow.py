"""Running the whole study: what the Snakefile needs to know, and the door that `make report` opens.

One run at a time works on a checkout: a second one waits and says so. The lock belongs to the
running process, so a killed run leaves none behind.
"""

import argparse
import ast
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

PACKAGE = Path(__file__).parent
# glibc hands large buffers back at every training step and faults them in again at the next;
# keeping them makes training and heat-maps markedly faster (measured by `make bench`).
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "2147483647"}


def parameter_names(notebook):
    """Names set in a notebook's cell tagged `parameters`, in order."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    source = next(
        "".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])
    )
    return [n.targets[0].id for n in ast.parse(source).body if isinstance(n, ast.Assign)]


def check_parameters(config, folder="notebooks"):
    """Stop with every misspelt notebook or parameter of config.yaml, before anything runs."""
    problems = []
    for notebook, values in config["parameters"].items():
        path = Path(folder) / f"{notebook}.ipynb"
        if not path.exists():
            problems.append(f"{notebook}: no such notebook in {folder}/")
            continue
        known = parameter_names(path)
        problems += [
            f"{notebook}: no parameter {name!r}; it has {', '.join(known)}"
            for name in values or {}
            if name not in known
        ]
    if problems:
        raise SystemExit("config.yaml: " + "\nconfig.yaml: ".join(problems))


def _imported(source):
    """Paths of the package's own modules that some Python source imports directly."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("camreader"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "camreader":
                stem = PACKAGE.joinpath(*name.split(".")[1:])
                found.update(
                    p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.exists()
                )
    return found


def modules_behind(path):
    """Every module of the package that a notebook or module rests on, as sorted paths.

    A run repeats a notebook when one of these changed, and only then: editing the statistics
    of several readers must not retrain a network.
    """
    path = Path(path)
    if path.suffix == ".ipynb":
        cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
        source = "\n".join("".join(c["source"]) for c in cells)
        source = re.sub(r"^\s*[%!].*$", "", source, flags=re.M)
    else:
        source = path.read_text()
    seen, todo = set(), _imported(source) | ({path.resolve()} if path.suffix == ".py" else set())
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= _imported(module.read_text()) - seen
    scripts = {m.with_suffix(suffix) for m in seen for suffix in (".js", ".css")}
    return sorted(os.path.relpath(m) for m in seen | {s for s in scripts if s.exists()})


def source_tables(source):
    """The tables of a source folder: editing one of them, a label say, repeats the study."""
    names = ("DL_info.csv", "slice_truth.csv", "labels.csv")
    return [str(Path(source) / name) for name in names if source and (Path(source) / name).exists()]


def cohort_name(config):
    """The study's name: as configured, else the source folder's name, else "phantom"."""
    source = config["source"]
    return config["cohort"] or (Path(source).resolve().name if source else "phantom")


def wait_for_turn(path):
    """Take the lock of this checkout, waiting in words while another run holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open(path, "a+")  # noqa: SIM115 - held open, and so locked, until this process ends
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Another `make report` is running here; waiting for it to end ...", flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def snakemake_command(options, extra):
    """The command line of the run. Snakemake's own lock is left out: ours ends with the process."""
    values = [f"source={json.dumps(options.source)}"] if options.source else []
    values += [f"seeds={list(range(options.seeds))}"] if options.seeds else []
    command = [sys.executable, "-m", "snakemake", "--cores", options.cores, "--nolock"]
    command += ["--rerun-incomplete", "--keep-going", "--quiet", "progress", "rules"]
    command += ["--show-failed-logs"]
    command += ["--profile", options.profile] if options.profile else []
    command += ["--configfile", options.config] if options.config else []
    return [*command, *(["--config", *values] if values else []), *extra]


def reports_folder(options):
    """Where this run writes: as the configuration says."""
    return Path(yaml.safe_load(Path(options.config or "config.yaml").read_text())["reports"])


def parse_options():
    parser = argparse.ArgumentParser(prog="python -m camreader.workflow", description=__doc__)
    parser.add_argument("--cores", default="all")
    parser.add_argument("--source", help="folder with images; default: the phantom")
    parser.add_argument("--seeds", type=int, help="train with this many seeds")
    parser.add_argument("--profile", help="a Snakemake profile, for a cluster")
    parser.add_argument("--config", help="instead of config.yaml")
    parser.add_argument("extra", nargs="*", help="handed on to Snakemake, after --")
    options = parser.parse_args()
    if options.source and not Path(options.source).exists():
        parser.error(f"DATA={options.source}: no such folder")
    return options


def main():
    """Run the study and end by saying where its report is."""
    options = parse_options()
    lock = wait_for_turn(Path(".snakemake/camreader.lock"))
    environment = {**os.environ, **ALLOCATOR, "MPLBACKEND": "agg", "PYTHONHASHSEED": "0"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(snakemake_command(options, options.extra), env=environment)
    lock.close()
    page = reports_folder(options) / "index.html"
    if done.returncode == 0 and page.exists():
        width = shutil.get_terminal_size().columns
        print("-" * min(width, 72), f"The report: {page.resolve().as_uri()}", sep="\n")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
