"""How every run learned, and where its protocol stopped it."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from camreader.common.style import PAPER, SOUND

SHADE = "0.92"  # of the epochs on close-ups
WATCHED = {
    "train error": "test set (only looked at)",
    "test accuracy": "TEST set: decides when to stop",
    "validation": "validation set: decides when to stop",
}


def curves(history, records):
    """Loss above, error below, one column per run; history and records of the finished runs.

    history: a row per epoch with protocol, run, seed, train_loss, train_error, watched_loss,
    watched_accuracy; records: a row per run with plan and stopped.
    """
    figure, axes = plt.subplots(
        2, len(records), figsize=(3.1 * len(records), 5.4), squeeze=False, sharey="row"
    )
    for column, record in enumerate(records.itertuples()):
        mine = history.query(
            "protocol == @record.protocol and run == @record.run and seed == @record.seed"
        ).reset_index(drop=True)
        colour = SOUND if record.protocol == "sound" else PAPER
        _column(axes[:, column], mine, record, colour)
    axes[0, 0].set_ylim(bottom=0)  # once all are drawn: the columns share it
    axes[1, 0].set_ylim(bottom=-0.02)  # so that a point at 0 is seen
    axes[0, 0].set_ylabel("loss (binary cross-entropy)")
    axes[1, 0].set_ylabel("error")
    return figure


def _column(axes, mine, record, colour):
    epochs = mine.index + 1
    close = mine["stage"] == "close-ups"
    for begin in mine.index[close & ~close.shift(fill_value=False)]:
        end = mine.index[close & (mine["draw"] == mine["draw"][begin])][-1]
        for axis in axes:
            axis.axvspan(begin + 0.5, end + 1.5, color=SHADE, lw=0)
    shade = {"facecolor": SHADE, "edgecolor": "0.5", "label": "close-ups of lesions"}
    shade = [Patch(**shade)] if close.any() else []
    label = WATCHED.get(record.plan["stop"], "")
    axes[0].plot(epochs, mine["train_loss"], color="0.45", label="training set")
    axes[1].plot(epochs, mine["train_error"], color="0.45", label="training set")
    if "watched_loss" in mine and mine["watched_loss"].notna().any():
        axes[0].plot(epochs, mine["watched_loss"], color=colour, marker=".", label=label)
        axes[1].plot(epochs, 1 - mine["watched_accuracy"], color=colour, marker=".", label=label)
    for start in mine.index[mine["draw"].diff() > 0]:
        for axis in axes:
            axis.axvline(start + 0.5, color="0.7", lw=0.8, ls=":")
    axes[1].axhline(0.05, color="0.6", lw=0.8, ls="--")
    axes[0].set_title(f"{record.protocol}, {record.run} run (seed {record.seed})", size=9)
    axes[1].set_xlabel(f"epoch\nstopped: {record.stopped}", size=8)
    lines = axes[0].get_legend_handles_labels()[0]
    axes[0].legend(handles=[*shade, *lines], fontsize=6.5, frameon=False)
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    sns.despine(ax=axes[0])
