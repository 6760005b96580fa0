"""The certificate of a room that has none: kept while it holds, and what openssl says of it."""

import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from camreader.common.errors import DataError
from camreader.session import certificate


def test_it_is_kept_while_it_holds_and_made_again_for_another_host_or_late(tmp_path, monkeypatch):
    pair = certificate.self_signed(tmp_path, "192.0.2.7")
    first = certificate.fingerprint(pair[0])
    certificate.self_signed(tmp_path, "192.0.2.7")
    assert certificate.fingerprint(pair[0]) == first
    certificate.self_signed(tmp_path, "study.example")
    second = certificate.fingerprint(pair[0])
    assert second != first
    monkeypatch.setattr(certificate, "SPARE_DAYS", certificate.DAYS + 1)
    certificate.self_signed(tmp_path, "study.example")
    assert certificate.fingerprint(pair[0]) != second
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in pair)


def test_openssl_agrees(tmp_path):
    """Fingerprint, names and dates, from an independent program; and a server can use the pair."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    pair = certificate.self_signed(tmp_path, "study.example")
    command = ["openssl", "x509", "-in", pair[0], "-noout", "-fingerprint", "-sha256"]
    command += ["-ext", "subjectAltName,basicConstraints", "-enddate"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"Fingerprint={certificate.fingerprint(pair[0])}" in said
    assert "DNS:study.example, DNS:localhost, IP Address:127.0.0.1" in said and "CA:FALSE" in said
    end = said.split("notAfter=")[1].splitlines()[0]
    until = datetime.strptime(end, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    assert timedelta(days=396) < until - datetime.now(UTC) < timedelta(days=398)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*pair)


def test_what_is_no_certificate_is_refused(tmp_path):
    (tmp_path / "x.pem").write_text("hello")
    with pytest.raises(DataError, match="certificate cannot be read"):
        certificate.fingerprint(tmp_path / "x.pem")
