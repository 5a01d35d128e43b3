# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0: ReLU6, batch norm, no squeeze-excite.

Source: tensorflow/tpu efficientnet/lite. The 16 units are grouped by stride into
block1 to block4 (4, 8, 16, 32), so that block3 means the same as in ResNet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from delf_common.weights.architectures import (
    LITE0_EPS,
    LITE0_STEM,
    InvertedResidual,
    lite0_units,
)
from delf_torch.layers import Convolution, norm


class Unit(nn.Module):
    """Expand 1x1, depthwise, project 1x1, and the input added where it fits."""

    def __init__(self, unit: InvertedResidual, folded: bool) -> None:
        super().__init__()
        inside = unit.before * unit.expansion
        self.expands = unit.expansion > 1
        self.residual = unit.residual
        if self.expands:
            self.expand = Convolution(unit.before, inside, 1, bias=folded)
            self.bn1 = norm(inside, LITE0_EPS, folded)
        self.depthwise = Convolution(
            inside, inside, unit.kernel, unit.stride, groups=inside, bias=folded
        )
        self.bn2 = norm(inside, LITE0_EPS, folded)
        self.project = Convolution(inside, unit.after, 1, bias=folded)
        self.bn3 = norm(unit.after, LITE0_EPS, folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) to (B, after, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = x
        if self.expands:
            y = F.relu6(self.bn1(self.expand(y)))
        y = F.relu6(self.bn2(self.depthwise(y)))
        y = self.bn3(self.project(y))
        if self.residual:
            y = y + x
        return y


class EfficientNetLite0(nn.Module):
    """The backbone up to block4, without the classifier.

    Args:
        folded: build without batch norms, for parameters from `fold_batch_norm`.
    """

    def __init__(self, folded: bool = False) -> None:
        super().__init__()
        units = lite0_units()
        self.conv1 = Convolution(3, LITE0_STEM, 3, 2, bias=folded)
        self.bn1 = norm(LITE0_STEM, LITE0_EPS, folded)
        self.block1 = build_block(units["block1"], folded)
        self.block2 = build_block(units["block2"], folded)
        self.block3 = build_block(units["block3"], folded)
        self.block4 = build_block(units["block4"], folded)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to block3 (B, 112, h, w), stride 16."""
        x = self.stem(x)
        x = self.block1(x)
        x = self.block2(x)
        x = self.block3(x)
        return x

    def stem(self, x: Tensor) -> Tensor:
        """Normalised images to the input of block1 (B, 32, H / 2, W / 2)."""
        x = F.relu6(self.bn1(self.conv1(x)))
        return x

    def deepest(self, features: Tensor) -> Tensor:
        """Go from block3 on to block4 (B, 320, h, w), stride 32."""
        x: Tensor = self.block4(features)
        return x


def build_block(units: Sequence[InvertedResidual], folded: bool) -> nn.Sequential:
    """Stack a block's units."""
    return nn.Sequential(*[Unit(unit, folded) for unit in units])
