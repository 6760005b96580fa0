"""Credentials of an archive: from the environment, else from a keyring's real front door."""

import pytest

from camreader.cohorts import pacs


@pytest.fixture
def kept(monkeypatch):
    """A keyring that keeps its entries in memory, chosen as any backend is; {service: entry}."""
    keyring = pytest.importorskip("keyring", reason="the package keyring is not installed")
    from keyring.backend import KeyringBackend
    from keyring.credentials import SimpleCredential

    class InMemory(KeyringBackend):
        priority = 1

        def __init__(self):
            super().__init__()
            self.entries = {}

        def get_password(self, service, username):
            user, password = self.entries.get(service, (None, None))
            return password if username in (None, user) else None

        def set_password(self, service, username, password):
            self.entries[service] = username, password

        def delete_password(self, service, username):
            del self.entries[service]

        def get_credential(self, service, username):
            return SimpleCredential(*self.entries[service]) if service in self.entries else None

    before, backend = keyring.get_keyring(), InMemory()
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"CAMREADER_PACS_{name}", raising=False)
    keyring.set_keyring(backend)
    yield backend.entries
    backend.entries.clear()
    keyring.set_keyring(before)


def test_a_keyrings_entry_is_used_and_never_printed(kept, capsys):
    import keyring

    assert pacs.credentials("pacs.example") == ("", "", "")
    keyring.set_password("pacs.example", "reader", "of the host")
    assert pacs.credentials("pacs.example") == ("reader", "of the host", "")
    assert pacs.credentials("other.example") == ("", "", "")
    keyring.set_password("camreader", "anna", "for all hosts")
    assert pacs.credentials("pacs.example") == ("anna", "for all hosts", "")
    client = pacs.client("https://pacs.example/dicom-web")
    assert client._session.auth == ("anna", "for all hosts")
    assert "for all hosts" not in repr(client) + "".join(capsys.readouterr())


def test_the_environment_goes_before_the_keyring(kept, monkeypatch):
    import keyring

    keyring.set_password("camreader", "anna", "kept")
    monkeypatch.setenv("CAMREADER_PACS_TOKEN", "of the day")
    assert pacs.credentials("pacs.example") == ("", "", "of the day")
