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

    Processes start fresh (spawn), so that no framework's state is forked. Each keeps
    the number of threads that a single process would have: on a CPU the last bits of a
    convolution depend on it, and the result must not depend on how many work.

    Raises:
        DelfError: one of them failed (its own error), or died; the others are stopped.
    """
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    with sleeping_threads():
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
                raise value
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
    except DelfError as error:
        messages.put(("failed", error))
    except OSError as error:
        messages.put(("failed", DelfError(str(error))))


@contextmanager
def sleeping_threads() -> Iterator[None]:
    """Let the idle threads of new processes sleep, and restore the setting.

    Several processes have more threads than the machine has processors, and a waiting
    thread that spins takes the processor of one that works.
    """
    name = "OMP_WAIT_POLICY"
    before = os.environ.get(name)
    os.environ.setdefault(name, "PASSIVE")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
