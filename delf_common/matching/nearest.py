# SPDX-License-Identifier: Apache-2.0
"""Putative matches: nearest descriptors by blocked matrix products, exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delf_common.config import MatchConfig

BLOCK_ROWS = 4096  # descriptors of image 0 compared at a time; bounds the memory


@dataclass(frozen=True)
class Matches:
    """Pairs of descriptors that may show the same point.

    Args:
        pairs: (K, 2) rows of image 0 and of image 1, by rising row of image 0.
        distances: (K,) float32 Euclidean distances of the unit descriptors, 0 to 2.
    """

    pairs: NDArray[np.intp]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of pairs K."""
        return len(self.pairs)


def match_descriptors(
    descriptors0: NDArray[np.float32],
    descriptors1: NDArray[np.float32],
    config: MatchConfig | None = None,
) -> Matches:
    """Give every descriptor of image 0 its nearest one of image 1, and test the pair.

    Without the mutual test several descriptors of image 0 may share one of image 1.
    Of equal distances the lower row wins. The ratio test passes where image 1 has a
    single descriptor. A distance must be below the threshold, as in published DELF.

    Args:
        descriptors0: (N, D) float32 of unit length.
        descriptors1: (M, D) float32 of unit length.
        config: which tests to apply.

    Returns:
        At most N pairs; none if either image has no descriptors.

    Raises:
        ValueError: the descriptors differ in width.
    """
    config = config or MatchConfig()
    if descriptors0.shape[1] != descriptors1.shape[1]:
        shapes = f"{descriptors0.shape} and {descriptors1.shape}"
        raise ValueError(f"descriptors of different width: {shapes}")
    if not len(descriptors0) or not len(descriptors1):
        return Matches(np.zeros((0, 2), np.intp), np.zeros(0, np.float32))
    nearest, first, second, back = _nearest(descriptors0, descriptors1, config)
    rows = np.arange(len(descriptors0))
    keep = np.ones(len(rows), bool)
    if config.distance_threshold is not None:
        keep &= first < config.distance_threshold
    if config.ratio_threshold is not None:
        keep &= first < config.ratio_threshold * second
    if config.mutual:
        keep &= back[nearest] == rows
    pairs = np.stack([rows, nearest], axis=1)[keep]
    return Matches(pairs, first[keep])


Nearest = tuple[
    NDArray[np.intp], NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]
]


def _nearest(
    descriptors0: NDArray[np.float32],
    descriptors1: NDArray[np.float32],
    config: MatchConfig,
) -> Nearest:
    """Nearest row and distance, second distance, and nearest row the other way."""
    count0, count1 = len(descriptors0), len(descriptors1)
    nearest = np.zeros(count0, np.intp)
    first = np.zeros(count0, np.float32)
    second = np.full(count0, np.inf, np.float32)
    back = np.zeros(count1, np.intp)
    back_cosine = np.full(count1, -np.inf, np.float32)
    for start in range(0, count0, BLOCK_ROWS):
        part = slice(start, min(start + BLOCK_ROWS, count0))
        cosines = descriptors0[part] @ descriptors1.T
        rows = np.arange(len(cosines))
        if config.mutual:
            best = cosines.argmax(axis=0)
            value = cosines[best, np.arange(count1)]
            better = value > back_cosine
            back[better], back_cosine[better] = best[better] + start, value[better]
        nearest[part] = cosines.argmax(axis=1)
        first[part] = cosines_to_distances(cosines[rows, nearest[part]])
        if config.ratio_threshold is not None and count1 > 1:
            cosines[rows, nearest[part]] = -np.inf
            second[part] = cosines_to_distances(cosines.max(axis=1))
    return nearest, first, second, back


def cosines_to_distances(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distance of unit vectors: d^2 = 2 - 2 cos, rounding clipped at 0."""
    distances: NDArray[np.float32] = np.sqrt(np.maximum(2 - 2 * cosines, np.float32(0)))
    return distances
