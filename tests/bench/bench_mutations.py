"""1,000 mutated files of every format: each is read, or refused in words; no hang, no flood.

A file that is read with other values than the unbroken one is counted: a flipped bit in
uncompressed pixels, or in a number of a header, is still a valid file, for these formats have no
checksum there.
"""

import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from results import finish

FILES, BATCH, SEED = 1000, 100, 19
SECONDS, MEMORY_MB = 10, 2000
CHECKED = ("16.png", "8.png", "packed.nii.gz")  # formats that hold checksums of their pixels
SCRIPT = Path(__file__).parents[1] / "support" / "mutations.py"


def campaign(files=FILES, seed=SEED, batch=BATCH):
    """{outcomes, slowest_s, peak_mb, broken: what must not be} of so many mutated files."""
    outcomes, others = collections.Counter(), collections.Counter()
    slowest, peak, broken = 0.0, 0.0, []
    with tempfile.TemporaryDirectory() as place:
        for start in range(0, files, batch):
            stop = min(start + batch, files)
            command = [sys.executable, SCRIPT, place, str(start), str(stop), str(seed)]
            done = subprocess.run(command, capture_output=True, text=True)
            lines = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
            said = {line["number"]: line for line in lines if "number" in line}
            about = {line["begins"]: line for line in lines if "begins" in line}
            for number in range(start, stop):
                if number not in said:
                    broken.append({**about.get(number, {}), "outcome": done.stderr[-300:]})
                    break
                came = said[number]["outcome"]
                outcomes[came.split(":")[0]] += 1
                if came == "other":
                    others[about[number]["name"]] += 1
                slowest = max(slowest, said[number]["seconds"])
                if came not in ("refused", "same", "other") or said[number]["seconds"] > SECONDS:
                    broken.append(about[number] | said[number])
            peak = max([peak, *(line["peak_mb"] for line in lines if "peak_mb" in line)])
    return {
        "files": files,
        "outcomes": dict(outcomes),
        "read with other values": dict(others),
        "slowest_s": slowest,
        "peak_mb": peak,
        "broken": broken,
        "within_limit": not broken
        and not set(others) & set(CHECKED)
        and slowest <= SECONDS
        and peak <= MEMORY_MB,
    }


def main():
    """The whole campaign."""
    found = campaign()
    print(json.dumps(found, indent=1))
    return found


if __name__ == "__main__":
    finish("mutations", main())
