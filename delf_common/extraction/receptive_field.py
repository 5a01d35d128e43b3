# SPDX-License-Identifier: Apache-2.0
"""Where a cell of the feature map looks in the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Padding = Literal["same", "valid"] | int


@dataclass(frozen=True)
class Layer:
    """One layer that shrinks or pads an axis.

    Args:
        kernel: side of the window in cells of the layer's input.
        stride: step of the window in cells of the layer's input.
        padding: "same" (TensorFlow's rule: ceil(n / stride) outputs, the odd cell of
            padding after), "valid" (none), or cells on both sides.
    """

    kernel: int
    stride: int
    padding: Padding

    def before(self, side: int) -> int:
        """Cells of padding before the first one, for an input of this side."""
        if self.padding == "same":
            total = (math.ceil(side / self.stride) - 1) * self.stride + self.kernel
            return max(total - side, 0) // 2
        return 0 if self.padding == "valid" else self.padding

    def output_side(self, side: int) -> int:
        """Cells that come out of an input of this side; 0 when it does not fit."""
        if self.padding == "same":
            return math.ceil(side / self.stride)
        padded = side + 2 * self.before(side)
        return max((padded - self.kernel) // self.stride + 1, 0)


@dataclass(frozen=True)
class ReceptiveField:
    """Image region of a feature map's cells, in pixels of the network's input.

    ``size``, ``stride`` and ``padding`` are the figures that published DELF declares
    (291, 32, 145 for ResNet-50 to conv4 with the subsampling): cell k of an axis sees
    the pixels from ``stride * k - padding`` on. They ignore how SAME padding depends on
    the parity of each layer's input; ``layers`` knows it, and `centre_offset` is exact.

    Source: Noh et al. 2017; tensorflow/models research/delf feature_extractor.py.
    """

    size: int
    stride: int
    padding: int
    layers: tuple[Layer, ...] = ()

    def map_side(self, side: int) -> int:
        """Cells of the feature map along an axis of ``side`` pixels, 0 if too small."""
        for layer in self.layers:
            side = layer.output_side(side)
        return side

    def centre_offset(self, side: int) -> float:
        """Pixel at the middle of cell 0's region, on an axis of ``side`` pixels.

        The middle of cell k is ``centre_offset(side) + stride * k``. Without
        ``layers`` it is the declared middle, (size - 1) / 2 - padding.
        """
        if not self.layers:
            return (self.size - 1) / 2 - self.padding
        offset, jump = 0.0, 1
        for layer in self.layers:
            offset += jump * ((layer.kernel - 1) / 2 - layer.before(side))
            jump *= layer.stride
            side = layer.output_side(side)
        return offset
