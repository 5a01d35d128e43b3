# SPDX-License-Identifier: Apache-2.0
"""A convolution with what follows it in one operation, as oneDNN offers it.

An activation of its own reads and writes the whole map once more, into fresh memory: on
a CPU that costs as much as the convolution. The operation is the one that PyTorch's
compiler puts into its code; where a build lacks it, two operations give the same.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Literal["none", "relu", "relu6"]
WORDS: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}


@functools.cache
def fusion_works() -> bool:
    """Whether this PyTorch and this processor have the fused operation."""
    x = torch.ones(1, 1, 1, 1)
    try:
        _fused(x, x, None, 1, (0, 0), 1, "relu6")
        _fused_sum(x, x.clone(), x, None, "relu")
    except (AttributeError, RuntimeError):  # NotImplementedError among the latter
        return False
    return True


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: tuple[int, int],
    groups: int,
    activation: Activation,
) -> Tensor:
    """Activation of a convolution of (B, C, H, W); without gradients, on a CPU."""
    if fusion_works():
        return _fused(x, weight, bias, stride, padding, groups, activation)
    y = F.conv2d(x, weight, bias, stride, padding, 1, groups)
    return activate(y, activation)


def convolve_onto(
    total: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: Activation,
) -> Tensor:
    """Activation of a 1x1 convolution plus ``total``, which it may overwrite."""
    if fusion_works() and activation != "relu6":
        return _fused_sum(total, x, weight, bias, activation)
    return activate(F.conv2d(x, weight, bias).add_(total), activation)


def activate(x: Tensor, activation: Activation) -> Tensor:
    """Activate in place."""
    if activation == "none":
        return x
    y: Tensor = F.relu(x, True) if activation == "relu" else F.relu6(x, True)
    return y


def _fused(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: tuple[int, int],
    groups: int,
    activation: Activation,
) -> Tensor:
    word, limits = WORDS[activation]
    steps, pads = [stride, stride], list(padding)
    operation = torch.ops.mkldnn._convolution_pointwise
    y: Tensor = operation(
        x, weight, bias, pads, steps, [1, 1], groups, word, limits, ""
    )
    return y


def _fused_sum(
    total: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: Activation,
) -> Tensor:
    word = None if activation == "none" else activation
    one, none = [1, 1], [0, 0]
    operation = torch.ops.mkldnn._convolution_pointwise_.binary
    y: Tensor = operation(
        total, x, weight, bias, none, one, one, 1, "add", 1.0, word, [], ""
    )
    return y
