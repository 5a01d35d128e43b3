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
    """

    def __init__(self, channels: int, folded: bool = False) -> None:
        super().__init__()
        self.conv1 = Convolution(channels, ATTENTION_WIDTH, 1)
        self.bn1 = norm(ATTENTION_WIDTH, ATTENTION_EPS, folded)
        self.conv2 = Convolution(ATTENTION_WIDTH, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to attention (B, h, w), above 0."""
        x = self.conv1(features)
        x = F.relu(self.bn1(x))
        x = self.conv2(x)
        return F.softplus(x).squeeze(1)


class FeatureNorm(nn.Module):
    """Stands in for a head that nobody trained: the length of each feature row."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to attention (B, h, w), 0 or above."""
        return torch.sqrt(torch.sum(features * features, dim=1))
