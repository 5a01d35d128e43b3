# SPDX-License-Identifier: Apache-2.0
"""How much each cell of the feature map matters (Noh et al. 2017, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delf_common.weights.architectures import ATTENTION_EPS, ATTENTION_WIDTH
from delf_torch.layers import Convolution, norm


class Attention(nn.Module):
    """The trained head: 1x1, batch norm, ReLU, 1x1, softplus.

    Args:
        channels: width of the features, which come in not normalised.
        folded: build without batch norm, for parameters from `fold_batch_norm`.
        bias: whether the first convolution has one before the batch norm.
        eps: of the batch norm.
    """

    def __init__(
        self,
        channels: int,
        folded: bool = False,
        bias: bool = True,
        eps: float = ATTENTION_EPS,
    ) -> None:
        super().__init__()
        self.conv1 = Convolution(channels, ATTENTION_WIDTH, 1, bias=folded or bias)
        self.bn1 = norm(ATTENTION_WIDTH, eps, folded)
        self.conv2 = Convolution(ATTENTION_WIDTH, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to attention (B, h, w), above 0."""
        x = self.conv1(features)
        x = F.relu(self.bn1(x))
        x = self.conv2(x.to(self.conv2.weight.dtype))
        return F.softplus(x).squeeze(1)


class Autoencoder(nn.Module):
    """DELG's: features reduced for storage, and expanded again for the attention.

    Args:
        channels: width of the features.
        width: of the reduced features.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels, width, 1)
        self.conv2 = Convolution(width, channels, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, h, w) to reduced (B, width, h, w), expanded (B, C, h, w)."""
        reduced = self.conv1(features)
        expanded = F.relu(self.conv2(reduced))
        return reduced, expanded


class FeatureNorm(nn.Module):
    """Stands in for a head that nobody trained: the length of each feature row."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to attention (B, h, w), 0 or above."""
        features = features.float()
        return torch.sqrt(torch.sum(features * features, dim=1))
