# SPDX-License-Identifier: Apache-2.0
"""What this process may use of its machine, and what it does use."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 2**20
STATUS = Path("/proc/self/status")


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resident_memory() -> float:
    """Memory of this process now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def peak_memory() -> float:
    """Return the largest memory of this process so far, in MiB.

    Linux's own mark for the process: ru_maxrss would begin with the parent's. The mark
    is a few KiB behind what is resident, which therefore counts, too.
    """
    if not STATUS.exists():  # macOS, whose ru_maxrss counts bytes
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    lines = STATUS.read_text().splitlines()
    marks = [int(line.split()[1]) / 1024 for line in lines if line[:6] == "VmHWM:"]
    return max([resident_memory(), *marks])
