"""One look for every figure, the words that say what a figure was made from, and saving."""

import textwrap
from functools import cache, partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter

from camreader.common.errors import Refusal
from camreader.common.storage import atomic_path
from camreader.common.study import Study
from camreader.common.tables import parse_boxes

TUMOR, NO_TUMOR = "#D55E00", "#0072B2"  # Okabe-Ito: told apart by colour-blind readers
MISSED, FALSE_ALARM = TUMOR, NO_TUMOR  # errors, in the colour of their truth
PAPER, SOUND = "#7B3294", "#009E73"  # the two protocols
LESION_BOX = "#56B4E9"  # seen on grey and on every colour of HEAT
HEAT = "inferno"
# Names of people: Chinese, Japanese, Korean, Arabic, Devanagari on Linux, Windows and macOS.
WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei"),
    *("Malgun Gothic", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
    *("Noto Sans Arabic", "Noto Sans Devanagari"),
)


def use_style() -> None:
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


def label_cohort(figure: Figure, study: Study) -> None:
    """Write the cohort's title on the figure itself; synthetic data must never pass as real."""
    engine, room = figure.get_layout_engine(), 0.16 / figure.get_figheight()
    if isinstance(engine, ConstrainedLayoutEngine) and engine.get()["rect"] == (0, 0, 1, 1):
        engine.set(rect=(0, room, 1, 1 - room))  # so that the words lie on nothing else
    figure.text(0.999, 0.001, study.card["title"], ha="right", va="bottom", size=7, color="0.35")


def warn(figure: Figure, banner: str) -> None:
    """Write a warning over the whole figure: what it shows must not be taken at face value."""
    words = textwrap.fill(banner, int(12 * figure.get_figwidth()))
    engine, room = figure.get_layout_engine(), 0.16 * (1 + words.count("\n")) + 0.04
    share = room / figure.get_figheight()
    if isinstance(engine, ConstrainedLayoutEngine):
        left, bottom, across, high = engine.get()["rect"]
        engine.set(rect=(left, bottom, across, high - share))
    if title := figure.get_suptitle():
        font = next(t for t in figure.texts if t.get_text() == title).get_fontproperties()
        figure.suptitle(title, y=0.99 - share, fontproperties=font)
    figure.text(0.5, 0.999, words, ha="center", va="top", size=8, weight="bold", color=TUMOR)


def spell_out(figure: Figure) -> None:
    """Show every text as it was typed: $ begins no formula, and no sign turns into a box.

    A name may hold both. matplotlib's own formulas (the powers of ten on an axis) stay; a sign
    that no font here has is written as its code, so that two names never look alike.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = axis.get_major_formatter()
            if isinstance(ticks, FixedFormatter | FuncFormatter):  # somebody's names
                axis.set_major_formatter(FuncFormatter(partial(_spelt, ticks)))
                for label in axis.get_ticklabels():
                    label.set_parse_math(False)
    for text in figure.findobj(Text):
        words = text.get_text()
        if "\\mathdefault" in words:
            continue
        if "$" in words:  # an empty label may yet become a power of ten
            text.set_parse_math(False)
        if not words.isascii():
            text.set_fontfamily([*text.get_fontfamily(), *_installed()])
            text.set_text(_legible(words))


def _spelt(ticks: Formatter, value: float, place: int | None = None) -> str:
    return _legible(ticks(value, place))


def _legible(words: str) -> str:
    return "".join(c if _drawn(ord(c)) else f"\\u{ord(c):04x}" for c in words)


@cache
def _installed() -> tuple[str, ...]:
    """Fonts on this machine, in this order, that have signs DejaVu Sans lacks."""
    here = set(font_manager.get_font_names())
    return tuple(name for name in WIDE_FONTS if name in here)


@cache
def _drawn(sign: int) -> bool:
    """Whether one of the fonts has a sign; line ends and the like need none."""
    families = [FontProperties(family=[name]) for name in ("sans-serif", *_installed())]
    paths = map(font_manager.findfont, families)
    return sign < 32 or any(FT2Font(path).get_char_index(sign) for path in paths)


def save(
    figure: Figure,
    study: Study,
    name: str,
    cohort: bool = True,
    banner: str = "",
    vector: bool = False,
) -> Figure:
    """Save to reports/figures/<name>.png, labelled with its cohort, and return the figure.

    cohort=False is for figures that show no cohort data (a network diagram, published numbers);
    banner: a warning to write over the figure, such as learned.Learned.banner; vector: save
    <name>.svg as well, for print.
    """
    if cohort:
        label_cohort(figure, study)
    if banner:
        warn(figure, banner)
    spell_out(figure)
    laid_out = figure.get_layout_engine() is not None
    for ending in ("png", "svg") if vector else ("png",):
        with atomic_path(study.figures / f"{name}.{ending}") as temporary:
            figure.savefig(temporary, format=ending)
    if not laid_out:  # saving gives such a figure the default layout, which a notebook would draw
        figure.set_layout_engine("none")
    return figure


def picture_grid(
    count: int, columns: int, inches: tuple[float, float], right: float = 0, top: float = 0
) -> tuple[Figure, np.ndarray]:
    """A figure for `count` pictures and its axes (n,), switched off; sizes in inches.

    inches: width and height of a picture with its title; right, top: room beside and above all.
    """
    rows = max(1, -(-count // columns))
    size = (inches[0] * columns + right, inches[1] * rows + top)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes.ravel()


def intervals(axis: Axes, places: Any, ends: Any, across: bool = False, **look: Any) -> None:
    """Points with intervals at `places`, upwards or `across`; ends: values, lows and highs."""
    value, low, high = np.asarray(ends, float)
    reach = np.clip([value - low, high - value], 0, None)
    if across:
        axis.errorbar(value, places, xerr=reach, **look)
    else:
        axis.errorbar(places, value, yerr=reach, **look)


def counts_grid(axis: Axes, counts: np.ndarray, most: int, **text: Any) -> None:
    """A table of counts (rows, columns) as a picture; `most`: the count that is darkest."""
    axis.imshow(counts, cmap="Blues", vmin=0, vmax=max(most, 1))
    for (line, column), n in np.ndenumerate(counts):
        ink = "white" if n > most / 2 else "black"
        axis.text(column, line, f"{n}", ha="center", va="center", color=ink, **text)


def lesion_boxes(axis: Axes, case: Any, shape: tuple[int, int]) -> None:
    """Draw a case's lesion boxes on its picture of `shape` (H, W), whatever that was reduced to.

    case: a row with boxes (zero-based pixels at full resolution), width and height.
    """
    x, y = shape[1] / case.width, shape[0] / case.height
    for x1, y1, x2, y2 in parse_boxes(case.boxes):
        size = (x2 - x1) * x, (y2 - y1) * y
        box = Rectangle((x1 * x, y1 * y), *size, fill=False, color=LESION_BOX, linewidth=1)
        axis.add_patch(box)


def refusal(why: Refusal | str) -> Figure:
    """A figure that says in words why there is nothing to draw."""
    figure, axes = plt.subplots(figsize=(7, 1.6))
    axes.text(0.5, 0.5, str(why), ha="center", va="center", wrap=True)
    axes.axis("off")
    return figure
