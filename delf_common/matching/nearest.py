# SPDX-License-Identifier: Apache-2.0
"""Putative matches: nearest descriptors by blocked matrix products, exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delf_common.config import MatchConfig
from delf_common.errors import DelfError, UsageError

BLOCK_CELLS = 2**19  # cosines held at a time (2 MiB, in a cache), whatever the counts


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

    The tests, each switchable: the distance is below the threshold (strictly, as in
    published DELF, which asks in the other direction); the distance is below ratio
    times that of the second nearest, which passes where image 1 has a single
    descriptor; mutual: no descriptor of image 0 is nearer to that one of image 1, and
    of several equally near ones that chose it the first row keeps it.

    Without the mutual test several descriptors of image 0 may share one of image 1.
    Of equal distances, as computed in float32, the lower row wins on either side.

    Args:
        descriptors0: (N, D) float32 of unit length.
        descriptors1: (M, D) float32 of unit length.
        config: which tests to apply.

    Returns:
        At most N pairs; none if either image has no descriptors.

    Raises:
        ValueError: the descriptors differ in width.
        DelfError: descriptors are not finite.
        UsageError: a setting is outside its range.
    """
    config = config or MatchConfig()
    _check(descriptors0, descriptors1, config)
    if not len(descriptors0) or not len(descriptors1):
        return Matches(np.zeros((0, 2), np.intp), np.zeros(0, np.float32))
    nearest, cosine, second, best_back = _nearest(descriptors0, descriptors1, config)
    distances = cosines_to_distances(cosine)
    keep = np.ones(len(descriptors0), bool)
    if config.distance_threshold is not None:
        keep &= distances < config.distance_threshold
    if config.ratio_threshold is not None:
        keep &= distances < config.ratio_threshold * cosines_to_distances(second)
    if config.mutual:
        keep &= _first_of_each(nearest, cosine == best_back[nearest])
    pairs = np.stack([np.arange(len(nearest)), nearest], axis=1)[keep]
    return Matches(pairs, distances[keep])


def _check(
    descriptors0: NDArray[np.float32],
    descriptors1: NDArray[np.float32],
    config: MatchConfig,
) -> None:
    """Refuse descriptors and settings that have no answer."""
    if descriptors0.shape[1] != descriptors1.shape[1]:
        shapes = f"{descriptors0.shape} and {descriptors1.shape}"
        raise ValueError(f"descriptors of different width: {shapes}")
    if not (np.isfinite(descriptors0).all() and np.isfinite(descriptors1).all()):
        raise DelfError("descriptors hold NaN or infinity; extract the features again")
    distance, ratio = config.distance_threshold, config.ratio_threshold
    if distance is not None and not distance > 0:
        raise UsageError(f"--distance_threshold {distance}: must be above 0, or none")
    if ratio is not None and not 0 < ratio <= 1:
        raise UsageError(f"--ratio_threshold {ratio}: must be in (0, 1], or none")


Nearest = tuple[
    NDArray[np.intp], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]
]


def _nearest(
    descriptors0: NDArray[np.float32],
    descriptors1: NDArray[np.float32],
    config: MatchConfig,
) -> Nearest:
    """Compare all with all: the nearest of each row, and what the tests need.

    Returns:
        (N,) nearest row of image 1, its cosine, the second largest cosine (-inf if
        there is none or no ratio test), and (M,) the largest cosine of each column.
    """
    count0, count1 = len(descriptors0), len(descriptors1)
    nearest = np.zeros(count0, np.intp)
    cosine = np.zeros(count0, np.float32)
    second = np.full(count0, -np.inf, np.float32)
    best_back = np.full(count1, -np.inf, np.float32)
    block_rows = max(BLOCK_CELLS // count1, 1)
    for start in range(0, count0, block_rows):
        part = slice(start, start + block_rows)
        cosines = descriptors0[part] @ descriptors1.T
        rows = np.arange(len(cosines))
        nearest[part] = cosines.argmax(axis=1)
        cosine[part] = cosines[rows, nearest[part]]
        if config.mutual:
            np.maximum(best_back, cosines.max(axis=0), out=best_back)
        if config.ratio_threshold is not None:
            cosines[rows, nearest[part]] = -np.inf
            second[part] = cosines.max(axis=1)
    return nearest, cosine, second, best_back


def _first_of_each(
    nearest: NDArray[np.intp], candidates: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Keep of candidate rows with one nearest neighbour the lowest: ties are rare."""
    rows = np.flatnonzero(candidates)
    _, first = np.unique(nearest[rows], return_index=True)
    kept = np.zeros(len(nearest), bool)
    kept[rows[first]] = True
    return kept


def cosines_to_distances(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distance of unit vectors: d^2 = 2 - 2 cos, rounding clipped at 0."""
    distances: NDArray[np.float32] = np.sqrt(np.maximum(2 - 2 * cosines, np.float32(0)))
    return distances
