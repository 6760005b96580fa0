"""Talk to an archive over DICOMweb: credentials, waiting for a server that is away, the output.

Credentials come from the environment (CAMREADER_PACS_USER and CAMREADER_PACS_PASSWORD, or
CAMREADER_PACS_TOKEN) or, where the package keyring is installed, from the system's keyring under
the service "camreader"; never from a file, an argument or an address. Nothing here prints one.
Waiting for a server is tested in tests/cohorts/test_fetch.py and tests/cohorts/test_send.py.
"""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from camreader.common.errors import DataError, StudyError

WAITS = (1, 2, 4, 8, 15)  # seconds between tries while the server is away
TIMEOUT = 60  # seconds for one answer
Answer = TypeVar("Answer")


def client(url: str) -> Any:
    """A DICOMweb client of `url`; DataError for an address that holds a password or is none."""
    from dicomweb_client.api import DICOMwebClient
    from requests import Session

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError("Not an address of a DICOMweb server", expected="https://host/dicom-web")
    if parts.username or parts.password:
        raise DataError(
            "The address holds a name or password",
            expected="CAMREADER_PACS_USER and CAMREADER_PACS_PASSWORD in the environment",
        )
    session = Session()
    user, password, token = credentials(parts.hostname)
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    elif user:
        session.auth = (user, password)
    if (token or user) and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise DataError("Credentials would travel unencrypted", expected="https")
    made = DICOMwebClient(url.rstrip("/"), session=session, timeout=TIMEOUT)
    made.set_http_retry_params(retry=False)  # `patiently` waits, and says so
    return made


_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def credentials(host: str) -> tuple[str, str, str]:
    """(user, password, token) for a host; empty where there is none."""
    found = [os.environ.get(f"CAMREADER_PACS_{n}", "") for n in ("USER", "PASSWORD", "TOKEN")]
    if not any(found):
        try:
            import keyring
        except ImportError:
            return "", "", ""
        kept = keyring.get_credential("camreader", None) or keyring.get_credential(host, None)
        found = [kept.username, kept.password, ""] if kept else ["", "", ""]
    return found[0], found[1], found[2]


def patiently(
    ask: Callable[[], Answer], what: str, waits: tuple[float, ...] | None = None
) -> Answer:
    """The answer of `ask`, asked again while the server is away or out of order.

    StudyError in words where it stays away, or refuses; a server's own words may name a patient and
    are not repeated.
    """
    from requests.exceptions import HTTPError, RequestException

    for wait in (*WAITS, None):
        try:
            return ask()
        except HTTPError as error:
            status = getattr(error.response, "status_code", 0)
            if status not in (408, 425, 429, 500, 502, 503, 504) or wait is None:
                words = {401: "it asks for credentials", 403: "it forbids that", 404: "not found"}
                why = words.get(status, f"HTTP status {status}")
                raise StudyError(f"{what}: the server refuses ({why})") from None
        except (RequestException, OSError, ValueError) as error:  # ValueError: an answer cut short
            if wait is None:
                raise StudyError(
                    f"{what}: the server is away ({type(error).__name__}). What is done is kept;"
                    " the same command goes on from there."
                ) from None
        time.sleep(wait)
    raise AssertionError("the last wait is None")
