"""What of the machine this process may use."""

import os
from pathlib import Path

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")  # of Linux, version 2; in a container its own


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, and of its control group where that has a limit.

    Pages of files that were not used lately count as free: the system gives them up for whoever asks.
    """
    free = psutil.virtual_memory().available
    try:
        names = ("memory.max", "memory.current", "memory.stat")
        limit, taken, stat = ((CONTROL_GROUP / name).read_text().strip() for name in names)
    except OSError:
        return free
    given_up = int(dict(line.split() for line in stat.splitlines())["inactive_file"])
    return free if limit == "max" else min(free, max(int(limit) - int(taken) + given_up, 0))
