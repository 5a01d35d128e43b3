# SPDX-License-Identifier: Apache-2.0
"""Time several ways of doing one thing in turn, so that all see the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from delf_common.protocols import DenseMaps


def time_in_turn(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of every way; a first round warms up and does not count.

    Args:
        ways: what to run.
        rounds: that count.
        clock: in seconds; ``time.process_time`` counts all threads of the process and
            nothing else that the machine does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            begin = clock()
            run()
            if number:
                seconds[name].append(clock() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def look(maps: Sequence[DenseMaps]) -> None:
    """Wait for a device until all attention maps are on the host."""
    for level in maps:
        _ = level.attention
