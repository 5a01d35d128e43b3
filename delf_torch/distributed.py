# SPDX-License-Identifier: Apache-2.0
"""The processes that train together, as ``torchrun`` starts them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from delf_common.errors import UsageError
from delf_torch.device import choose_device


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
    device: torch.device

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum an array over all processes; every process must call it."""
        if self.size == 1:
            return values
        total = torch.from_numpy(np.array(values)).to(self.device)
        dist.all_reduce(total)
        return total.cpu().numpy()


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the other processes, if ``torchrun`` started this one with others.

    Args:
        device: "auto" or "cuda" gives each process the CUDA device of its local rank;
            "cpu" trains on the CPU.

    Raises:
        UsageError: there is no such device, or one device was named for several
            processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, choose_device(device))
        return
    chosen = _device_of_rank(device)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend)
    if backend == "gloo":
        _never_free(dist.group.WORLD)
    try:
        yield World(dist.get_rank(), size, chosen)
    finally:
        dist.destroy_process_group()


def _never_free(group: object) -> None:
    """Let the threads of a gloo group end with the process.

    When the last reference to a group goes, PyTorch 2.13 joins its threads without
    releasing the interpreter, and one of them may wait for the interpreter to free its
    last tensor: the process would hang, and all others with it.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))


def _device_of_rank(device: str) -> torch.device:
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: several processes need several; say auto")
    chosen = choose_device(device)
    if chosen.type == "cpu":
        return chosen
    chosen = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
    torch.cuda.set_device(chosen)
    return chosen
