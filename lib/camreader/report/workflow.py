"""Running the whole study: what the Snakefile needs to know, and the door that `make report` opens.

One run at a time works on a checkout: a second one waits and says so.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from camreader.cohorts.folder import Folder
from camreader.common import advice, machine
from camreader.common.configuration import (
    check_configuration,
    cohort_name,
    parameter_values,
    read_configuration,
)
from camreader.common.errors import DataError
from camreader.common.storage import digest, write_json
from camreader.report import failures, repair
from camreader.training import description
from camreader.training.experiments import Settings

# glibc hands large buffers back at every training step and faults them in again at the next;
# keeping them makes training and heat-maps markedly faster (measured by `make bench`).
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "2147483647"}
DRY = {"-n", "--dry-run"}
# The configuration of this run, as a file: Snakemake reads the 0 of `--config seeds=[0]` as text.
CONFIGURED = Path(".snakemake") / "camreader_config.json"


def training_options(values: dict[str, Any]) -> str:
    """What a notebook's parameters say about training, as options of camreader.training.train.

    values: {name: value}. The run made from the shell and the one the notebook asks for must have
    the same settings, or the notebook would train again.
    """
    known = {field.name.upper() for field in fields(Settings)} | set(description.PARAMETERS)
    chosen = {name.lower(): value for name, value in values.items() if name in known}
    return " ".join(
        f"--{name.replace('_', '-')} "
        + shlex.quote(json.dumps(value) if isinstance(value, list) else str(value))
        for name, value in chosen.items()
    )


def comparison_options(values: dict[str, Any]) -> str:
    """What notebook 04 compares, and on which network, as options of `camreader maps`."""
    return (
        f"--protocol {shlex.quote(values['PROTOCOL'])} --trained-seed {values['SEEDS'][0]}"
        f" --slow-slices {values['SLOW_SLICES']} --seed {values['SEED']}"
    )


def state_of(source: str) -> str:
    """Digest of a source folder: name, size and time of every file that 01 sees; "" for none.

    A label edited, a slice replaced, added or taken away: each repeats the study.
    """
    if not os.path.isdir(source):
        return ""
    folder, facts = Folder(source), []
    for name in folder.files:
        about = os.stat(os.path.join(source, name))
        facts.append(repr((name, about.st_size, about.st_mtime_ns)))
    return digest("".join(facts), repr(sorted(folder.passed_over.items())))


def wait_for_turn(path: Path) -> FileLock:
    """Take the lock of this checkout, waiting in words while another run holds it.

    The operating system frees it when the process ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another `make report` is running here; waiting for it to end ...", flush=True)
        lock.acquire()
    return lock


# The longest way through the study is gone first, so that no core waits for its end alone.
LONGEST = "notebooks/04_gradcam.ipynb"


def snakemake_command(options: Namespace, reports: str, extra: list[str]) -> list[str]:
    """The command line of the run. Snakemake's own lock is left out: ours ends with the process."""
    # a plan is to be read as Snakemake writes it
    program = "snakemake" if DRY & set(extra) else "camreader.report.progress"
    command = [sys.executable, "-m", program, "--nolock", "--rerun-incomplete", "--keep-going"]
    command += ["--configfile", str(CONFIGURED)]
    if all(word.startswith("-") for word in extra):  # Snakemake would make it beside a named file
        command += ["--prioritize", f"{reports}/{LONGEST}"]
    if options.profile:
        command += ["--profile", options.profile]
    else:  # no more jobs at once than their memory allows
        command += ["--resources", f"mem_mb={machine.memory() // 2**20}"]
    if not (options.profile and options.cores == "all"):  # a cluster has more than this machine
        command += ["--cores", options.cores]
    return [*command, *extra]


def configuration_of(options: Namespace) -> dict[str, Any]:
    """The study's configuration as this run has it, checked: the file's, then the command's."""
    file = options.config or "config.yaml"
    config = read_configuration(file)
    config |= {"source": options.data} if options.data else {}
    config |= {"seeds": list(range(options.seeds))} if options.seeds is not None else {}
    check_configuration(config, file=file)
    if config["source"]:
        check_source(config["source"])
    check_own(config)
    return config


def check_own(config: dict[str, Any], folder: str = "notebooks") -> None:
    """DataError, in one sentence, where a network or a method of one's own does not fit.

    It is tried on one batch, so that nothing is read or trained before it is said.
    """
    mine = {name: values or {} for name, values in (config.get("parameters") or {}).items()}
    own = description.from_parameters(mine.get("02_train", {}))
    functions = mine.get("04_gradcam", {}).get("METHODS", "")
    if own == description.NO_OWN and not functions:
        return
    from camreader.heatmaps import own_methods  # bring torch, slow to import
    from camreader.training import own_networks

    known = parameter_values(f"{folder}/01_ingest.ipynb") | mine.get("01_ingest", {})
    own_networks.tried(own, known["IMAGE_SIZE"])
    own_methods.add(functions)


def check_source(folder: str) -> None:
    """DataError where there is no such folder, nothing in it, or a name that cannot travel."""
    if not Path(folder).is_dir():
        drive = re.match(r"([A-Za-z]):[\\/]", folder) if os.name == "posix" else None
        there = f"a folder with images; under WSL /mnt/{drive[1].lower()}/..." if drive else ""
        expected = there or "a folder with images"
        raise DataError("No such folder", file=folder, expected=expected)
    try:
        str(Path(folder).resolve()).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(folder).decode("utf-8", "backslashreplace")
        raise DataError(
            "The folder's path is not UTF-8, as an old archive's names are",
            file=shown,
            expected="a folder, and folders above it, renamed",
        ) from None
    listed = Folder(folder)
    if not listed.files:
        passed = ", ".join(f"{n} {why}" for why, n in listed.passed_over.items())
        raise DataError(
            "The folder is empty",
            file=folder,
            found=(passed and f"nothing but {passed}") or None,
            expected="a folder with images",
        )


def as_yaml(values: dict[str, Any]) -> str:
    """Values as YAML in ASCII, for a command line in any locale.

    JSON writes what lies beyond 16 bit as two halves, which YAML does not join.
    """
    text = json.dumps(values, ensure_ascii=False)
    return "".join(c if c.isascii() else f"\\U{ord(c):08x}" for c in text)


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of `camreader report`."""
    parser.add_argument("--data", help="your images or DeepLesion; default: the phantom")
    parser.add_argument("--seeds", type=int, help="repeat the training with this many seeds")
    parser.add_argument("--cores", default="all", help="how many cores the whole run may use")
    parser.add_argument("--profile", help="a Snakemake profile, for a cluster")
    parser.add_argument("--config", help="instead of config.yaml")
    parser.add_argument("extra", nargs="*", help="handed on to Snakemake, after --")


def run_to_its_end(command: list[str], environment: dict[str, str]) -> tuple[int, bool]:
    """(exit status, whether Ctrl-C was pressed) of a command that gets the same Ctrl-C.

    It is not killed for it: Snakemake still has to end its jobs, or take them off a cluster.
    """
    process, stopped = subprocess.Popen(command, env=environment), False
    while True:
        try:
            return process.wait(), stopped
        except KeyboardInterrupt:
            stopped = True


def places_to_write(environment: dict[str, str]) -> dict[str, str]:
    """Where Snakemake, Jupyter and matplotlib may write where the home folder is read-only."""
    home = Path(environment.get("HOME") or Path.home())
    try:
        with tempfile.TemporaryFile(dir=home):
            return {}
    except OSError:
        own = Path(".snakemake", "home").resolve()
    wanted = {"XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
    wanted |= {"JUPYTER_CONFIG_DIR": "jupyter", "JUPYTER_DATA_DIR": "jupyter"}
    wanted |= {"JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython", "MPLCONFIGDIR": "mpl"}
    found = {name: str(own / part) for name, part in wanted.items() if name not in environment}
    for folder in found.values():
        Path(folder).mkdir(parents=True, exist_ok=True)
    return found


def environment_of(options: Namespace) -> dict[str, str]:
    """The environment of the run's processes."""
    environment = {**os.environ, **ALLOCATOR, "PYTHONHASHSEED": "0"}
    environment.pop("MPLBACKEND", None)  # a kernel must draw into its notebook
    # the kernel of this very environment: a hub or a module may name a `python3` of another Python
    environment.pop("JUPYTER_PATH", None)
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    environment |= places_to_write(environment)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if not (options.profile or "--executor" in options.extra):
        # Snakemake's Slurm plugin asks for a cluster when it loads, for up to ten seconds
        environment["SLURM_CONF"] = os.devnull
    return environment


def run(options: Namespace) -> int:
    """Run the study and end by saying where its report is, or what kept it from being finished."""
    config = configuration_of(options)
    repair.check_writable([".snakemake", config["data"], config["reports"]])
    lock = wait_for_turn(Path(".snakemake/camreader.lock"))
    if not DRY & set(options.extra):
        for path, why in repair.remove_damaged(config["data"], cohort_name(config)):
            print(f"{path} is damaged and is made again ({why})", flush=True)
    write_json(config, CONFIGURED)
    command = snakemake_command(options, config["reports"], options.extra)
    status, stopped = run_to_its_end(command, environment_of(options))
    lock.release()
    print("-" * min(shutil.get_terminal_size().columns, 72))
    print("\n".join(closing_words(config, status, stopped)))
    return 130 if stopped else status


def closing_words(config: dict[str, Any], status: int, stopped: bool) -> list[str]:
    """The last lines of a run: where its report is, or what to mend."""
    page = Path(config["reports"]) / "index.html"
    if stopped:
        return ["Stopped. What is done is kept; the same command goes on from here."]
    if status == 0:
        return [f"The report: {page.resolve().as_uri()}"] if page.exists() else []
    failed = failures.kept()
    if not failed:
        return ["Not finished, and no job says why; Snakemake's own words are in .snakemake/log."]
    words = ["Not finished. What is done is kept; run it again after mending:"]
    for job, lines in failed.items():
        words += [f"  {job}: {lines[0]}", *(f"    {line}" for line in lines[1:])]
        told = (advice.of(line.removeprefix("DataError: ")) for line in lines)
        words += [f"    What to do: {todo}." for todo in dict.fromkeys(told) if todo]
    return [*words, f"The whole log of each: {config['reports']}/logs/"]
