# SPDX-License-Identifier: Apache-2.0
"""Where a job says which stage it is in, for whoever measures it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

DECODE, RESIZE, NETWORK, DEVICE = "decode", "resize", "network", "wait for device"
SELECT, JOURNAL, MERGE, LOAD = "select and describe", "journal", "merge", "load"

Timed = Callable[[str], AbstractContextManager[object]]  # with timed(NETWORK): ...


def untimed(stage: str) -> AbstractContextManager[object]:
    """Measure nothing."""
    return nullcontext()
