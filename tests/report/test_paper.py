"""The paper of a run: every character survives, and files are whole."""

import pandas as pd
import pytest
import typst
from docx import Document
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.report import paper, paper_files
from camreader.report.paper_files import Block, cell

HARD = "#let x = 1 $a_b$ *bold* _it_ `code` <tag> @cite [x] ~ \\ == - + / // /* \" ' 5 % – “ ”"


@pytest.fixture()
def blocks(tmp_path):
    Image.new("L", (40, 20), 128).save(tmp_path / "picture.png")
    table = pd.DataFrame({"a_b": ["#x", None], "value": [0.123456, float("nan")]})
    return [
        Block("title", "Title"),
        Block("heading", "Heading"),
        Block("text", HARD),
        Block("list", lines=(HARD, "two")),
        Block("figure", "Its caption", name="picture"),
        Block("table", "Its table", table=table),
    ]


def test_both_files_hold_every_block(blocks, tmp_path):
    folder = tmp_path.parent / f"{tmp_path.name}-out"
    folder.mkdir()
    figures = folder / "figures"
    tmp_path.rename(figures)
    paper_files.write_word(blocks, figures, folder / "p.docx")
    paper_files.write_pdf(blocks, figures, folder / "p.pdf")
    word = Document(str(folder / "p.docx"))
    texts = [paragraph.text for paragraph in word.paragraphs]
    assert texts[:5] == ["Title", "Heading", HARD, HARD, "two"] and "Its caption" in texts
    assert [c.text for c in word.tables[0].rows[0].cells] == ["a b", "value"]
    assert [c.text for c in word.tables[0].rows[1].cells] == ["#x", "0.123"]
    assert len(word.inline_shapes) == 1
    assert (folder / "p.pdf").read_bytes().startswith(b"%PDF")
    assert "image(" in (folder / "p.typ").read_text()


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=("C", "Z"), max_codepoint=0x2FFF), max_size=60))
def test_any_text_is_printed_as_it_is(text):
    source = f"#let shown = [{paper_files.escape(text)}]\n#shown"
    assert typst.compile(source.encode()).startswith(b"%PDF")


def test_a_cell_is_short_and_a_gap_is_empty():
    assert [cell(v) for v in (0.98765, 3, "x", None, float("nan"))] == ["0.988", "3", "x", "", ""]


def test_the_published_number_stands_at_the_end_of_a_caption():
    assert paper.caption("Figure 6. Overlays.") == "Overlays. Figure 6 of the published paper."
    assert paper.caption("Loss by epoch.") == "Loss by epoch."


def test_without_a_finished_report_there_is_no_paper(tmp_path):
    with pytest.raises(DataError, match="make report"):
        paper.write(Study(tmp_path, "none", tmp_path))
