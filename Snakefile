# What depends on what: a rule per notebook, made from the list in camreader/report/catalogue.py,
# one for the networks to be trained, one for the maps to be compared, the claims and the report.
# On a cluster each is a job. `make report` runs it; `make report ARGS=-n` shows what would run.

import os

from camreader.common import configuration
from camreader.common.source import modules_behind
from camreader.heatmaps import methods
from camreader.report import catalogue
from camreader.report import workflow as study  # Snakemake has a `workflow` of its own
from camreader.session.database import sqlite_file
from camreader.training import description
from camreader.training import experiments as plans


configfile: "config.yaml"


configuration.check_configuration(config)
COHORT = configuration.cohort_name(config)
DATA, REPORTS = config["data"], config["reports"]
STUDY = f"{DATA}/cohorts/{COHORT}"
RUNS = f"{DATA}/runs/{COHORT}"
# What readers answered since the last run; SQLite keeps the newest answers in the second file.
ANSWERS = [f"{DATA}/readings/{COHORT}/readings.sqlite{end}" for end in ("", "-wal")]
FILES = {  # what a notebook may read or write, by its name in the list
    catalogue.COHORT: [f"{STUDY}/{name}" for name in ("cohort.parquet", "cohort.json", "pixels.npy")],
    catalogue.PREDICTIONS: [f"{RUNS}/predictions.parquet"],
    catalogue.CHALLENGE: [f"{REPORTS}/challenge.json"],
    catalogue.MAPS: expand(f"{RUNS}/heatmaps/{{method}}.made", method=methods.jobs()),
    catalogue.READINGS: [path for path in ANSWERS if os.path.exists(path)],
}


def executed(notebook):
    return f"{REPORTS}/notebooks/{notebook}.ipynb"


def figures(notebook):
    return [f"{REPORTS}/figures/{name}.png" for name in catalogue.PARTS[notebook].figures]


def tables(notebook):
    return [f"{REPORTS}/tables/{name}.csv" for name in catalogue.PARTS[notebook].tables]


def findings(notebook):
    return f"{REPORTS}/tables/{notebook}_findings.json"


def code(notebook):
    """The notebook and every module behind it: when one changes, the notebook runs again."""
    path = f"notebooks/{notebook}.ipynb"
    return [path, *modules_behind(path)]


def from_notebooks(path):
    """A path as a notebook sees it, which runs in notebooks/."""
    return os.path.relpath(path, "notebooks")


def of_network(here):
    """Notebook 02's own parameters, with the paths of a network of one's own as `here` has them."""
    return description.moved(config["parameters"].get("02_train") or {}, here)


def own_files(notebook):
    """Files of a network or method of one's own: when one changes, what uses it is made again."""
    mine, paths = settled(notebook), list(OWN.files()) if notebook in ASKS else []
    named = mine.get("METHODS", "")
    here = [part.strip().rpartition(":")[0] for part in named.split(",") if part.strip()]
    if "NETWORK" in mine and notebook not in ASKS:
        here += description.from_parameters(mine).files_named()
    paths += [os.path.normpath(os.path.join("notebooks", path)) for path in here]
    paths = [str(path) for path in paths]
    return [path.replace("{", "{{").replace("}", "}}") for path in paths]  # no wildcard is meant


ASKS = ("02_train", "04_gradcam", "07_reading_session")  # notebooks that ask the network


def values(notebook, here=from_notebooks):
    """One notebook's parameters as this study sets them; what is left out keeps its default.

    here: what becomes of a path that starts from this folder.
    """
    known = configuration.parameter_values(f"notebooks/{notebook}.ipynb")
    common = {
        "DATA": from_notebooks(DATA),
        "COHORT": COHORT,
        "REPORTS": from_notebooks(REPORTS),
        "SOURCE": here(config["source"]) if config["source"] else "",
        "SEEDS": config["seeds"],
        "TRAIN": "use" if OWN.used else "train",
    }
    if not catalogue.PARTS[notebook].trains:  # TRAIN is of the study's network, not of 09's
        del common["TRAIN"]
    chosen = {name: value for name, value in common.items() if name in known}
    own = description.moved(config["parameters"].get(notebook) or {}, here)
    files = {name: sqlite_file(own[name]) for name in ("DATABASE", "READINGS") if own.get(name)}
    return chosen | own | {name: from_notebooks(file) for name, file in files.items() if file}


def settled(notebook, here=from_notebooks):
    """All of a notebook's parameters, defaults included."""
    return configuration.parameter_values(f"notebooks/{notebook}.ipynb") | values(notebook, here)


OWN = description.from_parameters(of_network(str))
if OWN.own and OWN.kind == "results":  # no network to explain
    FILES[catalogue.MAPS] = []
# Which notebook asks for which networks. It finds them trained; opened alone, it trains them.
ASKED_BY = {
    run: notebook
    for notebook, part in catalogue.PARTS.items()
    for run in (settled(notebook).get("RUNS", part.trains) if part.trains else ())
    if not OWN.used  # else nothing is trained
}


def trained(notebook):
    """Stamps of the networks that a notebook asks for, one per run and seed."""
    names = [run for run, asker in ASKED_BY.items() if asker == notebook]
    seeds = settled(notebook)["SEEDS"] if names else []
    return expand(f"{RUNS}/{{run}}-seed{{seed}}/trained", run=names, seed=seeds)


def starts_from(wildcards):
    """The run whose weights this one goes on from, if any."""
    start = plans.PLANS[wildcards.run].start
    return f"{RUNS}/{start}-seed{wildcards.seed}/trained" if start in ASKED_BY else []


def read_by(part):
    """Input files of a notebook beyond its code and its networks, by what they are."""
    kinds = [kind for kind in part.reads if kind in FILES]
    notebooks = [executed(other) for other in part.reads if other in catalogue.PARTS]
    return {kind: FILES[kind] for kind in kinds} | {"notebooks": notebooks}


def state_of_source(part):
    """A notebook that reads the source folder runs again when something changed there."""
    if catalogue.SOURCE not in part.reads:
        return ""
    return lambda wildcards: study.state_of(config["source"])


def minutes(base):
    """How long a job may take on a cluster; one that ran out of time gets as much again."""
    return lambda wildcards, attempt: attempt * base


def megabytes(base, cohorts):
    """Memory of a job: `base` for the packages and so many times the cohort's pixels. A job that
    was killed gets as much again the next time."""

    def needed(wildcards, input, attempt):
        pixels = sum(os.path.getsize(p) for p in input if p.endswith(".npy") and os.path.exists(p))
        return attempt * int(base + cohorts * pixels / 2**20)

    return needed


# Papermill leaves a valid-looking notebook when it is killed, so it writes to another name first.
RUN = (
    "OMP_NUM_THREADS={threads} papermill {input.code[0]:q} {output.notebook:q}.part.ipynb --cwd notebooks"
    " --kernel python3 --no-progress-bar --log-output -y {params.values:q} > {log:q} 2>&1"
    " && mv {output.notebook:q}.part.ipynb {output.notebook:q}"
)


wildcard_constraints:
    seed=r"\d+",


localrules:
    all,
    claims,
    report,


# Not the report alone: what a notebook opened by hand reads, and what the report links to, is made
# again as well when it is gone.
rule all:
    input:
        f"{REPORTS}/index.html",
        FILES[catalogue.COHORT],
        FILES[catalogue.PREDICTIONS],
        f"{REPORTS}/tables/claims.csv",
        [trained(notebook) for notebook in dict.fromkeys(ASKED_BY.values())],
        [[*figures(name), *tables(name), findings(name)] for name in catalogue.PARTS],


# One rule per notebook, each made from its entry in the list.
for notebook, part in catalogue.PARTS.items():

    rule:
        name:
            catalogue.rule_name(notebook)
        input:
            code=code(notebook),
            trained=trained(notebook),
            own=own_files(notebook),
            **read_by(part),
        output:
            notebook=executed(notebook),
            figures=figures(notebook),
            tables=tables(notebook),
            findings=findings(notebook),
            made=[path for kind in part.writes for path in FILES[kind]],
        params:
            # by a function: Snakemake takes braces in a plain text for wildcards
            values=lambda wildcards, text=study.as_yaml(values(notebook)): text,
            source=state_of_source(part),
        log:
            f"{REPORTS}/logs/{notebook}.log",
        threads: part.threads
        resources:
            mem_mb=megabytes(part.memory_mb, part.memory_cohorts),
            runtime=minutes(part.minutes),
        shell:
            RUN


# The stamp is the output, not model.json: Snakemake deletes the outputs of a job before it runs,
# and a network that is already trained from the same data, settings and code is kept as it is.
rule training:
    input:
        code=modules_behind("training.train"),
        cohort=FILES[catalogue.COHORT],
        start=starts_from,
        own=own_files("02_train"),
    output:
        f"{RUNS}/{{run}}-seed{{seed}}/trained",
    params:
        run=lambda wildcards: "--protocol {} --run {}".format(*plans.part_of_study(wildcards.run)),
        settings=lambda wildcards: study.training_options(settled(ASKED_BY[wildcards.run], str)),
    log:
        f"{REPORTS}/logs/training/{{run}}-seed{{seed}}.log",
    threads: 1
    resources:
        mem_mb=megabytes(1500, 4),
        runtime=minutes(120),
    shell:
        "OMP_NUM_THREADS={threads} python -m camreader train --data {DATA:q} --cohort {COHORT:q}"
        " {params.run} --seed {wildcards.seed} {params.settings} --may-refuse > {log:q} 2>&1"
        " && touch {output:q}"


# The stamp, again, is the output: maps that still fit their network are kept.
rule comparison:
    input:
        code=modules_behind("heatmaps.maps"),
        cohort=FILES[catalogue.COHORT],
        predictions=FILES[catalogue.PREDICTIONS],
    output:
        f"{RUNS}/heatmaps/{{method}}.made",
    params:
        settings=study.comparison_options(settled("04_gradcam")),
    log:
        f"{REPORTS}/logs/comparison/{{method}}.log",
    threads: 1
    resources:
        mem_mb=megabytes(2000, 2),
        runtime=minutes(120),
    shell:
        "OMP_NUM_THREADS={threads} python -m camreader maps --data {DATA:q} --cohort {COHORT:q}"
        " --method {wildcards.method} {params.settings} > {log:q} 2>&1"
        " && touch {output:q}"


rule claims:
    input:
        code=modules_behind("published.claims"),
        measured=[*tables("03_evaluate"), *tables("04_gradcam"), *tables("05_reader_results"),
            *tables("06_region_subexperiment")],
    output:
        f"{REPORTS}/tables/claims.csv",
    log:
        f"{REPORTS}/logs/claims.log",
    shell:
        "python -m camreader claims --reports {REPORTS:q} > {log:q} 2>&1"


rule report:
    input:
        notebooks=[executed(notebook) for notebook in catalogue.PARTS],
        claims=f"{REPORTS}/tables/claims.csv",
        challenge=FILES[catalogue.CHALLENGE],
        code=modules_behind("report.page"),
    output:
        f"{REPORTS}/index.html",
        f"{REPORTS}/ro-crate-metadata.json",
    log:
        f"{REPORTS}/logs/report.log",
    shell:
        "python -m camreader page --data {DATA:q} --cohort {COHORT:q} --reports {REPORTS:q}"
        " > {log:q} 2>&1"
