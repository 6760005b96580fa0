"""Does Grad-CAM localise best here? In words, from the tables of notebook 04."""

import numpy as np

from camreader import rivals


def finding(table, faithful):
    """Does Grad-CAM localise best here? In words, from the two tables."""
    truth = table["truth"].iloc[0]
    rows = table[(table["kind"] == "all") & (table["truth"] == truth) & (table["n"] > 0)]
    rows = rows.set_index("method")
    if rows.empty:
        return "No test slice with a lesion: localisation cannot be measured here."
    own = rows.loc["gradcam"]
    words = [
        f"On {own['n']} lesion slices of {own['patients']} patients the maximum of the Grad-CAM "
        f"map lies on the lesion ({truth}) in {_percent(own, 'hit')}; centre blob "
        f"{_percent(rows.loc['centre'], 'hit')}, random map {_percent(rows.loc['random'], 'hit')}.",
        f"It lies on it or at most 1/16 of the slice's side away in {_percent(own, 'hit_near')}; "
        f"centre blob {_percent(rows.loc['centre'], 'hit_near')}.",
    ]
    better = rows[rows["hit_minus_gradcam_low"] > 0].index
    worse = rows[rows["hit_minus_gradcam_high"] < 0].index
    names = {name: rivals.TITLES[name] for name in rows.index}
    words.append(
        f"Better than Grad-CAM (interval of the difference above 0): {_list(better, names)}. "
        f"Worse: {_list(worse, names)}. Not told apart: "
        f"{_list([n for n in rows.index if n not in {*better, *worse, 'gradcam'}], names)}."
    )
    if np.isnan(own["hit_low"]):
        words.append("With one patient there is no interval, so nothing is concluded.")
    elif len(better):
        words.append("So Grad-CAM does not localise best here.")
    else:
        words.append("No method beats Grad-CAM here; that does not make it the best.")
    order = faithful.sort_values("insertion_minus_deletion", ascending=False)["method"]
    words.append(f"Most faithful by insertion minus deletion: {rivals.TITLES[order.iloc[0]]}.")
    return " ".join(words)


def _percent(row, score):
    interval = f" ({100 * row[f'{score}_low']:.0f}–{100 * row[f'{score}_high']:.0f})"
    return f"{100 * row[score]:.0f} %" + ("" if np.isnan(row[f"{score}_low"]) else interval)


def _list(methods, names):
    return ", ".join(names[m] for m in methods) or "none"
