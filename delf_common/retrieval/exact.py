# SPDX-License-Identifier: Apache-2.0
"""Votes by comparing every descriptor of the query with every one of the index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import UsageError
from delf_common.retrieval.index import Index


def count_votes(
    index: Index, descriptors: NDArray[np.float32], threshold: float, block_rows: int
) -> NDArray[np.int64]:
    """Count, for each image, the query descriptors that have a near one in it.

    Exact: every query descriptor is compared with every database descriptor, one block
    of the index at a time.

    Args:
        index: the collection.
        descriptors: (N, D) float32 of the query, unit length.
        threshold: Euclidean distance under which two descriptors are near.
        block_rows: database descriptors in memory at a time.

    Returns:
        (images,) int64. All 0 for a query without descriptors.

    Raises:
        UsageError: the index has descriptors of another width.
    """
    votes = np.zeros(len(index), np.int64)
    if not len(descriptors):
        return votes
    check_width(index, descriptors)
    least = np.float32(1 - threshold**2 / 2)  # d^2 = 2 - 2 cos for unit vectors
    for first, after, block in index.descriptor_blocks(block_rows):
        near = np.flatnonzero(block @ descriptors.T > least)  # few of very many
        rows, queries = np.divmod(near, len(descriptors))
        counts = np.diff(index.offsets[first : after + 1])
        images = np.repeat(np.arange(after - first), counts)
        voted = np.zeros((after - first, len(descriptors)), bool)
        voted[images[rows], queries] = True
        votes[first:after] = voted.sum(axis=1)
    return votes


def check_width(index: Index, descriptors: NDArray[np.float32]) -> None:
    """Refuse a query whose descriptors are not those of the index.

    Raises:
        UsageError: names both widths.
    """
    if descriptors.shape[1] != index.dimension:
        raise UsageError(
            f"the query has {descriptors.shape[1]}-dimensional descriptors, the index "
            f"{index.path} {index.dimension}-dimensional ones; extract both alike"
        )
