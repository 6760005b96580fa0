"""The benchmark page: every reports/benchmarks/*.json as sections with tables and curves.

A benchmark writes whatever it measured as JSON. Two keys are for readers: `title` and `about`, a
sentence on what was compared. Numbers and yes/no become key figures, a list of records a table;
where a table's first column is a size (slices, maps, cases, ...) with three values or more, its
timings, rates and memory are drawn against it.
"""

import io
import json
import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt

from camreader.common.storage import atomic_path
from camreader.report.page import versions

TITLES = {
    "phantom": "Drawing the phantom",
    "ingest": "Ingest: files to pixels",
    "formats": "Ingest: every format against its bare decoder",
    "training": "Training",
    "learning": "Learning from real images",
    "heatmaps": "Heat-maps",
    "mrmc": "Statistics of several readers",
    "readings": "The reading log",
    "viewer": "The viewer: from hand to picture",
    "stack": "A stack of 60 slices: wheel, keys and memory",
    "room": "A reading room: four readers at one server",
    "cluster": "Plan for the full data set",
}
SIZES = ("slices", "images", "maps", "cases", "rows", "studies", "events", "files", "n")
RATIO = re.compile(
    r"\btimes\b|ratio|faster|slower|relative|share of|of the (bare|floor)|gain", re.I
)
GROWING = re.compile(r"second|\bms\b|minutes|per_second|_s$|mb\b|mib|memory|rss", re.I)


def words(name):
    """A key as words: slices_per_second -> slices per second, median_ms -> median, ms."""
    text = str(name).replace("_", " ").strip()
    text = re.sub(r"\b[mg]i?b\b", lambda m: m[0].upper().replace("I", "i"), text, flags=re.I)
    return re.sub(r"(?<=\w) (ms|s|MB|MiB|GB|GiB)$", r", \1", text)


def shown(value):
    """One value for a reader: three or four figures, thousands apart, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value)
    return "" if value is None else str(value)


def is_records(value):
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def is_table(value):
    """A dict of dicts of single values: one row each."""
    return (
        isinstance(value, dict)
        and len(value) > 1
        and all(isinstance(row, dict) for row in value.values())
        and not any(
            isinstance(cell, dict) or is_records(cell)
            for row in value.values()
            for cell in row.values()
        )
    )


def blocks(value, title=""):
    """Nested results as a flat list of blocks: {title, figures | columns and rows | curves}."""
    if is_table(value):
        value = [{"": name, **row} for name, row in value.items()]
    if is_records(value):
        return [table(value, title)]
    plain = {k: v for k, v in value.items() if not (isinstance(v, dict) or is_records(v))}
    found = [{"title": title, "figures": [(words(k), shown(v)) for k, v in plain.items()]}]
    found = found if plain else []
    for name, inner in value.items():
        if name not in plain and inner:
            found += blocks(inner, f"{title}: {words(name)}" if title else words(name))
    return found


def table(records, title):
    """One table, and the curves of what grows with its size."""
    names = list(dict.fromkeys(name for row in records for name in row))
    rows = [[cell_text(row.get(name)) for name in names] for row in records]
    columns = [words(name) for name in names]
    return {"title": title, "columns": columns, "rows": rows, "curves": curves(records, names)}


def cell_text(value):
    if isinstance(value, dict):
        return "; ".join(f"{words(k)} {shown(v)}" for k, v in value.items())
    return shown(value)


def curves(records, names):
    """One small SVG per measured column of a table that grows with its size."""
    size = next((name for name in names if str(name).lower() in SIZES), None)
    if size is None or len({row.get(size) for row in records}) < 3:
        return []
    kinds = [n for n in names if all(isinstance(row.get(n), str) for row in records)]
    numbers = [
        n
        for n in names
        if n != size and GROWING.search(n) and all(is_number(row.get(n)) for row in records)
    ]
    return [curve(records, size, name, kinds[:1]) for name in numbers]


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def curve(records, size, name, kind):
    """SVG text of one measured column against the size, a line per kind."""
    figure, axes = plt.subplots(figsize=(4.2, 2.9), layout="constrained")
    groups = {}
    for row in sorted(records, key=lambda row: row[size]):
        groups.setdefault(row[kind[0]] if kind else "", []).append((row[size], row[name]))
    for label, points in groups.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=label or None)
    sizes, values = [r[size] for r in records], [r[name] for r in records]
    if max(sizes) >= 10 * max(min(sizes), 1):
        axes.set_xscale("log")
        if min(values) > 0 and max(values) > 20 * min(values):
            axes.set_yscale("log")
    if axes.get_yscale() == "linear":
        axes.set_ylim(min(0, *values), max(values) * 1.1 or 1)
    axes.set(xlabel=words(size), ylabel=words(name))
    axes.spines[["top", "right"]].set_visible(False)
    if kind and len(groups) > 1:
        axes.legend(frameon=False, fontsize=8)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    return {"svg": stream.getvalue().split("?>", 1)[1], "alt": f"{words(name)} by {words(size)}"}


def ratios(name, value, path=()):
    """Every single number that is a ratio, as (benchmark, what, value)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ratios(name, inner, (*path, words(key)))
    elif is_records(value):
        for row in value:
            who = ", ".join(shown(v) for k, v in row.items() if isinstance(v, str) or k in SIZES)
            yield from ratios(name, row, (*path, who))
    elif is_number(value) and path and RATIO.search(path[-1]):
        yield TITLES.get(name, name), ": ".join(path), shown(value)


def sections(folder):
    """(name, title, about, when, blocks, raw) of every result file."""
    for path in sorted(folder.glob("*.json"), key=lambda p: order(p.stem)):
        result = json.loads(path.read_text())
        result = result if isinstance(result, dict) else {"results": result}
        when = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
        yield {
            "name": path.stem,
            "title": result.pop("title", TITLES.get(path.stem, path.stem.replace("_", " "))),
            "about": result.pop("about", ""),
            "when": when,
            "blocks": blocks(result),
            "ratios": list(ratios(path.stem, result)),
        }


def order(name):
    """The study's own order, unknown names last."""
    known = list(TITLES)
    return (known.index(name) if name in known else len(known), name)


def machine():
    """What the numbers were measured on, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = re.findall(r"model name\s*: (.*)", _cpu_file())
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.platform(terse=True)}"


def _cpu_file():
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def write_page(folder):
    """Write benchmarks.html beside the folder of results; return its path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
    )
    plt.rcParams["svg.hashsalt"] = "camreader"
    found = list(sections(folder))
    html = environment.get_template("page.html").render(
        sections=found,
        ratios=[row for section in found for row in section["ratios"]],
        machine=machine(),
        versions=versions(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    with atomic_path(folder.parent / "benchmarks.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    return folder.parent / "benchmarks.html"
