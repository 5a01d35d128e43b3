# SPDX-License-Identifier: Apache-2.0
"""One descriptor for a whole picture, as DELG makes it (Cao et al. 2020)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delf_common.weights.architectures import check_block4
from delf_common.weights.checkpoint import Checkpoint

GEM_FLOOR = 1e-6  # what is lower counts as this before it is raised to the power


def describe_globally(
    maps: NDArray[np.float32], checkpoint: Checkpoint
) -> NDArray[np.float32]:
    """Pool block4 with GeM, then apply the embedding where the weights have one.

    Args:
        maps: (B, C, h, w), from a network's `global_maps`.
        checkpoint: of the same weights; its power and embedding are taken.

    Returns:
        (B, D) float32 of unit length; D is C without an embedding. No images give
        (0, D).

    Raises:
        DelfError: the weights end at block3.

    Source: tensorflow/models research/delf, pooling_layers and delg_model.
    """
    info, params = checkpoint.info, checkpoint.params
    check_block4(info)
    powers = np.maximum(maps.astype(np.float64), GEM_FLOOR) ** info.gem_power
    pooled = powers.mean(axis=(2, 3)) ** (1 / info.gem_power)
    if info.embedding:
        pooled = pooled @ params["embedding.weight"].T + params["embedding.bias"]
    lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (pooled / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit
