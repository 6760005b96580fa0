"""Running the whole study: what the Snakefile needs to know, and the door that `make report` opens.

One run at a time works on a checkout: a second one waits and says so. The lock belongs to the
running process, so a killed run leaves none behind.
"""

import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import yaml

from camreader.common.configuration import cohort_name, parameter_names
from camreader.common.errors import DataError
from camreader.report import repair
from camreader.training.experiments import Settings

# glibc hands large buffers back at every training step and faults them in again at the next;
# keeping them makes training and heat-maps markedly faster (measured by `make bench`).
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "2147483647"}
DRY = {"-n", "--dry-run"}


def training_options(values):
    """What a notebook's parameters say about training, as options of camreader.training.train.

    values: {name: value}. The run made from the shell and the one the notebook asks for must have
    the same settings, or the notebook would train again.
    """
    known = {field.name for field in fields(Settings)}
    chosen = {name.lower(): value for name, value in values.items() if name.lower() in known}
    return " ".join(
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in chosen.items()
    )


def comparison_options(values):
    """What notebook 04 compares, and on which network, as options of `comparison`."""
    return (
        f"--protocol {shlex.quote(values['PROTOCOL'])} --trained-seed {values['SEEDS'][0]}"
        f" --slow-slices {values['SLOW_SLICES']} --seed {values['SEED']}"
    )


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


def state_of(source):
    """Digest of a source folder: name, size and time of every file, links followed; "" for none.

    A label edited, a slice replaced, added or taken away: each repeats the study.
    """
    digest, seen = hashlib.sha256(), set()
    for folder, parts, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        parts[:] = [] if real in seen else sorted(p for p in parts if not p.startswith("."))
        seen.add(real)
        for name in sorted(n for n in names if not n.startswith(".")):
            path = os.path.join(folder, name)
            about = os.stat(path) if os.path.exists(path) else os.lstat(path)
            what = (os.path.relpath(path, source), about.st_size, about.st_mtime_ns)
            digest.update(repr(what).encode())
    return digest.hexdigest() if seen else ""


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
    values = [f"source={json.dumps(options.data)}"] if options.data else []
    values += [f"seeds={list(range(options.seeds))}"] if options.seeds else []
    command = [sys.executable, "-m", "snakemake", "--nolock", "--rerun-incomplete", "--keep-going"]
    command += ["--config", *values] if values else []
    command += ["--configfile", options.config] if options.config else []
    if options.profile:
        command += ["--profile", options.profile]
    else:  # no more jobs at once than their memory allows
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        command += ["--resources", f"mem_mb={pages * size // 2**20}"]
    if not (options.profile and options.cores == "all"):  # a cluster has more than this machine
        command += ["--cores", options.cores]
    quiet = [] if DRY & set(extra) else ["--quiet", "progress", "rules"]  # a plan is to be read
    return [*command, *quiet, "--show-failed-logs", *extra]


def configuration(options):
    """The study's configuration as this run has it: the file's, then the command line's."""
    config = yaml.safe_load(Path(options.config or "config.yaml").read_text())
    return config | ({"source": options.data} if options.data else {})


def last_words(logs, since):
    """(log, its last error) of every log in the folder `logs` written to after `since`."""
    found = []
    for path in sorted(p for p in Path(logs).rglob("*.log") if p.stat().st_mtime >= since):
        errors = re.findall(r"^\s*([\w.]*(?:Error|Exception): .*)", path.read_text(), re.M)
        found += [(path, errors[-1])] if errors else []
    return found


def add_arguments(parser):
    """Arguments of `camreader report`."""
    parser.add_argument("--data", help="your images or DeepLesion; default: the phantom")
    parser.add_argument("--seeds", type=int, help="repeat the training with this many seeds")
    parser.add_argument("--cores", default="all", help="how many cores the whole run may use")
    parser.add_argument("--profile", help="a Snakemake profile, for a cluster")
    parser.add_argument("--config", help="instead of config.yaml")
    parser.add_argument("extra", nargs="*", help="handed on to Snakemake, after --")


def run_to_its_end(command, environment):
    """(exit status, whether Ctrl-C was pressed) of a command that gets the same Ctrl-C.

    It is not killed for it: Snakemake still has to end its jobs, or take them off a cluster.
    """
    process, stopped = subprocess.Popen(command, env=environment), False
    while True:
        try:
            return process.wait(), stopped
        except KeyboardInterrupt:
            stopped = True


def run(options):
    """Run the study and end by saying where its report is, or what kept it from being finished."""
    if options.data and not Path(options.data).exists():
        raise DataError("No such folder", file=options.data, expected="a folder with images")
    config = configuration(options)
    repair.check_writable([".snakemake", config["data"], config["reports"]])
    lock = wait_for_turn(Path(".snakemake/camreader.lock"))
    if not DRY & set(options.extra):
        for path, why in repair.remove_damaged(config["data"], cohort_name(config)):
            print(f"{path} is damaged and is made again ({why})", flush=True)
    started = time.time()
    environment = {**os.environ, **ALLOCATOR, "MPLBACKEND": "agg", "PYTHONHASHSEED": "0"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if not (options.profile or "--executor" in options.extra):
        # Snakemake's Slurm plugin asks for a cluster when it loads, for up to ten seconds
        environment["SLURM_CONF"] = os.devnull
    status, stopped = run_to_its_end(snakemake_command(options, options.extra), environment)
    lock.close()
    page = Path(config["reports"]) / "index.html"
    print("-" * min(shutil.get_terminal_size().columns, 72))
    if stopped:
        print("Stopped. What is done is kept; the same command goes on from here.")
    elif status == 0 and page.exists():
        print(f"The report: {page.resolve().as_uri()}")
    elif status:
        print("Not finished. What is done is kept; run it again after mending:")
        for path, words in last_words(Path(config["reports"]) / "logs", started):
            print(f"  {path}: {words}")
    return 130 if stopped else status
