"""The report's front page: its numbers and words, taken from the study's tables and notebooks.

Nothing is measured here. A number that a table does not have is said to be missing, in words.
"""

from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd

from camreader.common.storage import read_table
from camreader.published import claims
from camreader.published.claims import Measure

WIDGET = "application/vnd.jupyter.widget-view+json"
ACCURACY, COMMONER = (
    {
        p: Measure("03_metrics", {"metric": m, "protocol": p, "run": "final"})
        for p in ("paper", "sound")
    }
    for m in ("accuracy", "commoner class")
)


@dataclass(frozen=True)
class Counterpart:
    """A figure, table or number of the paper and what this workbook has in its place."""

    item: str
    published: str  # what the paper shows, in our words
    file: str  # of reports/figures (without .png) or reports/tables (.csv)
    measures: dict  # words -> Measure

    @property
    def address(self):
        return f"tables/{self.file}" if self.file.endswith(".csv") else f"figures/{self.file}.png"


def _run(name):
    return Measure("03_metrics", {"metric": "accuracy", "protocol": "paper", "run": name})


COUNTERPARTS = (
    Counterpart("Figure 1", "The parts of a CNN", "figure1_components", {}),
    Counterpart(
        "Figure 2",
        "The steps of Grad-CAM",
        "figure2_gradcam_steps",
        {"maximum on the lesion": claims.MAP_HIT},
    ),
    Counterpart(
        "Figure 3",
        "Labelled slices; no word on where “no tumor” comes from",
        "figure3_examples",
        {"neighbours that hide a lesion": claims.HIDDEN},
    ),
    Counterpart("Figure 4", "The generic CNN, sizes not printed", "figure4_network", {}),
    Counterpart(
        "Figure 5", "Outputs after the first run", "figure5_outputs", {"accuracy": _run("first")}
    ),
    Counterpart("Figure 6", "Overlays, actual and predicted", "figure6_overlays", {}),
    Counterpart(
        "Figure 7",
        "Lung: 98.126 %, n not printed",
        "figure7_lung",
        {"accuracy": claims.region("lung")},
    ),
    Counterpart(
        "Figure 8",
        "Liver: 100 %, n not printed",
        "figure8_liver",
        {"accuracy": claims.region("liver")},
    ),
    Counterpart(
        "Table 1", "Three papers on which map is best; no number", "04_localisation.csv", {}
    ),
    Counterpart(
        "Table 2",
        "Accuracy 85.414 %, then 91.909 %; n not printed",
        "table2.csv",
        {"first run": _run("first"), "second run": _run("second")},
    ),
    Counterpart("Table 3", "16 readings; the last row is cut off", "table3.csv", {}),
    Counterpart(
        "Final accuracy",
        "95.89 %, 14 errors: 341 images. The test set decided when to stop",
        "03_metrics.csv",
        {"the paper's protocol": ACCURACY["paper"], "the sound protocol": ACCURACY["sound"]},
    ),
)


def counterparts(study):
    """One row per item of the paper: item, what was published, our counterpart, what it says."""
    rows = []
    for part in COUNTERPARTS:
        said = [f"{words}: {m.read(study.tables)}" for words, m in part.measures.items()]
        rows.append(
            {
                "item": part.item,
                "published": part.published,
                "address": part.address,
                "here": "; ".join(said) or "drawn or recomputed",
            }
        )
    return rows


def headline(study):
    """The few numbers a reader looks for first: dicts of label, value and note."""
    cards = [
        _card(
            "Accuracy, the paper's protocol",
            ACCURACY["paper"].read(study.tables),
            "slices split at random; the test set decided when to stop" + _commoner(study, "paper"),
        ),
        _card(
            "Accuracy, the sound protocol",
            study.card["refusals"].get("sound") or ACCURACY["sound"].read(study.tables),
            "patients kept apart; test set looked at once" + _commoner(study, "sound"),
        ),
    ]
    return [*cards, _localisation(study), _readers(study), _claims(study)]


def _commoner(study, protocol):
    """The share that one and the same answer would get right, to stand under an accuracy."""
    value = COMMONER[protocol].read(study.tables)
    share = value.split(" (")[0]
    return "" if value.startswith(claims.NOT_MEASURED) else f"; always one answer: {share}"


def _card(label, value, note):
    """A number with its interval, as Measure.read words them, taken apart for the eye."""
    number, _, limits = value.partition(" (")
    return {"label": label, "value": number, "limits": limits.removesuffix(")"), "note": note}


def _localisation(study):
    value = claims.MAP_HIT.read(study.tables)
    note = f"on it or at most 1/16 of the side away: {claims.MAP_NEAR.read(study.tables)}"
    note = "" if value.startswith(claims.NOT_MEASURED) else note
    return _card("Grad-CAM's maximum on the lesion", value, note)


def _readers(study):
    """With the heat-map against without, for readers and cases in general."""
    frame = read_table(study.tables / "08_or.csv")
    main = frame[(frame["metric"] == "auc") & (frame["covariance"] == "jackknife")].iloc[0]
    label = f"Readers' AUC, {main['compared']}"
    note = "no person read anything: simulated" if _simulated(study) else "recorded readings"
    if pd.isna(main["difference"]):
        return _card(label, "not measured", str(main.get("flags", "")))
    limits = "{:+.1f} to {:+.1f}".format(*(100 * main[end] for end in ("low", "high")))
    return _card(label, f"{100 * main['difference']:+.1f} points ({limits})", note)


def _simulated(study):
    return "SIMULATED" in " ".join(finding(study, "08_reader_study"))


def _claims(study):
    frame = read_table(study.tables / "claims.csv")
    kinds = frame["verdict"].map(claims.kind)
    counts = ", ".join(f"{n} {kind}" for kind, n in kinds.value_counts().items())
    reproduced = int((kinds == "reproduced").sum())
    return _card(
        "Claims of the paper reproduced from its own data",
        f"{reproduced} of {len(frame)}",
        counts,
    )


def finding(study, notebook):
    """Sentences of a notebook's last output in words; a widget's is none, and is passed over."""
    path = Path(study.reports) / "notebooks" / f"{notebook}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    outputs = [c.outputs for c in cells if c.cell_type == "code" and c.outputs]
    outputs = [one for one in outputs if not any(WIDGET in o.get("data", {}) for o in one)]
    text = "".join(_text(output) for output in outputs[-1]) if outputs else ""
    lines = [line.strip().removeprefix("- ").replace("**", "") for line in text.splitlines()]
    return [line for line in lines if line]


def _text(output):
    data = output.get("data", {})
    return output.get("text") or data.get("text/markdown") or data.get("text/plain", "")
