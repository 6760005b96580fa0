"""A real Orthanc with DICOMweb on the loopback, with a password, started and stopped by tests."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "reader", "not-in-any-file"


def missing():
    """Why it cannot be started, None where it can."""
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        return "Orthanc is not installed (Debian: apt install orthanc orthanc-dicomweb)"
    return None


class Orthanc:
    """A server whose storage outlives it: `stop` and `start` as often as wished."""

    def __init__(self, folder):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        self.url, self.root = f"http://127.0.0.1:{port}/dicom-web", f"http://127.0.0.1:{port}"
        self.auth, self.process = (USER, PASSWORD), None
        settings = {
            "Name": "test",
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
        }
        self.settings = folder / "orthanc.json"
        self.settings.write_text(json.dumps(settings))

    def start(self):
        log = open(self.settings.with_suffix(".log"), "a")  # noqa: SIM115
        self.process = subprocess.Popen(["Orthanc", self.settings], stdout=log, stderr=log)
        end = time.monotonic() + 60
        while True:
            try:
                requests.get(f"{self.root}/system", auth=self.auth, timeout=5).raise_for_status()
                return self
            except requests.RequestException:
                assert time.monotonic() < end, "Orthanc did not start"
                time.sleep(0.2)

    def stop(self):
        if self.process:
            self.process.kill()  # as a power cut does
            self.process.wait()
            self.process = None

    def put(self, path):
        """Store a file by Orthanc's own door."""
        answer = requests.post(
            f"{self.root}/instances", data=path.read_bytes(), auth=self.auth, timeout=60
        )
        answer.raise_for_status()

    def count(self, level="instances"):
        """How many instances (or studies) the server has."""
        return len(requests.get(f"{self.root}/{level}", auth=self.auth, timeout=60).json())
