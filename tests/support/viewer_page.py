"""A live viewer as one HTML file that needs nothing else: what the browser tests open."""

import html

from camreader.viewer.html import POLICY_TAG, widget_html

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{policy}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ margin: 12px; background: #0b0e11; }}</style></head>
<body>{body}</body></html>
"""


def write_page(widget, path, title="Slice viewer"):
    """Write a live anywidget as a page of its own."""
    saved = widget.get_manager_state(widgets=[widget])["state"][widget.model_id]
    body = widget_html(saved, "camreader-viewer")
    page = PAGE.format(policy=POLICY_TAG, title=html.escape(title), body=body)
    path.write_text(page, encoding="utf-8")
