# SPDX-License-Identifier: Apache-2.0
"""Two networks on the same pictures: how far apart are their maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from delf_common.protocols import DenseMaps, FeatureNetwork, Images, Size
from delf_common.weights.differences import Difference, difference

# A picture with an odd side, and levels of every parity: SAME padding depends on them.
CHECK_PICTURE = (131, 180)
CHECK_SIZES = ((131, 180), (130, 181), (64, 95), (97, 64), (197, 270), (33, 40))


def check_pictures() -> Images:
    """Two pictures to compare networks on: (2, 131, 180, 3) uint8, smooth and noisy."""
    height, width = CHECK_PICTURE
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / (5 + i)) * np.cos(columns / (9 - i)) for i in range(3)]
    smooth = (127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, smooth.shape, np.uint8)
    return np.stack([smooth, noise])


def check_sizes(network: FeatureNetwork) -> list[Size]:
    """Levels to compare networks at: those of `CHECK_SIZES` that it can see."""
    side = network.receptive_field.map_side
    return [size for size in CHECK_SIZES if min(map(side, size)) > 0]


def compare_networks(
    reference: FeatureNetwork,
    other: FeatureNetwork,
    images: Images,
    sizes: Sequence[Size],
) -> list[Difference]:
    """Largest differences of attention and features at each level's size.

    Args:
        reference: whose values the differences are divided by.
        other: the network to judge.
        images: (B, H, W, 3) uint8 RGB.
        sizes: (height, width) of the levels; each must give at least one cell.

    Returns:
        Two entries per size, in order. [] for no sizes.

    Raises:
        DelfError: shapes differ, or a value is not finite.
    """
    found = []
    for size, a, b in zip(
        sizes, reference.dense(images, sizes), other.dense(images, sizes), strict=True
    ):
        found.append(difference("attention", size, a.attention, b.attention))
        found.append(difference("features", size, all_rows(a), all_rows(b)))
    return found


def all_rows(maps: DenseMaps) -> NDArray[np.float32]:
    """(B, h * w, C): the feature rows of every cell."""
    count, height, width = maps.attention.shape
    cells = np.arange(height * width)
    return np.stack([maps.gather(image, cells) for image in range(count)])
