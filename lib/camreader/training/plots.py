"""How every run learned, and where its protocol stopped it.

Tested in tests/training/test_train.py, on the curves of the runs trained there.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from camreader.common.style import PAPER, SOUND, refusal
from camreader.training.experiments import Until

WATCHED = {
    Until.TRAIN_ERROR: "test set (only looked at)",
    Until.TEST_ACCURACY: "TEST set: its last value decides",
    Until.VALIDATION: "validation set: decides when to stop",
}


def curves(history: pd.DataFrame, records: pd.DataFrame) -> Figure:
    """Loss above, error below, one column per run; history and records of the finished runs.

    history: a row per epoch with protocol, run, seed, train_loss, train_error, watched_loss,
    watched_accuracy; records: a row per run with plan and ended.
    """
    if history.empty:
        return refusal("Nothing was trained: the network is used as it is")
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


def _column(axes: np.ndarray, mine: pd.DataFrame, record: Any, colour: str) -> None:
    epochs = mine.index + 1
    label = WATCHED.get(record.plan["stop"], "")
    axes[0].plot(epochs, mine["train_loss"], color="0.45", label="training set")
    axes[1].plot(epochs, mine["train_error"], color="0.45", label="training set")
    if "watched_loss" in mine and mine["watched_loss"].notna().any():
        seen = mine.dropna(subset=["watched_loss"])  # the test set is not asked every time
        axes[0].plot(seen.index + 1, seen["watched_loss"], color=colour, marker=".", label=label)
        error = 1 - seen["watched_accuracy"]
        axes[1].plot(seen.index + 1, error, color=colour, marker=".", label=label)
    for start in mine.index[mine["draw"].diff() > 0]:
        for axis in axes:
            axis.axvline(start + 0.5, color="0.7", lw=0.8, ls=":")
    axes[1].axhline(0.05, color="0.6", lw=0.8, ls="--")
    axes[0].set_title(f"{record.protocol}, {record.run} run (seed {record.seed})", size=9)
    axes[1].set_xlabel(f"epoch\n{record.ended}", size=7)
    axes[0].legend(fontsize=6.5, frameon=False)
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    sns.despine(ax=axes[0])
