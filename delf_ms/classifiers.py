# SPDX-License-Identifier: Apache-2.0
"""The network as it is trained: DELF with a classifier for each of its two outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mindspore import Tensor, nn, ops

from delf_common.weights.architectures import block_channels
from delf_common.weights.checkpoint import Checkpoint
from delf_common.weights.folding import fold_batch_norm
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import parameter_shapes
from delf_ms.delf import Delf, build_delf
from delf_ms.parameters import put_params

EPSILON = 1e-12  # of the squared length, as tf.nn.l2_normalize


class TrainableDelf(Delf):
    """Backbone, attention and classifiers; Noh et al. 2017, section 3.

    Args:
        info: architecture, attention, number of classes.
        folded: whether the backbone is without batch norms, for one that is frozen.
    """

    def __init__(self, info: WeightsInfo, folded: bool = False) -> None:
        attention = build_delf(info).attention
        super().__init__(build_delf(info, folded).backbone, attention)
        classes = info.num_classes
        self.desc: nn.Cell = nn.Identity()
        self.attn: nn.Cell = nn.Identity()
        if info.descriptor_classifier:
            self.desc = nn.Dense(block_channels(info, "block4"), classes)
        if info.attention == "trained":
            self.attn = nn.Dense(block_channels(info, "block3"), classes)

    @property
    def classifiers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Name of each classifier that there is -> block3 to its logits."""
        there: dict[str, Callable[[Tensor], Tensor]] = {}
        if isinstance(self.desc, nn.Dense):
            there["desc"] = self.descriptor_logits
        if isinstance(self.attn, nn.Dense):
            there["attn"] = self.attention_logits
        return there

    def descriptor_logits(self, features: Tensor) -> Tensor:
        """Block3 (B, C, h, w) to logits (B, classes): the mean of block4, classified.

        Every cell of block4 counts; the MindSpore DELF looks at the upper left 7x7.
        """
        pooled = self.backbone.deepest(features).mean((2, 3))
        return self.desc(pooled)

    def attention_logits(self, features: Tensor) -> Tensor:
        """Block3 (B, C, h, w) to logits (B, classes) of the attended features.

        The attention sees the features as they are; what it weighs are their unit
        vectors, and their mean over the cells is classified.
        """
        attention = self.attention(features)
        squares = ops.sum(features * features, dim=1, keepdim=True)
        unit = features * ops.rsqrt(ops.clamp(squares, min=EPSILON))
        pooled = (unit * attention.unsqueeze(1)).mean((2, 3))
        return self.attn(pooled)


def load_trainable(checkpoint: Checkpoint, folded: bool) -> TrainableDelf:
    """Build the network of a checkpoint with its parameters, ready to train.

    Args:
        checkpoint: canonical parameters, classifiers included.
        folded: fold the backbone's batch norms, for a backbone that stays frozen.
    """
    info, params = checkpoint.info, checkpoint.params
    delf = TrainableDelf(info, folded)
    backbone = dataclasses.replace(info, attention="feature_norm", num_classes=0)
    names = parameter_shapes(backbone)
    below = {name: params[name] for name in names}
    above = {name: params[name] for name in params if name not in names}
    if folded:
        below = fold_batch_norm(below, backbone)
    put_params(delf, below | above)
    return delf
