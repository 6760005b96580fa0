"""Widgets and notebooks as single HTML files that need no network and no Jupyter.

A saved widget (its state, as ipywidgets and nbclient store it) becomes a piece of HTML with its
data and script inside. An executed notebook becomes a page in which every viewer stays alive.
The page forbids itself every connection, so that patients' slices cannot leave through it.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path

if TYPE_CHECKING:  # which take seconds to import
    from nbformat import NotebookNode

STATIC = Path(__file__).parent / "static"
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data: blob: file:; font-src data:"
)
POLICY_TAG = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
TEMPLATE = f"""{{%- extends 'lab/index.html.j2' -%}}
{{% block html_head %}}{POLICY_TAG}{{{{ super() }}}}{{% endblock %}}
{{% block html_head_js %}}{{% endblock %}}
{{% block jupyter_widgets %}}{{% endblock %}}
{{% block html_head_js_mathjax %}}{{% endblock %}}
{{% block html_head_js_mermaidjs %}}{{% endblock %}}
"""
REMOTE = re.compile(
    r"<script\b[^>]*\bsrc\s*=[^>]*>\s*</script>|<link\b[^>]*\bhref\s*=\s*[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE,
)


def bundle(*paths: Path, entry: str) -> str:
    """One JavaScript module from script files, in order (browsers get no imports).

    `entry` names the function (model, element) -> {destroy} that draws the widget.
    """
    parts = [path.read_text(encoding="utf-8") for path in paths]
    parts.append(f"export default {{ render: ({{ model, el }}) => {entry}(model, el).destroy }};\n")
    return "\n".join(parts)


def widget_html(saved: dict[str, Any], name: str) -> str:
    """HTML of one saved widget {"state": {...}, "buffers": [...]}; `name` is its element's id."""
    state = saved["state"]
    shown = {key: value for key, value in state.items() if key not in ("_esm", "_css", "layout")}
    buffers = [{"path": b["path"], "data": b["data"]} for b in saved.get("buffers", [])]
    data = json.dumps({"state": shown, "buffers": buffers}).replace("<", "\\u003c")
    script = state["_esm"].replace("export default", "const widget =")
    start = (STATIC / "webpage.js").read_text(encoding="utf-8")
    return (
        f'<style>{state["_css"]}</style><div id="{name}"></div>'
        f'<script type="application/json" id="{name}-data">{data}</script>\n'
        f'<script type="module">\n{script}\n{start}\nmount("{name}");\n</script>'
    )


def export_notebook(source: str | Path, target: str | Path) -> None:
    """Write an executed notebook as one HTML file: viewers alive, no network, no CDN.

    Viewers live on where the notebook was run by papermill or nbconvert, which save the widgets'
    state in it; other ipywidgets become their text. Formulas between dollar signs stay text.
    """
    import nbformat  # here, because nbformat and nbconvert take seconds to import

    try:
        notebook = nbformat.read(source, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise DataError(f"Notebook cannot be read: {error}", file=source) from None
    saved = notebook.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    pieces = _take_widgets(notebook, saved)
    page = _convert(notebook, title=Path(source).stem)
    page = REMOTE.sub("", page)
    for place, piece in pieces.items():
        page = page.replace(place, piece)
    with atomic_path(target) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _convert(notebook: "NotebookNode", title: str) -> str:
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    loaders = [DictLoader({"offline.html.j2": TEMPLATE})]
    exporter = HTMLExporter(extra_loaders=loaders, template_file="offline.html.j2")
    return exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})[0]


def _take_widgets(notebook: "NotebookNode", saved: dict[str, Any]) -> dict[str, str]:
    """Put a place-holder where each viewer was; return {place-holder: HTML}."""
    pieces: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            view = output.get("data", {}).pop(VIEW, None)
            models = _viewers(saved, view["model_id"]) if view else []
            names = [f"camreader-viewer-{len(pieces) + i}" for i in range(len(models))]
            places = [f'<div id="place-{name}"></div>' for name in names]
            for place, name, model in zip(places, names, models, strict=True):
                pieces[place] = widget_html(model, name)
            if places:
                output["data"]["text/html"] = "".join(places)
    return pieces


def _viewers(saved: dict[str, Any], model_id: str) -> list[dict[str, Any]]:
    """The anywidgets in a saved widget: itself, or those inside a box of widgets."""
    model = saved.get(model_id)
    if model is None:
        return []
    if "_esm" in model["state"]:
        return [model]
    children = [
        str(child).removeprefix("IPY_MODEL_") for child in model["state"].get("children", [])
    ]
    return [found for child in children for found in _viewers(saved, child)]
