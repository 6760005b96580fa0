"""What the reader study found, in sentences computed from its tables, and what it cannot say.

Also the checklist: which items of STARD-AI, CLAIM, DECIDE-AI and the guidance for reader studies
the report meets, which need recorded readings, which do not apply, and what is missing.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.common.storage import read_table
from camreader.common.text import points
from camreader.reader_study.study import ReaderStudy
from camreader.reader_study.tables import FEW
from camreader.statistics.mrmc.power import MOST_CASES

GUIDELINES = {  # as published; what the items ask is in our words
    "STARD-AI": "STARD-AI (Sounderajah et al. 2025, Nat Med 31:3283), all 40 items",
    "CLAIM": "CLAIM, update of 2024 (Tejani et al., Radiol Artif Intell 6:e240300), all 44 items",
    "DECIDE-AI": "DECIDE-AI (Vasey et al. 2022, BMJ 377:e070904), its 17 items on AI",
    "MRMC": "reader-study guidance (FDA 2022 for CADe; Obuchowski & Bullen 2022), by topic",
}
STATUSES = ("met", "partly", "not met", "not applicable")


def checklist(path: str | Path, study: ReaderStudy) -> pd.DataFrame:
    """The reporting checklist with each item's status for this study, one of `STATUSES`.

    `path` is the committed table of items. Items that need readings are met only where a reading
    log was recorded, those that need scores also by a file of scores; a simulation, which nobody
    read, leaves both unmet.
    """
    table = read_table(path).fillna("")
    needed = {"readings": study.simulated or study.readings is None, "scores": study.simulated}
    waiting = table["needs"].map(needed).eq(True)
    words = "no readings recorded yet" if study.simulated else "a file of scores does not tell"
    table.loc[waiting, ["status", "missing"]] = ["not met", words]
    return table.drop(columns="needs").replace({"guideline": GUIDELINES})


def checklist_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Items per guideline and status."""
    counts = pd.crosstab(table["guideline"], table["status"])
    return counts.reindex(columns=list(STATUSES), fill_value=0).reset_index()


def findings(
    study: ReaderStudy,
    compared: pd.DataFrame,
    change: pd.DataFrame,
    helpful: pd.DataFrame,
    time: pd.DataFrame,
    planning: pd.DataFrame,
    margins: pd.DataFrame | None = None,
    hits: pd.DataFrame | None = None,
    pays: pd.DataFrame | None = None,
) -> list[str]:
    """Sentences for the report, from the tables of `tables`.

    margins: of `planning.margin_table`, where a margin is asked about. hits, pays: of
    `map_effect.hit_table` and `break_even.break_even_table`, where the map has a part.
    """
    sentences = [f"{study.source}."]
    if study.simulated:
        sentences.append("Nobody read these cases: what follows shows the analysis, not an effect.")
    main = compared["covariance"].eq("jackknife")
    main &= compared["random"].isin(["readers and cases", "cases"])
    rows = compared[main].to_dict("records")
    general = any(row["random"] == "readers and cases" for row in rows)
    # readers in arms of their own have no analysis of these readers only: 08_or says so
    rows = [r for r in rows if not (general and r["random"] == "cases" and pd.isna(r.get("low")))]
    told = list(dict.fromkeys(map(accuracy, rows)))  # one reader: two rows of one analysis
    sentences += [*told[:1], *_limits(study, compared), *told[1:]]
    sentences += _margins(margins)
    parts: list[tuple[str, Callable, pd.DataFrame | None]] = [
        ("Benefit and harm", _changes, change),
        ("Map and lesion", _hits, hits),
        ("Break-even", _pays, pays),
        ("Helpfulness", _helpfulness, helpful),
        ("Time", partial(_time, study=study), time),
    ]
    for what, said, table in parts:
        if table is not None:
            refused = "refused" in table
            sentences += [f"{what}: {table['refused'].iloc[0]}."] if refused else said(table)
    sentences.append(_plan(planning, max(study.size[0], 5)))
    sentences += [f"Note: {flag}." for flag in study.flags]
    return sentences


def _limits(study: ReaderStudy, compared: pd.DataFrame) -> list[str]:
    """What cannot be concluded: by the interval of the primary contrast, and by the design."""
    if not study.declared or study.paradigm is None:
        return []
    row, sentences = compared.iloc[0], []
    if pd.notna(row.get("low")) and row["low"] <= 0 <= row["high"]:
        ends = f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}"
        words = f"Anything from {ends} points of AUC remains compatible with the data; "
        sentences.append(words + "that the two are equal has not been shown.")
    first, second = (set(study.shows(name)) for name in study.paradigm.contrast)
    if first - second == {"map"}:
        sentences.append("The contrast differs in the map alone: the answer's share is not in it.")
    elif "map" in first - second:
        sentences.append("Map and answer came together: which of them did it cannot be told.")
    return [*sentences, f"This design cannot show {study.paradigm.cannot}."]


def _margins(table: pd.DataFrame | None) -> list[str]:
    """What the margin says, one sentence per pair; nothing without one."""
    if table is None or "refused" in table:
        return []
    sentences = []
    for row in table[table["test"] == "non-inferiority"].to_dict("records"):
        verdict = "shown" if row["shown"] else "not shown"
        said = f"Non-inferiority, {row['compared']}, at a margin of {100 * row['margin']:.0f} "
        said += f"points: {verdict} (one-sided {_p(row['p'])})"
        said += "" if row["declared"] else "; the margin was not declared before"
        sentences.append(f"{said}.")
    return sentences


def as_markdown(sentences: Iterable[str]) -> str:
    """The sentences as a list for a notebook's output."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def accuracy(row: Mapping) -> str:
    """What one row of `tables.comparison_table` says, with its verdict."""
    name = {"auc": "AUC"}.get(row["metric"], row["metric"].capitalize())
    general = "readers" in str(row["random"])
    scope = "readers and cases in general" if general else "these readers only"
    if pd.isna(row.get("low")):
        return f"{name}: no comparison ({row['flags']})."
    verdict = "no difference can be concluded"
    adjusted = row.get("p_holm", row["p"])
    if adjusted < 0.05:
        verdict = "a difference shows"
    elif row["low"] > 0 or row["high"] < 0:
        verdict = "no difference can be concluded after Holm's adjustment"
    ends = (100 * row[key] for key in ("difference", "low", "high"))
    change = "{:+.1f} points (95 % interval {:+.1f} to {:+.1f})".format(*ends)
    start = ""
    if row.get("primary"):
        endpoint = row["metric"] == "auc" and general
        start = f"Primary contrast{', declared before' * endpoint}: "
    start += (
        f"{name} for {scope}, {row['compared']}: {row['first']:.3f} against {row['second']:.3f}"
    )
    same = pd.isna(adjusted) or np.isclose(adjusted, row["p"])
    more = "" if same else f" (Holm {_p(adjusted)})"
    return f"{start}, {change}, {_p(row['p'])}{more}: {verdict}."


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _changes(change: pd.DataFrame) -> list[str]:
    sentences, steps = [], change["step"].nunique()
    for row in change.to_dict("records"):
        where = "In all readings" if row["cnn"] == "all" else f"Where the CNN was {row['cnn']}"
        where = f"{row['step']}: {where[0].lower()}{where[1:]}" if steps > 1 else where
        counts = f"{row['benefit']} of {row['benefit_of']} wrong answers turned right and "
        counts += f"{row['harm']} of {row['harm_of']} right answers turned wrong"
        sentences.append(f"{where}, {counts}{_net(row)}.")
    return sentences


def _hits(table: pd.DataFrame) -> list[str]:
    """Benefit and harm where the map lay on the lesion and where it lay elsewhere, by step."""
    sentences, columns = [], ["benefit", "benefit_of", "harm", "harm_of"]
    for step, part in table[table["map"] != "no lesion"].groupby("step", sort=False):
        sums, said = part.groupby("map")[columns].sum(), []
        for name, where in (("hit", "lay on the lesion"), ("missed", "lay elsewhere")):
            if name in sums.index:
                counts = (
                    "{:.0f} of {:.0f} wrong answers turned right and {:.0f} of {:.0f} right ones"
                )
                said.append(f"where the map {where}, {counts.format(*sums.loc[name])} wrong")
        sentences.append(f"{step}: {'; '.join(said)} (intervals: 08_map_hit).")
    return sentences


def _pays(table: pd.DataFrame) -> list[str]:
    """Up to which error rate of the network the primary contrast pays, by prevalence."""
    first = table[table["compared"] == table["compared"].iloc[0]]
    said = []
    for prevalence, part in first.groupby("prevalence"):
        row = part.iloc[0]
        ends = (_rate(row[f"break_even_{end}"]) for end in ("low", "high"))
        rate = f"{100 * row['break_even']:.0f} % ({' to '.join(ends)})"
        rate = row["note"] if pd.isna(row["break_even"]) else rate
        said.append(f"at a prevalence of {100 * prevalence:g} %, {rate}")
    start = f"Error rate of the network up to which {first['compared'].iloc[0]} pays"
    return [f"{start}: {'; '.join(said)}."]


def _rate(value: float) -> str:
    return f"{100 * value:.0f}" if pd.notna(value) else "outside 0 to 100"


def _net(row: Mapping) -> str:
    if pd.isna(row.get("net_low")):
        return f" ({row['note']})" if row["note"] else ""
    ends = (100 * row[key] for key in ("net", "net_low", "net_high"))
    words = "net {:+.1f} points, {:+.1f} to {:+.1f}".format(*ends)
    few = " only" if row["patients"] < FEW else ""
    return f" ({words} over{few} {row['patients']:.0f} patients, for these readers)"


def _helpfulness(helpful: pd.DataFrame) -> list[str]:
    yes = helpful[helpful["helpful"] == "yes"].set_index("readings")
    yes = yes[yes["stage"] == yes["stage"].iloc[0]]  # the contrast's stage comes first
    name = next(index for index in yes.index if index.startswith("CNN agreed"))
    agreed, other = yes.loc[name], yes.loc["CNN disagreed"]
    shown = "heat-map" if yes["stage"].iloc[0] in ("aided", "map") else yes["stage"].iloc[0]
    words = "The {} was called helpful in {:.0f} of {:.0f} readings where the CNN agreed with the "
    words += "{} answer and in {:.0f} of {:.0f} where it disagreed."
    start = name.removeprefix("CNN agreed with the ").removesuffix(" answer")
    return [words.format(shown, agreed["k"], agreed["n"], start, other["k"], other["n"])]


def _time(time: pd.DataFrame, study: ReaderStudy) -> list[str]:
    rows = time.to_dict("records")
    parts = [
        f"{'another ' * study.follows(row['modality'])}{row['seconds_median']:.0f} s "
        f"{row['modality']}"
        for row in rows
    ]
    sentences = [f"Median time per case: {', '.join(parts)}."]
    return sentences + [_session(row) for row in rows if pd.notna(row["right_change_low"])]


def _session(row: Mapping) -> str:
    """Learning and fatigue of one modality."""
    words = points(*(row[f"right_change{end}"] for end in ("", "_low", "_high")))
    start = f"{row['modality'].capitalize()} diagnoses, last against first third of a session"
    time = ""
    if pd.notna(row["change_per_10_cases"]):
        percents = (100 * row[f"change_{end}"] for end in ("per_10_cases", "low", "high"))
        time = "; time per ten cases {:+.1f} % ({:+.1f} to {:+.1f})".format(*percents)
    return f"{start}: {words} right{time}."


def _plan(planning: pd.DataFrame, readers: int) -> str:
    """Cases for `readers` readers, by the first pilot and over the others that have room."""
    chosen = planning[planning["readers"] == min(readers, planning["readers"].max())]
    pilot, parts = planning["pilot"].iloc[0], []
    for difference, part in chosen.groupby("difference"):
        own, others = part[part["pilot"] == pilot].iloc[0], part[part["pilot"] != pilot]
        words = _cases(own["cases"]) if own["room"] else "no room above the pilot's AUC"
        ends = [_cases(x) for x in _ends(others.loc[others["room"], "cases"])]
        parts.append(f"{100 * difference:.0f} points: {words} ({ends[0]} to {ends[1]})")
    power = f"{100 * planning['wanted'].iloc[0]:.0f} %"
    start = f"Cases for {power} power with {chosen['readers'].iloc[0]} readers: {'; '.join(parts)}."
    range_words = "in brackets the range over simulated kinds of readers and cases"
    return f"{start} First by {pilot}; {range_words}."


def _cases(count: float) -> str:
    return f"{int(count)}" if pd.notna(count) else f"more than {MOST_CASES:,}"


def _ends(cases: pd.Series) -> tuple:
    """Fewest and most cases; missing counts as most."""
    return cases.min(), None if cases.isna().any() else cases.max()
