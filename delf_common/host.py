# SPDX-License-Identifier: Apache-2.0
"""What this process may use of its machine, and what it does use."""

from __future__ import annotations

import os
import resource
from pathlib import Path

MIB = 2**20


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resident_memory() -> float:
    """Memory of this process now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def peak_memory() -> float:
    """Return the largest memory of this process so far, in MiB (Linux).

    Linux's own mark for the process: ru_maxrss would begin with the parent's. The mark
    is a few KiB behind what is resident, which therefore counts, too.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    marks = [int(line.split()[1]) / 1024 for line in lines if line[:6] == "VmHWM:"]
    return max([resident_memory(), *marks])
