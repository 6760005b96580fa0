"""RO-Crate 1.1: what a folder holds, by digest, for a deposit that others can check.

https://w3id.org/ro/crate/1.1
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from camreader.common.storage import digest, write_json

FILE = "ro-crate-metadata.json"
TYPES = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".png": "image/png",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".yaml": "application/yaml",
}


def file_entity(folder: str | Path, name: str, words: str, **more: Any) -> dict[str, Any]:
    """The entity of a file in `folder`: what it is called there, what it is, and its SHA-256."""
    entity = {"@id": name, "@type": "File", "name": words}
    if kind := TYPES.get(Path(name).suffix):
        entity["encodingFormat"] = kind
    return entity | {"sha256": digest(Path(folder) / name)} | more


def write_crate(
    folder: str | Path,
    root: Mapping[str, Any],
    files: Iterable[Mapping[str, Any]],
    more: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Write ro-crate-metadata.json into `folder`.

    root: name, description and datePublished of the folder as a whole, and what else is said of
    it; files: entities of `file_entity`; more: entities that are no files (software, actions).
    """
    files = list(files)
    about = {
        "@id": FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }
    whole = {"@id": "./", "@type": "Dataset", "hasPart": [{"@id": f["@id"]} for f in files]}
    graph = [about, whole | dict(root), *files, *more]
    crate = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
    write_json(crate, Path(folder) / FILE)
