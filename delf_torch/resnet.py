# SPDX-License-Identifier: Apache-2.0
"""ResNet-50 in the variants that DELF weights come in (delf_spec.md section A)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from delf_common.weights.architectures import (
    BLOCKS,
    RESNET_EXPANSION,
    RESNET_STEM,
    RESNET_VARIANTS,
    RESNET_WIDTHS,
    ResNetVariant,
    resnet_strides,
)
from delf_torch.layers import Convolution, MaxPool, Subsample, norm


class Projection(nn.Module):
    """The shortcut of a block's first unit."""

    def __init__(
        self,
        channels: int,
        width: int,
        stride: int,
        variant: ResNetVariant,
        folded: bool,
    ) -> None:
        super().__init__()
        bias = folded or variant.conv_bias
        self.conv = Convolution(channels, width, 1, stride, "valid", bias=bias)
        self.bn = norm(width, variant.eps, folded)

    def forward(self, x: Tensor) -> Tensor:
        """Project (B, C, H, W) to the unit's width and stride."""
        y: Tensor = self.bn(self.conv(x))
        return y


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut; the variant says which of them has the stride."""

    def __init__(
        self,
        channels: int,
        width: int,
        stride: int,
        variant: ResNetVariant,
        folded: bool,
    ) -> None:
        super().__init__()
        bias = folded or variant.conv_bias
        outer = width * RESNET_EXPANSION
        first = stride if variant.strided == "conv1" else 1
        second = stride if variant.strided == "conv2" else 1
        self.conv1 = Convolution(channels, width, 1, first, "valid", bias=bias)
        self.bn1 = norm(width, variant.eps, folded)
        self.conv2 = Convolution(width, width, 3, second, 1, bias=bias)
        self.bn2 = norm(width, variant.eps, folded)
        self.conv3 = Convolution(width, outer, 1, 1, "valid", bias=bias)
        self.bn3 = norm(outer, variant.eps, folded)
        self.shortcut: nn.Module = Subsample() if stride > 1 else nn.Identity()
        if channels != outer:
            self.shortcut = Projection(channels, outer, stride, variant, folded)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 * width, ceil(H / stride), ceil(W / stride))."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.shortcut(x))


class ResNet50(nn.Module):
    """The backbone up to block4, without the classifier.

    Args:
        variant: a name in `RESNET_VARIANTS`.
        block3_strides: subsample block3 by 2; block4 then has stride 1, so that its
            map has the same size either way.
        folded: build without batch norms, for parameters from `fold_batch_norm`.
        block4: False for weights that end at block3; there is no `deepest` then.
    """

    def __init__(
        self,
        variant: str,
        block3_strides: bool = False,
        folded: bool = False,
        block4: bool = True,
    ) -> None:
        super().__init__()
        chosen = RESNET_VARIANTS[variant]
        bias = folded or chosen.conv_bias
        strides1, strides2, strides3, strides4 = resnet_strides(chosen, block3_strides)
        subsampled = block3_strides and chosen.strided_unit == "first"
        width1, width2, width3 = (
            RESNET_WIDTHS[block] * RESNET_EXPANSION for block in BLOCKS[:3]
        )
        self.conv1 = Convolution(3, RESNET_STEM, 7, 2, chosen.stem_padding, bias=bias)
        self.bn1 = norm(RESNET_STEM, chosen.eps, folded)
        self.pool1 = MaxPool(chosen.pool_padding)
        self.block1 = build_block("block1", RESNET_STEM, strides1, chosen, folded)
        self.block2 = build_block("block2", width1, strides2, chosen, folded)
        self.block3 = build_block("block3", width2, strides3, chosen, folded)
        self.subsample = Subsample() if subsampled else nn.Identity()
        self.block4: nn.Module = nn.Identity()
        if block4:
            self.block4 = build_block("block4", width3, strides4, chosen, folded)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to block3 (B, 1024, h, w)."""
        x = self.stem(x)
        x = self.block1(x)
        x = self.block2(x)
        x = self.block3(x)
        x = self.subsample(x)
        return x

    def stem(self, x: Tensor) -> Tensor:
        """Normalised images to the input of block1 (B, 64, H / 4, W / 4)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.pool1(x)
        return x

    def deepest(self, features: Tensor) -> Tensor:
        """Go from block3 on to block4 (B, 2048, h, w), stride 32."""
        x: Tensor = self.block4(features)
        return x


def build_block(
    block: str,
    channels: int,
    strides: tuple[int, ...],
    variant: ResNetVariant,
    folded: bool,
) -> nn.Sequential:
    """Stack a block's units, one for each stride; only the first projects."""
    width = RESNET_WIDTHS[block]
    units = []
    for stride in strides:
        units.append(Bottleneck(channels, width, stride, variant, folded))
        channels = width * RESNET_EXPANSION
    return nn.Sequential(*units)
