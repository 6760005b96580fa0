"""One look for every figure, the words that say what a figure was made from, and saving."""

import matplotlib.pyplot as plt
import seaborn as sns

from camreader.common.storage import atomic_path

TUMOR, NO_TUMOR = "#D55E00", "#0072B2"  # Okabe-Ito: told apart by colour-blind readers
PAPER, SOUND = "#CC79A7", "#009E73"  # the two protocols
HEAT = "inferno"


def use_style():
    """Set the house style; every notebook calls it once."""
    sns.set_theme(context="notebook", style="ticks", font_scale=0.85)
    plt.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.dpi": 150,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )


def label_cohort(figure, study):
    """Write the cohort's title on the figure itself; synthetic data must never pass as real."""
    engine, room = figure.get_layout_engine(), 0.16 / figure.get_figheight()
    if engine is not None and engine.get()["rect"] == (0, 0, 1, 1):
        engine.set(rect=(0, room, 1, 1 - room))  # so that the words lie on nothing else
    figure.text(0.999, 0.001, study.card["title"], ha="right", va="bottom", size=7, color="0.35")


def save(figure, study, name, cohort=True):
    """Save to reports/figures/<name>.png, labelled with its cohort, and return the figure.

    cohort=False is for figures that show no cohort data (a network diagram, published numbers).
    """
    if cohort:
        label_cohort(figure, study)
    with atomic_path(study.figures / f"{name}.png") as temporary:
        figure.savefig(temporary)
    return figure


def refusal(text):
    """A figure that says in words why there is nothing to draw."""
    figure, axes = plt.subplots(figsize=(7, 1.6))
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    axes.axis("off")
    return figure
