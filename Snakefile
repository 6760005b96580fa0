# One rule per notebook, and one per network to be trained: what each reads, what it writes, its
# threads and memory. On a cluster each is a job; profiles/slurm says how long it may take.
# `make report` runs it; `snakemake -n` shows what would run and why.

import json
import os

from camreader.common import configuration
from camreader.common.source import modules_behind
from camreader.report import catalogue
from camreader.report import workflow as study  # Snakemake has a `workflow` of its own
from camreader.session.database import sqlite_file
from camreader.training import experiments as plans


configfile: "config.yaml"


study.check_parameters(config)
COHORT = configuration.cohort_name(config)
DATA, REPORTS = config["data"], config["reports"]
STUDY = f"{DATA}/cohorts/{COHORT}"
RUNS = f"{DATA}/runs/{COHORT}"
COHORT_FILES = [f"{STUDY}/{name}" for name in ("cohort.parquet", "cohort.json", "pixels.npy")]
# What readers answered since the last run; SQLite keeps the newest answers in the second file.
ANSWERS = [f"{DATA}/readings/{COHORT}/readings.sqlite{part}" for part in ("", "-wal")]


def figures(notebook):
    return [f"{REPORTS}/figures/{name}.png" for name in catalogue.PARTS[notebook].figures]


def tables(notebook):
    return [f"{REPORTS}/tables/{name}.csv" for name in catalogue.PARTS[notebook].tables]


def code(notebook):
    """The notebook and every module behind it: when one changes, the notebook runs again."""
    path = f"notebooks/{notebook}.ipynb"
    return [path, *modules_behind(path)]


def from_notebooks(path):
    """A path as a notebook sees it, which runs in notebooks/."""
    return os.path.relpath(path, "notebooks")


def values(notebook):
    """One notebook's parameters as this study sets them; what is left out keeps its default."""
    known = configuration.parameter_names(f"notebooks/{notebook}.ipynb")
    common = {
        "DATA": from_notebooks(DATA),
        "COHORT": COHORT,
        "REPORTS": from_notebooks(REPORTS),
        "SOURCE": from_notebooks(config["source"]) if config["source"] else "",
        "SEEDS": config["seeds"],
    }
    chosen = {name: value for name, value in common.items() if name in known}
    own = config["parameters"].get(notebook) or {}
    files = {name: sqlite_file(own[name]) for name in ("DATABASE", "READINGS") if own.get(name)}
    return chosen | own | {name: from_notebooks(file) for name, file in files.items() if file}


def parameters(notebook):
    """The same as YAML for papermill (JSON is YAML)."""
    return json.dumps(values(notebook))


def settled(notebook):
    """All of a notebook's parameters, defaults included."""
    return configuration.parameter_values(f"notebooks/{notebook}.ipynb") | values(notebook)


# Which notebook asks for which networks. It finds them trained; opened alone, it trains them.
ASKED_BY = {name: "02_train" for name in settled("02_train")["RUNS"]}
ASKED_BY |= {name: "03_evaluate" for name in plans.LEAKAGE}
ASKED_BY |= {name: "06_region_subexperiment" for name in plans.REGIONS}


def trained(notebook):
    """Stamps of the networks that a notebook asks for, one per run and seed."""
    names = [name for name, asker in ASKED_BY.items() if asker == notebook]
    return expand(f"{RUNS}/{{run}}-seed{{seed}}/trained", run=names, seed=settled(notebook)["SEEDS"])


def starts_from(wildcards):
    """The run whose weights this one goes on from, if any."""
    start = plans.PLANS[wildcards.run].start
    return f"{RUNS}/{start}-seed{wildcards.seed}/trained" if start in ASKED_BY else []


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
        COHORT_FILES,
        f"{RUNS}/predictions.parquet",
        [trained(notebook) for notebook in dict.fromkeys(ASKED_BY.values())],
        [[*figures(notebook), *tables(notebook)] for notebook in catalogue.PARTS],


rule ingest:
    input:
        code=code("01_ingest"),
    output:
        notebook=f"{REPORTS}/notebooks/01_ingest.ipynb",
        figures=figures("01_ingest"),
        tables=tables("01_ingest"),
        cohort=COHORT_FILES,
    params:
        values=parameters("01_ingest"),
        source=lambda wildcards: study.state_of(config["source"]),  # changed there: made again
    log:
        f"{REPORTS}/logs/01_ingest.log",
    threads: 2
    resources:
        mem_mb=4000,
    shell:
        RUN


# The stamp is the output, not model.json: Snakemake deletes the outputs of a job before it runs,
# and a network that is already trained from the same data, settings and code is kept as it is.
rule training:
    input:
        code=modules_behind("training.train"),
        cohort=COHORT_FILES,
        start=starts_from,
    output:
        f"{RUNS}/{{run}}-seed{{seed}}/trained",
    params:
        run=lambda wildcards: "--protocol {} --run {}".format(*plans.part_of_study(wildcards.run)),
        settings=lambda wildcards: study.training_options(settled(ASKED_BY[wildcards.run])),
    log:
        f"{REPORTS}/logs/training/{{run}}-seed{{seed}}.log",
    threads: 1
    resources:
        mem_mb=megabytes(1500, 4),
    shell:
        "OMP_NUM_THREADS={threads} python -m camreader train --data {DATA:q} --cohort {COHORT:q}"
        " {params.run} --seed {wildcards.seed} {params.settings} --may-refuse > {log:q} 2>&1"
        " && touch {output:q}"


rule train:
    input:
        code=code("02_train"),
        cohort=COHORT_FILES,
        trained=trained("02_train"),
    output:
        notebook=f"{REPORTS}/notebooks/02_train.ipynb",
        figures=figures("02_train"),
        tables=tables("02_train"),
        predictions=f"{RUNS}/predictions.parquet",
    params:
        values=parameters("02_train"),
    log:
        f"{REPORTS}/logs/02_train.log",
    threads: 1
    resources:
        mem_mb=megabytes(2000, 4),
    shell:
        RUN


rule evaluate:
    input:
        code=code("03_evaluate"),
        cohort=COHORT_FILES,
        predictions=f"{RUNS}/predictions.parquet",
        trained=trained("03_evaluate"),
    output:
        notebook=f"{REPORTS}/notebooks/03_evaluate.ipynb",
        figures=figures("03_evaluate"),
        tables=tables("03_evaluate"),
    params:
        values=parameters("03_evaluate"),
    log:
        f"{REPORTS}/logs/03_evaluate.log",
    threads: 1
    resources:
        mem_mb=megabytes(3000, 4),
    shell:
        RUN


# The stamp, again, is the output: maps that still fit their network are kept.
rule comparison:
    input:
        code=modules_behind("heatmaps.comparison"),
        cohort=COHORT_FILES,
        predictions=f"{RUNS}/predictions.parquet",
    output:
        f"{RUNS}/heatmaps/{{method}}.made",
    params:
        settings=study.comparison_options(settled("04_gradcam")),
    log:
        f"{REPORTS}/logs/comparison/{{method}}.log",
    threads: 1
    resources:
        mem_mb=megabytes(2000, 2),
    shell:
        "OMP_NUM_THREADS={threads} python -m camreader maps --data {DATA:q} --cohort {COHORT:q}"
        " --method {wildcards.method} {params.settings} > {log:q} 2>&1"
        " && touch {output:q}"


rule gradcam:
    input:
        code=code("04_gradcam"),
        cohort=COHORT_FILES,
        predictions=f"{RUNS}/predictions.parquet",
        compared=expand(f"{RUNS}/heatmaps/{{method}}.made", method=plans.COMPARED),
    output:
        notebook=f"{REPORTS}/notebooks/04_gradcam.ipynb",
        figures=figures("04_gradcam"),
        tables=tables("04_gradcam"),
    params:
        values=parameters("04_gradcam"),
    log:
        f"{REPORTS}/logs/04_gradcam.log",
    threads: 1
    resources:
        mem_mb=megabytes(6000, 2),
    shell:
        RUN


rule reader_results:
    input:
        code=code("05_reader_results"),
    output:
        notebook=f"{REPORTS}/notebooks/05_reader_results.ipynb",
        figures=figures("05_reader_results"),
        tables=tables("05_reader_results"),
    params:
        values=parameters("05_reader_results"),
    log:
        f"{REPORTS}/logs/05_reader_results.log",
    threads: 1
    resources:
        mem_mb=2000,
    shell:
        RUN


rule region_subexperiment:
    input:
        code=code("06_region_subexperiment"),
        cohort=COHORT_FILES,
        trained=trained("06_region_subexperiment"),
    output:
        notebook=f"{REPORTS}/notebooks/06_region_subexperiment.ipynb",
        figures=figures("06_region_subexperiment"),
        tables=tables("06_region_subexperiment"),
    params:
        values=parameters("06_region_subexperiment"),
    log:
        f"{REPORTS}/logs/06_region_subexperiment.log",
    threads: 1
    resources:
        mem_mb=megabytes(2000, 4),
    shell:
        RUN


rule reading_session:
    input:
        code=code("07_reading_session"),
        cohort=COHORT_FILES,
        predictions=f"{RUNS}/predictions.parquet",
    output:
        notebook=f"{REPORTS}/notebooks/07_reading_session.ipynb",
        figures=figures("07_reading_session"),
        tables=tables("07_reading_session"),
    params:
        values=parameters("07_reading_session"),
    log:
        f"{REPORTS}/logs/07_reading_session.log",
    threads: 1
    resources:
        mem_mb=2000,
    shell:
        RUN


rule reader_study:
    input:
        code=code("08_reader_study"),
        predictions=f"{RUNS}/predictions.parquet",
        session=f"{REPORTS}/notebooks/07_reading_session.ipynb",  # leaves a rehearsal to analyse
        answers=[path for path in ANSWERS if os.path.exists(path)],
    output:
        notebook=f"{REPORTS}/notebooks/08_reader_study.ipynb",
        figures=figures("08_reader_study"),
        tables=tables("08_reader_study"),
    params:
        values=parameters("08_reader_study"),
    log:
        f"{REPORTS}/logs/08_reader_study.log",
    threads: 1
    resources:
        mem_mb=2000,
    shell:
        RUN


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
        notebooks=expand(f"{REPORTS}/notebooks/{{notebook}}.ipynb", notebook=catalogue.PARTS),
        claims=f"{REPORTS}/tables/claims.csv",
        code=["lib/camreader/report/template.html", *modules_behind("report.page")],
    output:
        f"{REPORTS}/index.html",
    log:
        f"{REPORTS}/logs/report.log",
    shell:
        "python -m camreader page --data {DATA:q} --cohort {COHORT:q} --reports {REPORTS:q}"
        " > {log:q} 2>&1"
