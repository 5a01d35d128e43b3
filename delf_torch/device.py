# SPDX-License-Identifier: Apache-2.0
"""Chooses where the network runs; importing this chooses nothing."""

from __future__ import annotations

import torch

from delf_common.errors import UsageError


def choose_device(device: str = "auto") -> torch.device:
    """Turn a name into a device that is there.

    Args:
        device: "auto" (the first CUDA device, else the CPU), "cpu", "cuda", "cuda:N".

    Raises:
        UsageError: the name is wrong, or the machine has no such device.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda:0" if count else "cpu")
    kind, _, number = device.partition(":")
    if device != "cpu" and (kind != "cuda" or not (number or "0").isdecimal()):
        raise UsageError(
            f"--device {device}: the torch backend knows auto, cpu and cuda:N"
        )
    if kind == "cuda" and int(number or "0") >= count:
        there = f"has {count} CUDA devices" if count else "has no CUDA device"
        raise UsageError(f"--device {device}: this machine {there}; try --device cpu")
    return torch.device("cpu" if kind == "cpu" else f"cuda:{int(number or '0')}")
