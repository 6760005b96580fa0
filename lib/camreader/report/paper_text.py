"""The pieces that a manuscript is made of, whatever file they are written to.

Tested in tests/report/test_paper.py, on a manuscript of every block.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Block:
    """A piece of the manuscript: "title", "heading", "text", "list", "table" or "figure"."""

    kind: str
    text: str = ""
    level: int = 1
    lines: tuple[str, ...] = ()
    table: pd.DataFrame | None = None
    name: str = ""  # of the figure or table among the report's


def cell(value: Any) -> str:
    """A table cell in print: three digits of a number, nothing where there is none."""
    if value is None or value is pd.NA or value != value:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
