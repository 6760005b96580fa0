"""A certificate for a reading room that has none: made on first use, signed by itself.

It encrypts as any other does; what it cannot do is prove to a browser whose it is. Readers compare
its fingerprint once, or the hospital's own certificate takes its place.
"""

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path

DAYS = 397  # the longest that browsers accept
SPARE_DAYS = 14  # renewed so long before it ends


def self_signed(folder: str | Path, host: str) -> tuple[Path, Path]:
    """(certificate, key): PEM files in `folder` for a server that listens on `host`.

    Those that are there are kept while they hold for the host and for SPARE_DAYS more, so that
    the fingerprint stays what readers have compared. The key is readable by its owner alone.
    """
    folder = Path(folder)
    paths = folder / "certificate.pem", folder / "key.pem"
    names = _names(host)
    if not (all(path.exists() for path in paths) and _holds(paths[0], names)):
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        secret = key.private_bytes(serialization.Encoding.PEM, *form)
        made = _certificate(key, names).public_bytes(serialization.Encoding.PEM)
        for path, content in zip(paths, (made, secret), strict=True):
            with atomic_path(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_bytes(content)
    return paths


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a certificate, as browsers show it: 32 pairs of hex digits with colons."""
    return _read(path).fingerprint(hashes.SHA256()).hex(":").upper()


def _read(path: str | Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        words = f"The certificate cannot be read: {error}"
        raise DataError(words, file=path, expected="a PEM file") from None


def _holds(path: Path, names: list[x509.GeneralName]) -> bool:
    certificate = _read(path)
    told = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    spare = certificate.not_valid_after_utc - datetime.now(UTC)
    return names[0] in list(told) and spare > timedelta(days=SPARE_DAYS)


def _names(host: str) -> list[x509.GeneralName]:
    """What a browser may have asked for: the host first, then this machine's other names."""
    internet = (socket.AF_INET, socket.AF_INET6)
    found = [a for own in psutil.net_if_addrs().values() for a in own if a.family in internet]
    addresses = [a.address for a in found]
    everywhere = host in ("", "0.0.0.0", "::")
    wanted = [socket.gethostname() if everywhere else host, "localhost", "127.0.0.1"]
    return list(dict.fromkeys(map(_name, wanted + (addresses if everywhere else []))))


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return x509.DNSName(text)


def _certificate(
    key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName]
) -> x509.Certificate:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camreader reading room")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(hours=1))
    made = made.not_valid_after(now + timedelta(days=DAYS))
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return made.sign(key, hashes.SHA256())
