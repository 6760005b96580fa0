"""A manuscript as PDF, by Typst: figures as vectors where a notebook saved one.

Tested in tests/report/test_paper.py, on a manuscript of every block.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from camreader.common.storage import atomic_path
from camreader.report.paper_text import Block, cell

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


def write(blocks: Iterable[Block], figures: Path, path: Path) -> None:
    """Write `path` from the blocks; figures: the folder of <name>.svg or <name>.png."""
    import typst  # a compiler: loaded only where a paper is made

    source = LOOK + "\n".join(_piece(block, figures) for block in blocks)
    with atomic_path(path.with_suffix(".typ")) as draft:
        draft.write_text(source, encoding="utf-8")
    with atomic_path(path) as temporary:
        temporary.write_bytes(typst.compile(str(path.with_suffix(".typ"))))


def _piece(block: Block, figures: Path) -> str:
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
    return _table(block)


def _table(block: Block) -> str:
    frame = block.table
    assert frame is not None
    widths = [max([len(str(c)), *(len(cell(v)) for v in frame[c])]) for c in frame]
    columns = ", ".join(f"{min(40, max(6, width))}fr" for width in widths)
    head = ", ".join(f"[*{escape(str(c).replace('_', ' '))}*]" for c in frame)
    lines = [", ".join(f"[{escape(cell(value))}]" for value in row) for row in frame.to_numpy()]
    rows = "\n".join(f"{line}," for line in lines)
    body = f"table(columns: ({columns},), table.header({head}),\n{rows}\n)"
    return f"\n#figure({body}, kind: table, caption: [{escape(block.text)}])\n"


def escape(text: str) -> str:
    """Text that Typst prints as it is."""
    return re.sub(r"([\\#$*_`<>@\[\]~=\-+/\"'])", r"\\\1", text)
