# SPDX-License-Identifier: Apache-2.0
"""Where mixed precision gains, and where it is refused."""

from __future__ import annotations

import torch

from delf_common.errors import UsageError
from delf_common.training.config import Precision


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Type that convolutions compute in.

    A CPU without bf16 instructions takes 6 to 8 times as long in bf16 as in float32.

    Args:
        precision: "auto" is bf16 on CUDA devices that have it, float32 elsewhere.
        device: where the network trains.

    Raises:
        UsageError: the device would lose by what was asked for.
    """
    gains = has_bfloat16(device)
    if precision == "auto":
        precision = "bf16" if gains and device.type == "cuda" else "float32"
    if precision == "float32":
        return torch.float32
    if precision == "bf16":
        if not gains:
            raise UsageError(f"--precision bf16: {device} is slower with it; use auto")
        return torch.bfloat16
    if device.type == "cpu":
        raise UsageError("--precision fp16: a CPU is slower with it; use auto")
    return torch.float16


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())
