"""What the report says first: the answer this run can give, and the paper's items beside ours.

Nothing is measured here. Every number is read from the study's tables; one that a table does not
have is said to be missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from camreader.common.storage import read_table
from camreader.common.study import Study
from camreader.common.text import points
from camreader.published import claims
from camreader.published.claims import Measure, metric

LOCALISATION = "04_localisation"  # the figure of the first screen, and its table
REHEARSED = "08_reader_study"  # whose readings may be simulated
POINTS = 0.10  # the difference in AUC that the planning sentence is about


@dataclass(frozen=True)
class Counterpart:
    """A figure, table or number of the paper and what this workbook has in its place."""

    item: str
    published: str  # what the paper shows, in our words
    file: str  # of reports/figures (without .png) or reports/tables (.csv)
    measures: dict[str, Measure] = field(default_factory=dict)  # words -> Measure


COUNTERPARTS = (
    Counterpart("Figure 1", "The parts of a CNN", "figure1_components"),
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
    Counterpart("Figure 4", "The generic CNN, sizes not printed", "figure4_network"),
    Counterpart(
        "Figure 5",
        "Outputs after the first run",
        "figure5_outputs",
        {"accuracy": metric("accuracy", run="first")},
    ),
    Counterpart("Figure 6", "Overlays, actual and predicted", "figure6_overlays"),
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
    Counterpart("Table 1", "Three papers on which map is best; no number", f"{LOCALISATION}.csv"),
    Counterpart(
        "Table 2",
        "Accuracy 85.414 %, then 91.909 %; n not printed",
        "table2.csv",
        {f"{run} run": metric("accuracy", "paper", run) for run in ("first", "second")},
    ),
    Counterpart(
        "Table 3", "16 readings; the last row is cut off in the text we have", "table3.csv"
    ),
    Counterpart(
        "Final accuracy",
        "95.89 %, 14 errors: 341 images. The test set decided when to stop",
        "03_metrics.csv",
        {f"the {name} protocol": metric("accuracy", name) for name in ("paper", "sound")},
    ),
)


def counterparts(study: Study) -> list[dict[str, Any]]:
    """One row per item of the paper: item, what was published, our counterpart, what it says."""
    rows = []
    for part in COUNTERPARTS:
        table = part.file.endswith(".csv")
        address = f"tables/{part.file}" if table else f"figures/{part.file}.png"
        row = {"item": part.item, "published": part.published, "address": address}
        here = [f"{words}: {m.read(study.tables)}" for words, m in part.measures.items()]
        rows.append(row | {"picture": not table, "here": here})
    return rows


def is_simulated(study: Study) -> bool:
    """Whether the readings that notebook 08 analysed were drawn from a model."""
    return bool(read_table(study.tables / "08_source.csv")["simulated"].iloc[0])


def answer(study: Study) -> list[str]:
    """The answer that this run can give to the report's title: five sentences with intervals."""
    return [*_readers(study), *_map(study), *_network(study), *_claims(study), *_planning(study)]


def _readers(study: Study) -> Iterator[str]:
    """The comparison of readers with and without the map; nothing of a simulated one."""
    source = read_table(study.tables / "08_source.csv").iloc[0]
    if is_simulated(study):
        yield "Nobody has read these cases yet, so this run cannot say whether the map helps."
        return
    frame = read_table(study.tables / "08_or.csv")
    main = frame[(frame["metric"] == "auc") & (frame["covariance"] == "jackknife")].iloc[0]
    size = f"{source['readers']} readers, {source['cases']} cases"
    if pd.isna(main["difference"]):
        yield f"The effect on readers ({size}) could not be estimated: {main.get('flags', '')}."
        return
    told = "a difference" if main["low"] > 0 or main["high"] < 0 else "no difference"
    gap = points(main["difference"], main["low"], main["high"])
    yield f"Readers ({size}) show {told} in AUC, {main['compared']}: {gap}."


def _map(study: Study) -> Iterator[str]:
    """Whether the map points at the lesion, beside a map of random values."""
    hit, chance = (claims.localisation(name).read(study.tables) for name in ("gradcam", "random"))
    given = claims.localisation("given").read(study.tables)
    if not given.startswith(claims.NOT_MEASURED):
        yield (
            f"In slices with a lesion the maximum of the map, as it was given, lies on the lesion "
            f"in {given}; that of a random map in {chance}."
        )
        return
    if hit.startswith(claims.NOT_MEASURED):
        yield f"Whether the map points at the lesion was {hit}."
        return
    yield (
        f"In slices with a lesion Grad-CAM's map for tumor, which a reading shows, has its maximum "
        f"on the lesion in {hit}; a random map in {chance}."
    )


def _network(study: Study) -> Iterator[str]:
    """Accuracy under both protocols, and of one and the same answer for every slice."""
    said = []
    for protocol, words in (
        ("paper", "under the paper's protocol"),
        ("sound", "with patients kept apart"),
    ):
        refused = study.card["refusals"].get(protocol)
        value = metric("accuracy", protocol).read(study.tables)
        said.append(f"{value} {words}" if not refused else f"refused {words} ({refused})")
    always = [metric("commoner class", p).read(study.tables) for p in ("paper", "sound")]
    measured = [text for text in always if not text.startswith(claims.NOT_MEASURED)]
    baseline = (measured or always)[0].split(" (")[0]
    yield (
        f"The network's accuracy is {said[0]} and {said[1]}; one and the same answer for every "
        f"slice would reach {baseline}."
    )


def _claims(study: Study) -> Iterator[str]:
    """How many of the facts that the paper states its own data carry, each counted once."""
    facts = claims.by_fact(read_table(study.tables / "claims.csv"))
    counts = facts["verdict"].map(claims.kind).value_counts()
    words = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    yield f"Of {len(facts)} facts the paper states, recomputed from its own data: {words}."


def _planning(study: Study) -> Iterator[str]:
    """The smallest planned study that would tell a difference of POINTS."""
    frame = read_table(study.tables / "08_planning.csv")
    pilot = frame[(frame["pilot"] == frame["pilot"].iloc[0]) & frame["cases"].notna()]
    near = pilot[(pilot["difference"] - POINTS).abs() < 1e-9].sort_values("readers")
    if near.empty:
        yield f"No study of the planned sizes would tell {100 * POINTS:.0f} points in AUC."
        return
    least = near.iloc[0]
    yield (
        f"To tell a difference of {100 * POINTS:.0f} points in AUC with a power of "
        f"{100 * least['wanted']:.0f} %, {least['readers']:.0f} readers need about "
        f"{least['cases']:.0f} cases; pilot: {least['pilot']}."
    )
