# SPDX-License-Identifier: Apache-2.0
"""One part's share of the progress."""

from __future__ import annotations

import threading

from delf_common.data.progress import Progress
from delf_common.data.retrying import Stopped
from delf_common.data.sources import Part


class Counted:
    """Counts the bytes of one part.

    Args:
        part: its stated size counts until the true one is known.
        progress: of all parts.
        stop: checked with every chunk.
    """

    def __init__(self, part: Part, progress: Progress, stop: threading.Event) -> None:
        self._total, self._progress, self._stop = part.size or 0, progress, stop
        self._bytes = 0

    def take_over(self, count: int) -> None:
        """Count bytes that an earlier run fetched."""
        self._bytes += count
        self._progress.add(count, arrived=False)

    def add(self, count: int) -> None:
        """Count bytes; end the work if the job is to end."""
        self._bytes += count
        self._progress.add(count)
        if self._stop.is_set():
            raise Stopped

    def set_total(self, total: int) -> None:
        """Learn the true length."""
        self._progress.correct_total(total - self._total)
        self._total = total

    def settle(self) -> None:
        """Count what was there already as done."""
        self.set_total(max(self._total, self._bytes))
        self._progress.add(self._total - self._bytes, arrived=False)
