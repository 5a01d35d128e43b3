# SPDX-License-Identifier: Apache-2.0
"""The sizes of the image pyramid's levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from delf_common.extraction.receptive_field import ReceptiveField

# Below this side TensorFlow's DELF extractor returns no features.
MIN_IMAGE_SIDE = 10


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Args:
        scale: as configured; the level's sides are rounded, so their exact ratios to
            the image's sides differ a little from it.
        height: rows of the resized image.
        width: columns of the resized image.
    """

    scale: float
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.height, self.width


def pyramid_levels(
    height: int, width: int, scales: Sequence[float], field: ReceptiveField
) -> list[Level]:
    """List the levels that the network can see, in the order of ``scales``.

    A side of a level is round(side * scale), halves to even (as TensorFlow rounds).

    Returns:
        One level per scale, without those whose feature map would have no cell. An
        image with a side under `MIN_IMAGE_SIDE` has none.
    """
    if min(height, width) < MIN_IMAGE_SIDE:
        return []
    levels = [Level(s, round(height * s), round(width * s)) for s in scales]
    return [
        level
        for level in levels
        if min(level.size) > 0 and min(map(field.map_side, level.size)) > 0
    ]
