"""A folder described for a deposit: RO-Crate 1.1."""

from camreader.common import crate
from camreader.common.storage import digest, read_json


def test_files_are_listed_by_digest_and_the_context_is_that_of_the_standard(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.bin").write_text("?")
    files = [crate.file_entity(tmp_path, name, "words") for name in ("a.csv", "b.bin")]
    crate.write_crate(tmp_path, {"name": "all"}, files, [{"@id": "#it", "@type": "CreateAction"}])
    found = read_json(tmp_path / crate.FILE)
    assert found["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in found["@graph"]}
    assert entities[crate.FILE]["about"] == {"@id": "./"}
    assert [part["@id"] for part in entities["./"]["hasPart"]] == ["a.csv", "b.bin"]
    assert entities["a.csv"]["sha256"] == digest(tmp_path / "a.csv")
    assert entities["a.csv"]["encodingFormat"] == "text/csv"
    assert "encodingFormat" not in entities["b.bin"] and "#it" in entities
