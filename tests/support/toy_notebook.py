"""Another notebook for a copied checkout: the notebook, and one entry in the list."""

import nbformat

NAME = "09_toy"
CELLS = (
    'DATA = "../data"\nCOHORT = "phantom"\nREPORTS = "../reports"\nSLICES = 3  # shown',
    "import matplotlib.pyplot as plt\nimport pandas as pd\n\n"
    "from camreader.common import style\nfrom camreader.common.study import Study\n\n"
    "study = Study(DATA, COHORT, REPORTS)\nstyle.use_style()",
    'study.save_table(pd.DataFrame({"slices": [SLICES]}), "09_toy")',
    'style.save(plt.figure(), study, "09_toy");',
    'study.save_findings("09_toy", [f"{SLICES} slices were looked at."])',
)
PART = """PARTS = {
    "09_toy": Part(
        "A toy", "Is another notebook one entry?", {"09_toy": "Nothing."}, {"09_toy": "A number."}
    ),
"""


def add_toy_notebook(checkout):
    """Add the notebook to a copied checkout, and its Part to the copied list."""
    cells = [nbformat.v4.new_markdown_cell("# 09 · A toy"), *map(nbformat.v4.new_code_cell, CELLS)]
    cells[1].metadata["tags"] = ["parameters"]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=spec)
    nbformat.write(notebook, checkout / "notebooks" / f"{NAME}.ipynb")
    path = checkout / "lib" / "camreader" / "report" / "catalogue.py"
    text = path.read_text()
    assert text.count("PARTS = {\n") == 1
    path.write_text(text.replace("PARTS = {\n", PART))
