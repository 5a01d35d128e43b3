# SPDX-License-Identifier: Apache-2.0
"""The processes that train together, as ``msrun`` or a rank table starts them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, communication, ops
from numpy.typing import NDArray

from delf_common.errors import UsageError
from delf_common.training.processes import SCHEDULER, role
from delf_ms.device import choose_device

TABLES = ("RANK_TABLE_FILE", "MINDSPORE_HCCL_CONFIG_PATH")


@dataclass(frozen=True)
class World:
    """Fits `delf_common.training.trainer.World`.

    Args:
        rank: which process this is.
        size: how many there are.
        device: where this process trains.
    """

    rank: int
    size: int
    device: str

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum an array over all processes; every process must call it.

        It travels as float32, which is what every device adds up.
        """
        if self.size == 1:
            return values
        total = ops.AllReduce()(Tensor(np.asarray(values, np.float32)))
        return np.asarray(total.asnumpy(), np.float64)


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the other processes, if ``msrun`` or a rank table names others.

    The scheduler that ``msrun`` starts beside them, with the same command, waits here
    for their end, and ends.

    Args:
        device: "auto" or "ascend" gives each process the Ascend of its local rank;
            "cpu" trains on the CPU.

    Raises:
        UsageError: there is no such device, or one device was named for several
            processes.
    """
    size = _count_processes()
    if size == 1 and role() != SCHEDULER:
        yield World(0, 1, choose_device(device))
        return
    chosen = _device_of_rank(device)
    communication.init()
    if role() == SCHEDULER:
        sys.exit(0)
    world = World(communication.get_rank(), communication.get_group_size(), chosen)
    yield world
    world.sum(np.zeros(1))  # a process that ends early fails the others' last sums
    communication.release()


def _count_processes() -> int:
    """Processes that train together, by what ``msrun`` or a rank table left."""
    if role():
        return int(os.environ["MS_WORKER_NUM"])
    table = next((os.environ[name] for name in TABLES if os.environ.get(name)), "")
    return int(os.environ.get("RANK_SIZE", "1")) if table else 1


def _device_of_rank(device: str) -> str:
    if device.startswith("ascend:"):
        raise UsageError(f"--device {device}: several processes need several; say auto")
    if role() == SCHEDULER:
        return choose_device("cpu")
    chosen = choose_device(device)
    if chosen == "cpu":
        return _without_table(chosen)
    return choose_device(f"ascend:{os.environ.get('DEVICE_ID', '0')}")


def _without_table(chosen: str) -> str:
    """A rank table lists Ascends; other devices find each other by msrun."""
    if role():
        return chosen
    raise UsageError(
        "a rank table (RANK_TABLE_FILE) lists Ascend devices, and this process trains "
        "on the CPU; start it with msrun, or unset RANK_TABLE_FILE for one process"
    )
