# SPDX-License-Identifier: Apache-2.0
"""The two stages of training, and TensorFlow's both at once: images to a loss."""

from __future__ import annotations

from mindspore import Tensor, dtype, nn, ops

from delf_common.training.config import TrainConfig
from delf_common.training.start import BACKBONE, trained, trained_parts
from delf_ms.classifiers import TrainableDelf
from delf_ms.layers import freeze_batch_norm, normalise
from delf_ms.parameters import canonical_tensors

STATISTICS = ("running_mean", "running_var")  # parameters to MindSpore
METRICS = ("loss", "desc_loss", "attn_loss", "desc_accuracy", "attn_accuracy")


class Stage(nn.Cell):
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
        self.attention_weight = config.attention_loss_weight
        for name, tensor in canonical_tensors(delf).items():
            learned = not name.endswith(STATISTICS)
            tensor.requires_grad = learned and trained(name, config)
        for part in BACKBONE:
            if config.freeze_batch_norm or part not in trained_parts(config):
                freeze_batch_norm(getattr(delf.backbone, part))

    def construct(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
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
        still = ops.stop_gradient(features)
        attn, attn_right = self._attention_loss(still, labels)
        loss = desc + self.attention_weight * attn
        metrics = ops.stack([loss, desc, attn, desc_right, attn_right])
        return loss, ops.stop_gradient(metrics)

    def features(self, inputs: Tensor) -> Tensor:
        """Images, or features already, to block3 (B, C, h, w)."""
        if inputs.dtype != dtype.uint8:
            return inputs
        features = self.delf.backbone(normalise(inputs))
        if not self.backbone_trains:
            features = ops.stop_gradient(features)
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
    logits = logits.astype(dtype.float32)
    right = ops.stop_gradient(logits).argmax(1) == labels
    loss = ops.cross_entropy(logits, labels.astype(dtype.int32))
    return loss, right.astype(dtype.float32).mean()


def nothing(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and accuracy of a part that the stage does not have."""
    zero = ops.zeros((), dtype.float32)
    return zero, zero
