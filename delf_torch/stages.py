# SPDX-License-Identifier: Apache-2.0
"""The two stages of training, and TensorFlow's both at once: images to a loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delf_common.training.config import TrainConfig
from delf_common.training.start import BACKBONE, trained, trained_parts
from delf_torch.classifiers import TrainableDelf
from delf_torch.layers import freeze_batch_norm, normalise
from delf_torch.parameters import canonical_tensors

METRICS = ("loss", "desc_loss", "attn_loss", "desc_accuracy", "attn_accuracy")


class Stage(nn.Module):
    """Computes the loss of one batch.

    What a stage does not train it runs without gradients and with the running
    statistics of batch norm.

    Args:
        delf: the network; its parameters' ``requires_grad`` is set.
        config: which stage, and what of the backbone it trains.
    """

    def __init__(self, delf: TrainableDelf, config: TrainConfig) -> None:
        super().__init__()
        self.delf = delf
        self.backbone_trains = config.backbone_trains
        self.attention_trains = config.attention_trains
        self.channels_last = config.channels_last
        self.attention_weight = config.attention_loss_weight
        for name, tensor in canonical_tensors(delf).items():
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_(trained(name, config))
        for part in BACKBONE:
            if config.freeze_batch_norm or part not in trained_parts(config):
                freeze_batch_norm(getattr(delf.backbone, part))

    def forward(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch.

        Args:
            inputs: (B, S, S, 3) uint8 images, or (B, C, h, w) frozen features.
            labels: (B,) int64.

        Returns:
            The loss, and the five ``METRICS`` without gradients; 0 for what the stage
            does not have.
        """
        features = self.features(inputs)
        desc, desc_right = self._descriptor_loss(features, labels)
        attn, attn_right = self._attention_loss(features.detach(), labels)
        loss = desc + self.attention_weight * attn
        metrics = torch.stack([loss, desc, attn, desc_right, attn_right])
        return loss, metrics.detach()

    def features(self, inputs: Tensor) -> Tensor:
        """Images, or features already, to block3 (B, C, h, w)."""
        if inputs.is_floating_point():
            layout = torch.channels_last if self.channels_last else None
            return inputs.contiguous(memory_format=layout or torch.contiguous_format)
        with torch.set_grad_enabled(self.backbone_trains and torch.is_grad_enabled()):
            features: Tensor = self.delf.backbone(normalise(inputs))
        return features

    def _descriptor_loss(
        self, features: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        if not self.backbone_trains:
            return nothing(labels)
        return cross_entropy(self.delf.descriptor_logits(features), labels)

    def _attention_loss(
        self, features: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        if not self.attention_trains:
            return nothing(labels)
        return cross_entropy(self.delf.attention_logits(features), labels)


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean softmax cross-entropy, and the share of labels that have the top logit."""
    logits = logits.float()
    right = logits.detach().argmax(dim=1) == labels
    return F.cross_entropy(logits, labels), right.float().mean()


def nothing(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and accuracy of a part that the stage does not have."""
    zero = torch.zeros((), device=labels.device)
    return zero, zero
