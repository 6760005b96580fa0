"""Does Grad-CAM localise best here, and is it faithful? Sentences from notebook 04's tables."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from camreader.heatmaps import methods

GAIN = "insertion_minus_deletion"
FEWEST = 6  # patients: of fewer, even all on one side could be chance (sign test, 2 / 2^5 > 0.05)


def findings(table: pd.DataFrame, faithful: pd.DataFrame, banner: str = "") -> Iterator[str]:
    """Sentences that state what the tables of localisation and faithfulness carry.

    faithful: empty where it was not asked; banner: said first, where the network is not worth
    explaining (learned.Learned.banner).
    """
    if banner:
        yield f"{banner}."
    truth = table["truth"].iloc[0]
    rows = table[(table["kind"] == "all") & (table["truth"] == truth) & (table["n"] > 0)]
    rows = rows.set_index("method")
    if rows.empty:
        yield "No test slice with a lesion: localisation cannot be measured here."
        return
    yield from _localised(rows, truth)
    if faithful.empty:  # not asked
        return
    if "given" in rows.index:
        yield f"Faithfulness and randomised weights were left out: each {methods.NO_NETWORK}."
        return
    yield from _faithful(faithful)
    yield from _randomised(faithful)


def _localised(rows: pd.DataFrame, truth: str) -> Iterator[str]:
    """Where the maps point: Grad-CAM's shares, then who is told apart from it."""
    main = "given" if "given" in rows.index else "gradcam"
    name = "map as given" if main == "given" else "Grad-CAM map"
    own, base = rows.loc[main], rows[rows.index.isin(methods.baselines())]

    def of_baselines(score: str) -> str:
        return ", ".join(f"{methods.title(k)} {_percent(row, score)}" for k, row in base.iterrows())

    yield (
        f"On {own['n']} lesion slices of {own['patients']} patients the maximum of the {name} "
        f"lies on the lesion ({truth}) in {_percent(own, 'hit')}. Baselines: "
        f"{of_baselines('hit')}."
    )
    yield (
        f"It lies on the lesion or at most 1/16 of the slice's side away in "
        f"{_percent(own, 'hit_near')}. Baselines: {of_baselines('hit_near')}."
    )
    better, worse, alike = _told_apart(rows, "hit", main)
    than = "Grad-CAM" if main == "gradcam" else "the maps as given"
    yield (
        f"Better than {than} (interval of the difference above 0): {_list(better)}. "
        f"Worse: {_list(worse)}. No difference shown: {_list(alike)}."
    )
    if own["patients"] < FEWEST:
        yield f"Fewer than {FEWEST} patients, so nothing is concluded about differences."
    elif main == "given":
        if set(methods.baselines()) - set(worse):
            yield "They are not shown to point at lesions better than both baselines."
    elif len(better):
        yield "So Grad-CAM does not localise best here."
    else:
        yield "No method beats Grad-CAM here; that does not make it the best."


def _faithful(table: pd.DataFrame) -> Iterator[str]:
    """The methods by insertion minus deletion; baselines explain nothing and take no place."""
    rows = table[table["n"] > 0].set_index("method").sort_values(GAIN, ascending=False)
    if "gradcam" not in rows.index:
        return
    contest = rows.drop(index=methods.baselines(), errors="ignore")
    base = rows.loc[rows.index.isin(["gradcam", *methods.baselines()])]
    _above, beaten, _alike = _told_apart(base, GAIN)
    n, patients = rows.loc["gradcam", ["n", "patients"]]
    yield (
        f"Insertion minus deletion (higher: more faithful; {n} slices of {patients} patients), in "
        f"order: {_values(contest)}. Baselines: {_values(base.drop(index='gradcam'))}; Grad-CAM is "
        f"shown to be above: {_list(beaten)}."
    )
    better, worse, alike = _told_apart(contest, GAIN)
    if len(better) or len(worse):
        yield (
            f"More faithful than Grad-CAM (paired interval of the difference above 0): "
            f"{_list(better)}. Less: {_list(worse)}. No difference shown: {_list(alike)}."
        )
    else:
        yield "No method is shown to differ from Grad-CAM, so none is called the most faithful."


def _randomised(table: pd.DataFrame) -> Iterator[str]:
    """What is left of the maps when all weights are random, and how many maps were blank."""
    rows = table.dropna(subset=["randomised_maps"]).set_index("method")
    if rows.empty:
        return
    said = []
    for method, row in rows.iterrows():
        blank = f"{row['randomised_blank']:.0f} of {row['randomised_maps']:.0f} maps blank"
        if np.isnan(row["randomised_likeness"]):
            said.append(f"{methods.title(method)} cannot be compared ({blank})")
            continue
        spread = f"{row['randomised_lowest']:.2f} to {row['randomised_highest']:.2f}"
        said.append(f"{methods.title(method)} {row['randomised_likeness']:.2f} ({spread}; {blank})")
    yield (
        "Rank correlation with the maps of a network of random weights (mean; lowest to highest "
        f"draw; near 1: the map ignores the weights): {', '.join(said)}."
    )


def _told_apart(
    rows: pd.DataFrame, score: str, main: str = "gradcam"
) -> tuple[pd.Index, pd.Index, pd.Index]:
    """Methods better than Grad-CAM, worse, and without a shown difference, by its interval.

    rows: by method, with patients, <score>_minus_<main>_low and _high.
    """
    others = rows.drop(index=main)
    enough = others["patients"] >= FEWEST
    above = enough & (others[f"{score}_minus_{main}_low"] > 0)
    below = enough & (others[f"{score}_minus_{main}_high"] < 0)
    return others.index[above], others.index[below], others.index[~above & ~below]


def _values(rows: pd.DataFrame) -> str:
    return ", ".join(f"{methods.title(name)} {value:.2f}" for name, value in rows[GAIN].items())


def _percent(row: pd.Series, score: str) -> str:
    interval = f" ({100 * row[f'{score}_low']:.0f}–{100 * row[f'{score}_high']:.0f})"
    return f"{100 * row[score]:.0f} %" + ("" if np.isnan(row[f"{score}_low"]) else interval)


def _list(names: Iterable[str]) -> str:
    return ", ".join(methods.title(name) for name in names) or "none"
