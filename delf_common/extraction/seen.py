# SPDX-License-Identifier: Apache-2.0
"""What the network saw in a batch, between the two halves of an extraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delf_common.extraction.pyramid import Level
from delf_common.extraction.selection import Selection
from delf_common.protocols import DenseMaps


@dataclass(frozen=True)
class Seen:
    """What the network saw in a batch of images of one shape.

    Args:
        maps: of every pyramid level.
        levels: none where the images are too small for the network.
        resized: (height, width) that the network was given.
        factors: new / old side by resizing, for height and width.
        sizes: (width, height) of each image as it was.
    """

    maps: Sequence[DenseMaps]
    levels: Sequence[Level]
    resized: tuple[int, int]
    factors: tuple[float, float]
    sizes: Sequence[tuple[int, int]]


def gather_rows(
    image: int, maps: Sequence[DenseMaps], chosen: Selection, channels: int
) -> NDArray[np.float32]:
    """(N, channels) feature rows of the chosen cells, one gather per level."""
    rows = np.zeros((len(chosen.cell), channels), np.float32)
    for level, level_maps in enumerate(maps):
        here = np.flatnonzero(chosen.level == level)
        if len(here):
            rows[here] = level_maps.gather(image, chosen.cell[here])
    return rows
