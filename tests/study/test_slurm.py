"""The study on a real one-node Slurm: the local run's tables, and killed jobs run again.

Needs sbatch, and either a Slurm that answers or the program that starts one on this machine.
"""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import yaml
from places import ROOT, SHARED
from study_run import QUICK, copy_checkout, same_tables, start, wait_for

from camreader.report import catalogue

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
PARTS = ("01_ingest", "02_train", "05_reader_results")  # the whole study would take minutes more
MAPS = "data/runs/phantom/heatmaps/occlusion"  # of one comparison method
STARTER = SHARED / "slurm" / "start-one-node-slurm"


def answers():
    """Whether a Slurm with an idle or busy node answers."""
    done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
    return done.returncode == 0 and bool(re.search("idle|mix|alloc", done.stdout))


@pytest.fixture(scope="module")
def slurm():
    """A running Slurm; one started here is stopped afterwards."""
    if not shutil.which("sbatch"):
        pytest.skip("Slurm is not installed (Debian: slurm-wlm, munge)")
    if answers():
        yield
        return
    if not STARTER.exists():
        pytest.skip("no Slurm answers, and ../shared/slurm/start-one-node-slurm is not at hand")
    subprocess.run(["bash", STARTER], check=True, capture_output=True)
    yield
    for name in ("slurmctld", "slurmd"):
        with open(f"/run/{name}.pid") as handle:
            subprocess.run(["kill", handle.read().strip()])


def jobs():
    """{job id: (rule with wildcards, state)} of what Slurm knows."""
    command = ["squeue", "-h", "--states=all", "-o", "%i|%k|%T"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {job: (rule, state) for job, rule, state in (line.split("|") for line in lines)}


def wait_for_job(process, rule, known):
    """The id of a running job of `rule` that is not among `known`."""
    while process.poll() is None:
        for job, (name, state) in jobs().items():
            if job not in known and rule in name and state == "RUNNING":
                return job
        time.sleep(0.2)
    raise AssertionError(f"the run ended without a job of {rule}")


@pytest.mark.long
def test_a_study_on_slurm_has_the_tables_of_a_local_one_and_killed_jobs_run_again(
    slurm, finished, tmp_path
):
    copy_checkout(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(QUICK))
    before = set(jobs())
    targets = [f"reports/notebooks/{part}.ipynb" for part in PARTS]
    process = start(tmp_path, "--profile", "profiles/slurm", "--", *targets, f"{MAPS}.made")
    cancelled = wait_for_job(process, "rule_training_wildcards_paper-final_0", before)
    subprocess.run(["scancel", cancelled], check=True)
    seen = {}  # Slurm forgets a job after some minutes
    while process.poll() is None:
        seen |= {job: found for job, found in jobs().items() if job not in before}
        time.sleep(1)
    words, _ = process.communicate()
    assert process.returncode == 0, words[-4000:]
    same_tables(finished, tmp_path, PARTS)
    maps = [(folder / f"{MAPS}.safetensors").read_bytes() for folder in (finished, tmp_path)]
    assert maps[0] == maps[1]

    seen |= {job: found for job, found in jobs().items() if job not in before}
    again = [state for rule, state in seen.values() if rule == seen[cancelled][0]]
    assert sorted(again) == ["CANCELLED", "COMPLETED"]
    assert sum("rule_training" in rule for rule, _ in seen.values()) == 5
    assert sum("rule_comparison" in rule for rule, _ in seen.values()) == 1
    logs = tmp_path / "reports" / "logs"
    assert "CANCELLED" in next((logs / "slurm").rglob(f"{cancelled}.log")).read_text()
    assert (logs / "02_train.log").exists() and (logs / "training/paper-final-seed0.log").exists()


@pytest.mark.long
def test_ctrl_c_takes_the_jobs_off_the_cluster(slurm, tmp_path):
    copy_checkout(tmp_path)
    before = set(jobs())
    process = start(tmp_path, "--profile", "profiles/slurm", "--", "reports/tables/01_counts.csv")
    job = wait_for_job(process, "rule_ingest", before)
    os.killpg(process.pid, signal.SIGINT)
    words, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "Stopped. What is done is kept" in words
    wait_for(lambda: jobs()[job][1] == "CANCELLED", seconds=30)


def test_threads_memory_and_time_of_every_job_are_stated():
    """Of a notebook in the list, of the others in the Snakefile; the profile may say otherwise."""
    for part in catalogue.PARTS.values():
        assert part.threads >= 1 and part.memory_mb >= 1000 and part.minutes >= 10
    _head, *rules = re.split(r"^ *rule ?(\w*):$", (ROOT / "Snakefile").read_text(), flags=re.M)
    rules = dict(zip(rules[::2], rules[1::2], strict=True))
    on_nodes = set(rules) - {"all", "claims", "report"}  # those stay where it was started
    assert on_nodes == {"", "training", "comparison"}  # the first: made from the list
    for name in on_nodes:
        assert all(f"{what}=" in rules[name] for what in ("mem_mb", "runtime")), name
        assert "threads:" in rules[name], name


def test_the_profile_names_only_rules_that_are_there():
    profile = yaml.safe_load(PROFILE.read_text())
    known = {"training", "comparison", *map(catalogue.rule_name, catalogue.PARTS)}
    assert set(profile["set-resources"]) <= known
    assert profile["default-resources"]["gpu"] == 0
    assert profile["retries"] >= 1 and profile["slurm-status-command"] == "squeue"
