# SPDX-License-Identifier: Apache-2.0
"""Pyramid levels beside each other on a CPU.

PyTorch shares every operation out among its threads, which then wait for the slowest:
some hundred times a level. Two halves of the threads with a level each do not wait for
each other before both are done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST_SHARE = 0.6  # of an item: with a larger one half the threads would idle


def run_beside(
    work: Callable[[Item], Result], items: Sequence[Item], costs: Sequence[float]
) -> list[Result]:
    """Work on two items at a time, each with half of PyTorch's threads.

    One at a time with all threads where one item is most of the work.

    Args:
        work: on one item; run in inference mode.
        items: that do not depend on each other.
        costs: of each, in any unit.

    Returns:
        The results in the order of ``items``.
    """
    threads = torch.get_num_threads()
    if threads < 2 or max(costs, default=0) > LARGEST_SHARE * sum(costs):
        return [work(item) for item in items]

    def run(index: int) -> Result:
        with torch.inference_mode():  # a thread has its own mode
            return work(items[index])

    def halve() -> None:
        torch.set_num_threads(threads // 2)  # of the calling thread

    largest_first = sorted(range(len(items)), key=lambda i: -costs[i])
    with ThreadPoolExecutor(2, initializer=halve) as pool:
        running = {i: pool.submit(run, i) for i in largest_first}
    torch.set_num_threads(threads)  # what later threads begin with
    return [running[i].result() for i in range(len(items))]
