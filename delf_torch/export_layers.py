# SPDX-License-Identifier: Apache-2.0
"""Layers that pad by TensorFlow's rule, in the form an exporter records for all sizes.

How many cells the rule pads depends on the input's sides. A recording would keep those
of the example; ONNX has a name for the rule itself, SAME_UPPER.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delf_common.extraction.receptive_field import Layer
from delf_torch.delf import Delf
from delf_torch.layers import Convolution, MaxPool, pad_same


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: Layer, groups: int
    ) -> Tensor:
        return F.conv2d(pad_same(x, layer), weight, bias, layer.stride, 0, 1, groups)

    @staticmethod
    def symbolic(
        g: Any, x: Any, weight: Any, bias: Any, layer: Layer, groups: int
    ) -> Any:
        return g.op("Conv", x, weight, bias, group_i=groups, **_window(layer))


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer) -> Tensor:
        padded = pad_same(x, layer, -math.inf)
        return F.max_pool2d(padded, layer.kernel, layer.stride)

    @staticmethod
    def symbolic(g: Any, x: Any, layer: Layer) -> Any:
        return g.op("MaxPool", x, **_window(layer))


def _window(layer: Layer) -> dict[str, Any]:
    return {
        "auto_pad_s": "SAME_UPPER",
        "kernel_shape_i": [layer.kernel] * 2,
        "strides_i": [layer.stride] * 2,
    }


class SameConvolution(nn.Module):
    """Stands in for a folded `Convolution` whose padding depends on its input."""

    def __init__(self, convolution: Convolution) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.layer, self.groups = convolution.layer, convolution.groups

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        y: Tensor = _Convolve.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.layer, self.groups
        )
        return y


class SameMaxPool(nn.Module):
    """Stands in for a `MaxPool` whose padding depends on its input."""

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.layer = pool.layer

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, C, H, W)."""
        y: Tensor = _Pool.apply(x, self.layer)  # type: ignore[no-untyped-call]
        return y


def recordable(delf: Delf) -> Delf:
    """Copy a folded network, with these layers where padding depends on the input."""
    copied = copy.deepcopy(delf)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Convolution) and child.dynamic:
                setattr(parent, name, SameConvolution(child))
            if isinstance(child, MaxPool) and child.dynamic:
                setattr(parent, name, SameMaxPool(child))
    return copied
