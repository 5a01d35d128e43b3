# SPDX-License-Identifier: Apache-2.0
"""Where mixed precision gains, and where it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from delf_common.errors import UsageError
from delf_common.training.config import Precision
from delf_torch.attention import Attention

if TYPE_CHECKING:
    from delf_torch.delf import Delf


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Type that convolutions compute in.

    Args:
        precision: "auto" is bf16 on CUDA devices that have it, float32 elsewhere.
        device: where the network runs.

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
            raise UsageError(
                f"--precision bf16: this {device.type} has no instructions for it, and "
                f"would take 6 to 8 times as long as in float32; leave it out"
            )
        return torch.bfloat16
    if device.type == "cpu":
        raise UsageError("--precision fp16: a CPU is slower with it; use auto")
    return torch.float16


def mix_precision(network: Delf, precision: torch.dtype) -> None:
    """Let convolutions of a network compute in another type, for inference.

    The last convolution of a trained attention stays in float32: it is small, and its
    scores would be rounded to three digits.
    """
    network.to(precision)
    if isinstance(network.attention, Attention):
        network.attention.conv2.float()


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())
