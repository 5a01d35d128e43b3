# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pca:
    """A learned projection of descriptors.

    Args:
        mean: (C,) float32.
        components: (C or fewer, C) float32, rows by falling variance.
        variances: one float32 for each row of components.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    variances: NDArray[np.float32]


@dataclass(frozen=True)
class WeightsInfo:
    """Provenance and recommended settings of a network's weights.

    Args:
        name: what to call them, a name or a file's name.
        sha256: of the checkpoint file, hexadecimal; "" for weights never saved.
        architecture: "resnet50" or "efficientnet_lite0".
        variant: "keras", "torchvision", ... ; "" where there is only one.
        block3_strides: whether block3 is subsampled by 2.
        attention: "trained", or "feature_norm" where the score is the length of the
            feature row because no attention head was trained.
        stage: last training stage: "imagenet", "tuning" or "attn".
        num_classes: classes of the classifier heads, 0 without heads.
        score_threshold: recommended attention threshold, None for none.
        pca: the projection learned for these weights, None for none.
        provenance: free text fields: source file, its sha256, recipe, licence.
        border_cells: recommended width of the border without keypoints, in cells.
        autoencoder: width of the features that DELG's autoencoder reduces block3 to; 0
            where the features are block3 itself.
        block4: whether the backbone goes on to block4; TF1's DELF ends at block3.
        embedding: width of DELG's global descriptor, 0 without an embedding.
        gem_power: of the mean over block4's cells that a global descriptor begins with.
        extraction: settings that were published with the weights, under the names of
            `delf_common.config.ExtractConfig`.
        descriptor_classifier: with classes, whether the classifier of the descriptor
            is there; it is not where the attention was trained on a backbone that no
            tuning stage came before.
    """

    name: str
    sha256: str
    architecture: str
    variant: str = ""
    block3_strides: bool = False
    attention: str = "feature_norm"
    stage: str = "imagenet"
    num_classes: int = 0
    score_threshold: float | None = None
    pca: Pca | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    border_cells: int = 0
    autoencoder: int = 0
    block4: bool = True
    embedding: int = 0
    gem_power: float = 3.0
    extraction: dict[str, Any] = field(default_factory=dict)
    descriptor_classifier: bool = True


@dataclass(frozen=True)
class TrainingState:
    """What a checkpoint holds beyond the network, so that training can go on.

    Args:
        step: number of the last finished step, from 1; the data's position too, since
            step n trains on batch n.
        optimizer: what the optimiser remembers: "momentum.conv1.weight" and so on.
        settings: the resolved configuration.
        loss_scale: of mixed precision, 1 without.
    """

    step: int
    optimizer: dict[str, NDArray[np.float32]]
    settings: dict[str, Any] = field(default_factory=dict)
    loss_scale: float = 1.0
