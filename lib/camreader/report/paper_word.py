"""A manuscript as a Word file, by python-docx.

Tested in tests/report/test_paper.py, on a manuscript of every block.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from camreader.common.storage import atomic_path
from camreader.report.paper_text import Block, cell

WIDTH = 6.3  # inches between the margins


def write(blocks: Iterable[Block], figures: Path, path: Path) -> None:
    """Write `path` from the blocks; figures: the folder of <name>.png."""
    import docx  # loaded only where a paper is made

    document = docx.Document()
    for block in blocks:
        _add(document, block, figures)
    with atomic_path(path) as temporary:
        document.save(str(temporary))


def _add(document: Any, block: Block, figures: Path) -> None:
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

    frame = block.table
    assert frame is not None
    document.add_paragraph(block.text, style="Caption")
    table = document.add_table(1, len(frame.columns), style="Light Grid")
    lines = [[str(c).replace("_", " ") for c in frame]]
    lines += [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    for number, line in enumerate(lines):
        cells = table.rows[0].cells if number == 0 else table.add_row().cells
        for place, text in zip(cells, line, strict=True):
            place.text = text
            for run in place.paragraphs[0].runs:
                run.font.size = Pt(7)
