"""Who gets the credit? Readers whom only the answer helps, analysed by two designs.

In `STUDIES` simulated studies of 12 readers and 60 cases the network's answer moves readers and the
map does nothing; the network is wrong in 10 % of the cases. `answer_then_map` asks after each; the
same readings without the stage of the answer are what `sequential` would have recorded. Run alone
it writes docs/credit.csv and docs/pictures/credit.png.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from results import finish, studies_asked

from camreader.reader_study import study as readings
from camreader.reader_study import tables
from camreader.session.reader_model import Effects, true_means
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS
from camreader.statistics.intervals import wilson

ROOT = Path(__file__).parents[2]
TABLE, FIGURE = ROOT / "docs" / "credit.csv", ROOT / "docs" / "pictures" / "credit.png"
STUDIES, READERS, CASES, SEED = 200, 12, 60, 0
ERROR_SHARE = 0.1  # a network good enough to help: with 30 % its answer adds 4 points, with 10 % 9
ANSWER_ONLY = Effects(answer=0.6, map_hit=0, map_miss=0, map_free=0, placebo=0, second=0)
THREE, TWO = PRESETS["answer_then_map"], PRESETS["sequential"]
NAMES = {"map": "aided"}  # what the last stage is called where the answer has none of its own


def both_designs(seed):
    """The same readers and readings as `answer_then_map` and as `sequential`."""
    frame = simulate_readings(
        READERS, CASES, seed, paradigm=THREE, effects=ANSWER_ONLY, error_share=ERROR_SHARE
    )
    two = frame[frame["modality"] != "answer"].replace({"modality": NAMES})
    designs = ((frame, THREE), (two, TWO))
    return [readings._from_log(table, "", None, preset) for table, preset in designs]


def comparisons(seed):
    """Rows (design, compared, difference, low, high) of AUC, readers and cases random, each pair
    as 08 compares it."""
    rows = []
    for study in both_designs(seed):
        names = study.stages[::-1]
        pairs = [study.contrast, *((a, b) for k, a in enumerate(names) for b in names[k + 1 :])]
        for pair in dict.fromkeys(pairs):
            found = tables.compare(study.scores, pair)
            ends = dict(zip(("low", "high"), found.ci, strict=True))
            row = {"design": study.paradigm.name, "compared": " minus ".join(pair)}
            rows.append(row | {"difference": found.difference} | ends)
    return rows


def table():
    """Per design and comparison: truth, this study (SEED) and how often a gain is declared."""
    means = true_means(THREE, ANSWER_ONLY, ERROR_SHARE, batches=400)
    means["aided"] = means["map"]
    every = pd.DataFrame([row for k in range(STUDIES) for row in comparisons(SEED + k)])
    rows = []
    for (design, compared), part in every.groupby(["design", "compared"], sort=False):
        first, second = compared.split(" minus ")
        gain = wilson(int((part["low"] > 0).sum()), STUDIES)
        row = {"design": design, "compared": compared, "truth": means[first] - means[second]}
        row |= part.iloc[0][["difference", "low", "high"]].to_dict()
        row |= {"declared": gain.value, "declared_low": gain.low, "declared_high": gain.high}
        rows.append(row | {"studies": STUDIES})
    return pd.DataFrame(rows).round(4)


def draw(found, path):
    """The study of SEED under both designs: what each of them says changed."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    panels = (
        ("sequential", "Two stages"),
        ("answer_then_map", "The answer has a stage of its own"),
    )
    figure, axes = plt.subplots(
        2, 1, figsize=(7.5, 3.6), sharex=True, height_ratios=(1, 3), layout="constrained"
    )
    for ax, (design, words) in zip(axes, panels, strict=True):
        part = found[found["design"] == design].iloc[::-1].reset_index(drop=True)
        y = np.arange(len(part))
        shown = np.where(part["low"] > 0, "#D55E00", "0.45")
        ax.hlines(y, 100 * part["low"], 100 * part["high"], colors=shown, lw=2.5)
        ax.scatter(100 * part["difference"], y, c=shown, s=45, zorder=3)
        ax.scatter(100 * part["truth"], y, marker="|", c="k", s=160, zorder=4)
        ax.set_yticks(y, part["compared"])
        for height, row in zip(y, part.to_dict("records"), strict=True):
            often = f"{100 * row['declared']:.0f} % of {row['studies']} studies"
            ax.annotate(often, (1.01, height), xycoords=("axes fraction", "data"), va="center")
        ax.axvline(0, color="0.7", lw=0.8, zorder=0)
        ax.set(ylim=(-0.6, len(part) - 0.4))
        ax.set_title(f"{words} ({design})", loc="left", size=10)
    axes[0].annotate(
        "a gain declared in", (1.01, 1.15), xycoords=("axes fraction",) * 2, va="bottom", size=9
    )
    axes[1].set_xlabel("difference in AUC, points, 95 % interval; black: the truth put in")
    figure.supxlabel(
        f"SIMULATED: {READERS} readers × {CASES} cases, only the answer helps, the map does "
        f"nothing; the network errs in {100 * ERROR_SHARE:.0f} %",
        x=0.995, ha="right", size=7, color="#CC3311",
    )  # fmt: skip
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main():
    """Simulate, write table and figure; the map must not get what the answer did."""
    found = table()
    found.to_csv(TABLE, index=False)
    draw(found, FIGURE)
    declared = found.set_index("compared")["declared"]
    fair = declared["map minus answer"] <= 0.08 and declared["aided minus unaided"] > 0.5
    return {
        "title": "Who gets the credit: map or answer",
        "about": __doc__.split("\n\n")[1].replace("\n", " "),
        "rows": found.to_dict("records"),
        "within_limit": bool(fair),
    }


if __name__ == "__main__":
    STUDIES = studies_asked(__doc__, STUDIES)
    finish("credit", main())
