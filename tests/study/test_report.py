"""The whole study, end to end, on a tiny phantom: killed, resumed, repeated, edited.

The tests here share one finished copy of the checkout, in the order of this file; each leaves it
complete.
"""

import json
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
import yaml
from docx import Document
from places import ROOT
from study_run import QUICK, checkout_environment, run
from toy_notebook import add_toy_notebook

from camreader.common.storage import digest, read_table
from camreader.common.study import Study
from camreader.common.tables import Cohort, Predictions
from camreader.report import catalogue


def test_after_a_kill_the_next_run_completes_everything(finished):
    reports = finished / "reports"
    assert (reports / "index.html").stat().st_size > 10_000
    for notebook, part in catalogue.PARTS.items():
        assert (reports / "notebooks" / f"{notebook}.ipynb").exists()
        assert (reports / "notebooks" / f"{notebook}.html").exists()
        for name in part.figures:
            assert (reports / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        for name in part.tables:
            assert len(read_table(reports / "tables" / f"{name}.csv")) > 0, name
    assert not list(reports.rglob("*.part.ipynb")) and not list(finished.rglob("*.tmp.*"))


def test_its_tables_keep_their_contracts(finished):
    study = Study(str(finished / "data"), "phantom", str(finished / "reports"))
    cohort = read_table(study.cohort_table, Cohort)
    assert len(cohort) == QUICK["parameters"]["01_ingest"]["SLICES"]
    predictions = read_table(study.runs / "predictions.parquet", Predictions)
    assert {"paper", "sound"} <= set(predictions["protocol"])
    assert set(predictions["slice_id"]) <= set(cohort["slice_id"])


def test_the_run_is_a_crate_of_every_figure_and_table_by_digest(finished):
    reports = finished / "reports"
    graph = json.loads((reports / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    for folder, ending in (("figures", "png"), ("tables", "csv")):
        listed = {
            f"{folder}/{name}.{ending}"
            for part in catalogue.PARTS.values()
            for name in getattr(part, folder)
        }
        assert listed <= set(entities)
    for part in entities["./"]["hasPart"]:
        assert entities[part["@id"]]["sha256"] == digest(reports / part["@id"])
    made = entities["#04_gradcam"]
    assert {"@id": "figures/04_localisation.png"} in made["result"]
    predictions = digest(finished / "data" / "runs" / "phantom" / "predictions.parquet")
    assert f"predictions sha256:{predictions}" in made["description"]
    assert f"predictions {predictions[:12]}" in (reports / "index.html").read_text()


def test_the_paper_says_what_the_tables_say_and_nothing_that_was_simulated(finished):
    subprocess.run(
        [sys.executable, "-m", "camreader", "paper"],
        cwd=finished,
        env=checkout_environment(finished),
        check=True,
    )
    word = Document(str(finished / "reports" / "paper.docx"))
    text = "\n".join(paragraph.text for paragraph in word.paragraphs)
    metrics = pd.read_csv(finished / "reports" / "tables" / "03_metrics.csv")
    final = metrics.query("metric == 'accuracy' and run == 'final' and protocol == 'paper'").iloc[0]
    assert f"{100 * final['value']:.1f} % (" in text
    assert "Nobody has read these cases" in text and "simulated" not in text.lower()
    assert len(word.inline_shapes) >= 8
    pdf = (finished / "reports" / "paper.pdf").read_bytes()
    assert (
        pdf.startswith(b"%PDF")
        and "04_localisation.svg" in (finished / "reports" / "paper.typ").read_text()
    )


def test_the_claims_ledger_stands_beside_the_report(finished):
    claims = pd.read_csv(finished / "reports" / "tables" / "claims.csv")
    assert len(claims) >= 25 and claims["verdict"].notna().all()


def test_no_path_of_this_machine_is_in_the_report(finished):
    for path in (finished / "reports").rglob("*.html"):
        assert str(ROOT) not in path.read_text(), path
    for path in (finished / "reports" / "tables").glob("*.csv"):
        assert str(finished) not in path.read_text(), path


def test_every_executed_notebook_ran_without_a_warning_of_its_own(finished):
    for path in (finished / "reports" / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                text = output.get("text", "")
                assert "Traceback" not in text and "Warning:" not in text, (path.stem, text[:500])


def test_an_executed_notebook_holds_its_figures(finished):
    """As many pictures as the list has figures: a kernel without a screen once held none."""
    for notebook, part in catalogue.PARTS.items():
        path = finished / "reports" / "notebooks" / f"{notebook}.ipynb"
        cells = nbformat.read(path, as_version=4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        pictures = sum("image/png" in output.get("data", {}) for output in outputs)
        assert pictures == len(part.figures), notebook


def test_another_notebook_is_the_notebook_and_one_entry(finished_copy):
    add_toy_notebook(finished_copy)
    status, words = run(finished_copy)
    assert status == 0, words[-4000:]
    assert "2 jobs to do" in words and "09_toy" in words
    page = (finished_copy / "reports" / "index.html").read_text()
    for piece in ('id="09_toy"', "3 slices were looked at.", "figures/09_toy.png", "09_toy.csv"):
        assert piece in page, piece


def test_a_second_run_does_nothing_and_says_so(finished):
    page = (finished / "reports" / "index.html").stat().st_mtime_ns
    status, words = run(finished)
    assert status == 0 and "Nothing to be done" in words
    assert (finished / "reports" / "index.html").stat().st_mtime_ns == page


def test_editing_05_repeats_only_05_and_the_report(finished):
    path = finished / "notebooks" / "05_reader_results.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("An edit."))
    nbformat.write(notebook, path)
    executed = sorted((finished / "reports" / "notebooks").glob("*.ipynb"))
    before = {p.stem: p.stat().st_mtime_ns for p in executed}
    page = (finished / "reports" / "index.html").stat().st_mtime_ns
    status, words = run(finished)
    assert status == 0, words[-4000:]
    again = {p.stem for p in executed if p.stat().st_mtime_ns != before[p.stem]}
    assert again == {"05_reader_results"}
    assert (finished / "reports" / "index.html").stat().st_mtime_ns != page


def test_a_misspelt_parameter_stops_before_anything_runs(finished):
    config = yaml.safe_load((finished / "config.yaml").read_text())
    config["parameters"]["02_train"]["EPOHCS"] = 3
    (finished / "misspelt.yaml").write_text(yaml.safe_dump(config))
    status, words = run(finished, "--config", "misspelt.yaml")
    assert status == 1
    assert words.startswith("misspelt.yaml: 02_train: no parameter 'EPOHCS'; it has DATA")


def test_a_run_has_a_line_for_each_job(finished):
    (finished / "reports" / "tables" / "claims.csv").unlink()
    status, words = run(finished)
    assert status == 0, words[-4000:]
    assert re.search(
        r"^2 jobs to do\n\[1/2\] claims +\d:\d\d.*\n\[2/2\] report +\d:\d\d$", words, re.M
    )


def test_a_failing_cell_is_named_with_its_line_and_parameters(finished_copy):
    """Broken on purpose, in 05."""
    path = finished_copy / "notebooks" / "05_reader_results.ipynb"
    text = path.read_text()
    assert text.count("counts = study.save_table(") == 1
    path.write_text(text.replace("counts = study.save_table(", "DRAWS / 0; study.save_table("))
    status, words = run(finished_copy, "--", "reports/notebooks/05_reader_results.ipynb")
    assert status == 1
    end = words.split("run it again after mending:")[1]
    assert re.search(r"05_reader_results: code cell \d+ \(under “.+”\), line 1: DRAWS / 0;", end)
    assert "ZeroDivisionError: division by zero" in end
    assert "parameters used there: DRAWS (config.yaml)" in end
    assert "RuleException" not in words


def test_the_notebooks_run_cell_by_cell_from_their_own_folder(finished):
    """nbval opens a kernel in notebooks/ and runs every cell, with the quick parameters."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    targets = []
    for name in catalogue.PARTS:
        executed = nbformat.read(finished / "reports" / "notebooks" / f"{name}.ipynb", 4)
        source = load_notebook_node(str(finished / "notebooks" / f"{name}.ipynb"))
        values = executed.metadata["papermill"]["parameters"]
        target = finished / "notebooks" / f"quick_{name}.ipynb"
        nbformat.write(parameterize_notebook(source, values), target)
        targets.append(target.name)
    options = ["-q", "--nbval-lax", "--nbval-cell-timeout=300", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *targets],
        cwd=finished / "notebooks",
        env=checkout_environment(finished),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.long
def test_the_real_sample_goes_through_the_same_notebooks(finished_copy, sample):
    """One patient: the sound protocol is refused in words, the paper's runs."""
    status, words = run(finished_copy, "--data", str(sample))
    assert status == 0, words[-4000:]
    study = Study(str(finished_copy / "data"), "deeplesion-sample", str(finished_copy / "reports"))
    assert "3 patients needed, 1 found" in study.card["refusals"]["sound"]
    assert not study.card["synthetic"]
    page = (finished_copy / "reports" / "index.html").read_text()
    assert "3 patients needed, 1 found" in page and study.card["title"] in page


def test_05_says_the_same_on_every_machine():
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "-p", "no:cacheprovider"]
    notebook = ROOT / "notebooks" / "05_reader_results.ipynb"
    done = subprocess.run([*command, notebook], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
