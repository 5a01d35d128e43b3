# SPDX-License-Identifier: Apache-2.0
"""How far all parts together are: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time

from tqdm import tqdm

LINE_SECONDS = 30.0


class Progress:
    """Bytes of all parts; safe to call from threads; use it in a ``with`` block.

    Args:
        total: bytes of all parts, as far as they are known.
        parts: how many there are.
    """

    def __init__(self, total: int, parts: int) -> None:
        self._bar = tqdm(
            total=total, unit="B", unit_scale=True, unit_divisor=1000, disable=None
        )
        self._guard = threading.Lock()
        self._total, self._parts = total, parts
        self._bytes = self._arrived = self._done = 0
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> Progress:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()

    def add(self, count: int, *, arrived: bool = True) -> None:
        """Count bytes; negative ones were dropped, ``arrived=False`` were there."""
        with self._guard:
            self._bytes += count
            self._arrived += count if arrived else 0
            self._bar.update(count)
            now = time.monotonic()
            if self._bar.disable and now - self._spoke >= LINE_SECONDS:
                self._spoke = now
                self._write(self._line(now))

    def correct_total(self, difference: int) -> None:
        """Change the total, now that a part's true length is known."""
        with self._guard:
            self._total += difference
            self._bar.total = self._total
            self._bar.refresh()

    def finish_part(self, line: str) -> None:
        """Say that a part is done."""
        with self._guard:
            self._done += 1
            self._write(f"{self._done}/{self._parts} {line}")

    def say(self, line: str) -> None:
        """Write a line without disturbing the bar."""
        with self._guard:
            self._write(line)

    def _write(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def _line(self, now: float) -> str:
        rate = max(self._arrived, 1) / max(now - self._began, 1e-3)
        left = max(self._total - self._bytes, 0) / rate
        return (
            f"{in_units(self._bytes)} of {in_units(self._total)}, "
            f"{in_units(int(rate))}/s, about {in_time(left)} left"
        )


def in_units(count: int | None) -> str:
    """Return bytes in words: 1.84 GB; "unknown" for None."""
    if count is None:
        return "unknown"
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def in_time(seconds: float) -> str:
    """Return a duration in words: 2 h 05 min."""
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
