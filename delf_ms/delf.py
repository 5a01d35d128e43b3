# SPDX-License-Identifier: Apache-2.0
"""The whole network: images in, features and attention out."""

from __future__ import annotations

from mindspore import Tensor, nn

from delf_common.weights.architectures import (
    attention_layout,
    block_channels,
    check_architecture,
)
from delf_common.weights.metadata import WeightsInfo
from delf_ms.attention import Attention, Autoencoder, FeatureNorm
from delf_ms.efficientnet import EfficientNetLite0
from delf_ms.resnet import ResNet50

Backbone = EfficientNetLite0 | ResNet50


class Delf(nn.Cell):
    """Backbone and attention.

    Args:
        backbone: gives block3, and from it block4.
        attention: scores the cells of block3.
        autoencoder: None where the features are block3 itself.
    """

    def __init__(
        self,
        backbone: Backbone,
        attention: nn.Cell,
        autoencoder: Autoencoder | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.attention = attention
        self.autoencoder = autoencoder

    def construct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, H, W) to features (B, C, h, w), attention (B, h, w).

        Block4 is not computed.
        """
        features = self.backbone(images)
        expanded = features
        if self.autoencoder is not None:
            features, expanded = self.autoencoder(features)
        attention = self.attention(expanded)
        return features, attention

    def deepest(self, images: Tensor) -> Tensor:
        """Normalised images to block4 (B, C, h, w), for a global descriptor."""
        features = self.backbone(images)
        return self.backbone.deepest(features)


def build_delf(info: WeightsInfo, folded: bool = False) -> Delf:
    """Build the network that these weights belong to, with random parameters.

    Args:
        info: architecture, variant, strides and attention.
        folded: without batch norms, for parameters from `fold_batch_norm`.

    Raises:
        DelfError: there is no such architecture or variant.
    """
    check_architecture(info)
    backbone: Backbone
    if info.architecture == "resnet50":
        backbone = ResNet50(info.variant, info.block3_strides, folded, info.block4)
    else:
        backbone = EfficientNetLite0(folded)
    attention: nn.Cell = FeatureNorm()
    if info.attention == "trained":
        bias, eps = attention_layout(info)
        attention = Attention(block_channels(info, "block3"), folded, bias, eps)
    autoencoder = None
    if info.autoencoder:
        autoencoder = Autoencoder(block_channels(info, "block3"), info.autoencoder)
    return Delf(backbone, attention, autoencoder)
