"""What differs between operating systems, in one place: cores, memory, flushing, processes.

Linux, macOS and Windows have different parts of `os`; what is missing has a portable stand-in.
"""

import os

import psutil

# macOS has no fdatasync; where there is one it is quicker, for it leaves the file's times alone.
flush = getattr(os, "fdatasync", os.fsync)


def cpus() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a batch system may grant fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Bytes of the machine's main memory."""
    return int(psutil.virtual_memory().total)


def is_running(pid: int) -> bool:
    """Whether a process of this machine still runs; on Windows asking by a signal would end it."""
    return bool(psutil.pid_exists(pid))
