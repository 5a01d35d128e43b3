# SPDX-License-Identifier: Apache-2.0
"""One extraction process for each device."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from delf_common.errors import DelfError

Work = Callable[..., None]
SECONDS_BETWEEN_CHECKS = 1.0


def run_in_processes(
    work: Work, arguments: Sequence[tuple[Any, ...]], progress: Callable[[int], Any]
) -> None:
    """Call ``work(*arguments[i], progress)`` in a process of its own for each i.

    Processes start fresh (spawn), so that no framework's state is forked. The CPU's
    threads are shared out among them.

    Raises:
        DelfError: one of them failed (its message), or died; the others are stopped.
    """
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    with shared_threads(len(arguments)):
        processes = [
            context.Process(target=_run, args=(work, items, messages), daemon=True)
            for items in arguments
        ]
        for process in processes:
            process.start()
    try:
        unfinished = len(processes)
        while unfinished:
            kind, value = _next(messages, processes)
            if kind == "failed":
                raise DelfError(value)
            if kind == "progress":
                progress(value)
            unfinished -= kind == "finished"
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _next(messages: Any, processes: Sequence[Any]) -> tuple[str, Any]:
    """Wait for a message, and notice a process that died without one."""
    while True:
        died = [p for p in processes if p.exitcode not in (None, 0)]
        try:
            message: tuple[str, Any] = messages.get(timeout=SECONDS_BETWEEN_CHECKS)
            return message
        except queue.Empty:
            if died:
                raise DelfError(
                    f"an extraction process died (exit code {died[0].exitcode}; -9 is "
                    f"often too little memory); continue with --resume"
                ) from None


def _run(work: Work, items: tuple[Any, ...], messages: Any) -> None:
    """Run in the child: report progress, the end, or the failure."""
    try:
        work(*items, lambda count: messages.put(("progress", count)))
        messages.put(("finished", None))
    except (DelfError, OSError) as error:
        messages.put(("failed", str(error)))


@contextmanager
def shared_threads(processes: int) -> Iterator[None]:
    """Set the threads that new processes may use, and restore the setting."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    available = int(before) if before and before.isdigit() else os.cpu_count() or 1
    os.environ[name] = str(max(1, available // processes))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
