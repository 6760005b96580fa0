"""The pieces of a manuscript, and its two files: PDF by Typst, Word by python-docx.

Figures in the PDF are vectors where a notebook saved one.

Tested in tests/report/test_paper.py, on a manuscript of every block.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from camreader.common.storage import atomic_path

WIDTH = 6.3  # inches between the margins of the Word file
LOOK = """#set page(paper: "a4", margin: 2.2cm, numbering: "1")
#set text(size: 10pt, lang: "en")
#set par(justify: true)
#show table: set text(size: 7pt)
#show table: set par(justify: false)
#show table: set align(left)
#show figure: set block(breakable: true)
#show figure.where(kind: table): set figure.caption(position: top)
#set table(stroke: (x, y) => (bottom: if y == 0 { 0.7pt } else { 0.2pt + gray }), inset: 3pt)
"""


@dataclass(frozen=True)
class Block:
    """A piece of the manuscript: "title", "heading", "text", "list", "table" or "figure"."""

    kind: str
    text: str = ""
    level: int = 1
    lines: tuple[str, ...] = ()
    table: pd.DataFrame | None = None
    name: str = ""  # of the figure or table among the report's

    def cells(self) -> list[list[str]]:
        """The table's lines in print, its header first."""
        assert self.table is not None
        head = [str(name).replace("_", " ") for name in self.table]
        return [head, *([cell(v) for v in row] for row in self.table.itertuples(index=False))]


def cell(value: Any) -> str:
    """A table cell in print: three digits of a number, nothing where there is none."""
    if value is None or value is pd.NA or value != value:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write_pdf(blocks: Iterable[Block], figures: Path, path: Path) -> None:
    """Write `path` from the blocks; figures: the folder of <name>.svg or <name>.png."""
    import typst  # a compiler: loaded only where a paper is made

    source = LOOK + "\n".join(_typst(block, figures) for block in blocks)
    with atomic_path(path.with_suffix(".typ")) as draft:
        draft.write_text(source, encoding="utf-8")
    with atomic_path(path) as temporary:
        temporary.write_bytes(typst.compile(str(path.with_suffix(".typ"))))


def _typst(block: Block, figures: Path) -> str:
    """One block as Typst."""
    if block.kind == "title":
        return f'#align(center, text(size: 18pt, weight: "bold")[{escape(block.text)}])\n'
    if block.kind == "heading":
        return f"\n{'=' * block.level} {escape(block.text)}\n"
    if block.kind == "text":
        return f"\n{escape(block.text)}\n"
    if block.kind == "list":
        return "\n" + "\n".join(f"- {escape(line)}" for line in block.lines) + "\n"
    if block.kind == "figure":
        vector = figures / f"{block.name}.svg"
        drawn = vector if vector.exists() else vector.with_suffix(".png")
        picture = f'image("{figures.name}/{drawn.name}", width: 100%)'
        return f"\n#figure({picture}, caption: [{escape(block.text)}])\n"
    return _typst_table(block)


def _typst_table(block: Block) -> str:
    head, *lines = block.cells()
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    columns = ", ".join(f"{min(40, max(6, width))}fr" for width in widths)
    bold = ", ".join(f"[*{escape(name)}*]" for name in head)
    printed = (", ".join(f"[{escape(text)}]" for text in line) for line in lines)
    rows = "\n".join(f"{line}," for line in printed)
    body = f"table(columns: ({columns},), table.header({bold}),\n{rows}\n)"
    return f"\n#figure({body}, kind: table, caption: [{escape(block.text)}])\n"


def escape(text: str) -> str:
    """Text that Typst prints as it is."""
    return re.sub(r"([\\#$*_`<>@\[\]~=\-+/\"'])", r"\\\1", text)


def write_word(blocks: Iterable[Block], figures: Path, path: Path) -> None:
    """Write `path` from the blocks; figures: the folder of <name>.png."""
    import docx  # loaded only where a paper is made

    document = docx.Document()
    for block in blocks:
        _add_block(document, block, figures)
    with atomic_path(path) as temporary:
        document.save(str(temporary))


def _add_block(document: Any, block: Block, figures: Path) -> None:
    """One block at the end of the document."""
    from docx.shared import Inches

    if block.kind in ("title", "heading"):
        document.add_heading(block.text, 0 if block.kind == "title" else block.level)
    elif block.kind == "text":
        document.add_paragraph(block.text)
    elif block.kind == "list":
        for line in block.lines:
            document.add_paragraph(line, style="List Bullet")
    elif block.kind == "figure":
        document.add_picture(str(figures / f"{block.name}.png"), width=Inches(WIDTH))
        document.add_paragraph(block.text, style="Caption")
    else:
        _add_table(document, block)


def _add_table(document: Any, block: Block) -> None:
    from docx.shared import Pt

    lines = block.cells()
    document.add_paragraph(block.text, style="Caption")
    table = document.add_table(1, len(lines[0]), style="Light Grid")
    for number, line in enumerate(lines):
        cells = table.rows[0].cells if number == 0 else table.add_row().cells
        for place, text in zip(cells, line, strict=True):
            place.text = text
            for run in place.paragraphs[0].runs:
                run.font.size = Pt(7)
