# SPDX-License-Identifier: Apache-2.0
"""Jobs in several processes, a few in flight, results in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

from delf_common.errors import DelfError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Yield every job and its result; jobs are drawn as workers come free.

    Args:
        work: a function of a module, called in processes that start fresh (spawn); with
            one worker, in this one.
        jobs: drawn at most ``workers`` ahead.
        workers: processes.

    Raises:
        DelfError: a process died. Whatever ``work`` raises comes through, the jobs not
            begun are dropped, those that run end first.
    """
    if workers == 1:
        for job in jobs:
            yield job, work(job)
        return
    spawn = get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent)
    flying: deque[tuple[Job, Future[Result]]] = deque()
    try:
        for job in jobs:
            flying.append((job, pool.submit(work, job)))
            if len(flying) > 2 * workers:
                first, future = flying.popleft()
                yield first, future.result()
        while flying:
            first, future = flying.popleft()
            yield first, future.result()
    except BrokenProcessPool:
        raise DelfError(
            "a worker process died (too little memory?); continue with --resume, and "
            "fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def end_with_parent() -> None:
    """End this process when the one that started it does, even by a kill."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
