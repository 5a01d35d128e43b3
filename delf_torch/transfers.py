# SPDX-License-Identifier: Apache-2.0
"""Copies between host and device that nobody waits for before they are needed."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """Begin to copy an array to the device, the array itself is free at once.

    CUDA copies from pinned memory while the host goes on.
    """
    pinned = device.type == "cuda"
    host = torch.tensor(np.ascontiguousarray(array), pin_memory=pinned)
    return host.to(device, non_blocking=True)


class Download:
    """A tensor on its way to the host.

    Args:
        tensor: on its device; the copy begins when what computes it is done.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.device = tensor.device
        self.host = tensor
        self.done: torch.cuda.Event | None = None
        if self.device.type == "cuda":
            self.host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self.host.copy_(tensor, non_blocking=True)
            self.done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.done.record(torch.cuda.current_stream(self.device))

    def array(self) -> NDArray[Any]:
        """Wait for the copy, and return it."""
        if self.done is not None:
            self.done.synchronize()
        array: NDArray[Any] = self.host.numpy()
        return array

    def aside(self) -> AbstractContextManager[object]:
        """Let the device work on what was computed before this copy, in the block.

        The work does not queue behind what the device was asked for since.
        """
        if self.done is None:
            return nullcontext()
        stream = side_stream(self.device)
        stream.wait_event(self.done)
        return torch.cuda.stream(stream)


@functools.cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """A second queue of a CUDA device, served before the first."""
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
