"""The most memory a process has held, in MB, since its program began.

On Linux `ru_maxrss` begins with what the parent held when it started the process: behind a large
parent it says nothing.
"""

import re
import resource
import sys
from pathlib import Path


def peak_mb():
    """Of this process, as the kernel counts it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / 2**20 if sys.platform == "darwin" else held / 1024
