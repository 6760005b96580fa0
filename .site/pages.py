"""The site's pages beside docs/, README the first, and wide tables that a keyboard can scroll."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
LINK = re.compile(r"(\]\()([^)\s#]*)((?:#[^)\s]*)?\))")


def moved(target: str, wanted: dict[str, Path]) -> str:
    """Where a link of a page beside README leads on the site; its file is noted in `wanted`."""
    if not target or urlsplit(target).scheme:
        return target
    if target in PAGES:
        return PAGES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    shown = target if Path(target).suffix else f"{target}.txt"  # which a browser shows
    wanted[shown] = ROOT / target
    return shown


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages beside docs/, their links as the site has them, and the files they name."""
    wanted = {"site.css": Path(__file__).with_name("site.css")}
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        text = LINK.sub(lambda m: m[1] + moved(m[2], wanted) + m[3], text)
        files.append(File.generated(config, page, content=text))
    for shown, path in wanted.items():
        if path.is_file():  # else the build stops at the link
            files.append(File.generated(config, shown, abs_src_path=str(path)))
    return files


def on_page_content(html: str, **_others: object) -> str:
    """Tables and code in boxes that scroll, with the mouse and with the keyboard."""
    box = '<div class="wide" tabindex="0" role="region" aria-label="Table">'
    html = html.replace("<table>", f"{box}<table>").replace("</table>", "</table></div>")
    return html.replace("<pre>", '<pre tabindex="0">')
