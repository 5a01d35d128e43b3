# SPDX-License-Identifier: Apache-2.0
"""One thread that works behind the caller's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Background:
    """Runs calls in a thread, one at a time and in order; use it in a ``with`` block.

    At most one call is under way, so what calls hold stays bounded, and none begins
    after one that failed. The end of the block waits for the last.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def __enter__(self) -> Background:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the thread; its error is raised unless there is one already."""
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown()

    def run(self, call: Callable[[], None]) -> None:
        """Wait for the call before, then let the thread begin this one.

        Raises:
            BaseException: what the call before raised; this one is not begun.
        """
        self.wait()
        self._running = self._pool.submit(call)

    def wait(self) -> None:
        """Wait for the call that is under way, if any, and raise what it raises."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
