# SPDX-License-Identifier: Apache-2.0
"""Matching two images' descriptors, beside the matrix product alone and other ways."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delf_common.bench.synthetic import SyntheticCollection
from delf_common.bench.timing import time_in_turn
from delf_common.config import MatchConfig
from delf_common.matching.nearest import match_descriptors

DIMENSIONS = (40, 112, 128)  # published DELF's, delf-lite0's, rootSIFT's
ROUNDS = 10  # for each repeat: a round takes some milliseconds
PRODUCT, OURS = "matrix product alone", "delf, mutual"
Rows = NDArray[np.float32]


def run_match_bench(count: int, repeats: int, seed: int = 0) -> dict[str, Any]:
    """Time every way on two images of one place.

    The product alone gives no match; the k-d tree is what published DELF does (one
    direction, up to the distance threshold); cv2 and faiss find mutual neighbours and
    apply the threshold, as ours does.

    Args:
        count: descriptors of each image.
        repeats: tens of rounds; medians are given.
        seed: of the descriptors.

    Returns:
        A row for each dimension: milliseconds by way, and pairs by way.
    """
    rows = []
    for dimension in DIMENSIONS:
        made = SyntheticCollection(10, count, dimension, seed)
        one, other = made.image(0), made.image(1)
        ways = ways_of_matching(one, other)
        seconds = time_in_turn(ways, ROUNDS * repeats)
        rows.append(
            {
                "dimension": dimension,
                "milliseconds": {way: 1000 * s for way, s in seconds.items()},
                "matches": {way: len(ways[way]()) for way in ways if way != PRODUCT},
                "times_product": seconds[OURS] / seconds[PRODUCT],
            }
        )
    return {"descriptors": count, "rows": rows}


def ways_of_matching(one: Rows, other: Rows) -> dict[str, Callable[[], Any]]:
    """Name the ways that are installed; each returns its pairs."""
    ways: dict[str, Callable[[], Any]] = {
        PRODUCT: lambda: one @ other.T,
        OURS: partial(match_descriptors, one, other),
        "scipy k-d tree": partial(match_by_tree, one, other),
        "cv2 BFMatcher": partial(match_by_opencv, one, other),
    }
    if importlib.util.find_spec("faiss"):
        ways["faiss flat"] = partial(match_by_faiss, one, other)
    return ways


def threshold() -> float:
    """Largest distance of a match, by default."""
    return MatchConfig().distance_threshold or 2.0


def match_by_tree(one: Rows, other: Rows) -> list[int]:
    """Rows of ``other`` that the nearest of each row of ``one`` is, in a k-d tree."""
    from scipy.spatial import cKDTree

    tree = cKDTree(other)
    _, found = tree.query(one, distance_upper_bound=threshold())
    return [int(row) for row in found if row < len(other)]


def match_by_opencv(one: Rows, other: Rows) -> list[Any]:
    """Mutual neighbours by brute force."""
    matcher = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True)
    return [m for m in matcher.match(one, other) if m.distance < threshold()]


def match_by_faiss(one: Rows, other: Rows) -> NDArray[np.intp]:
    """Mutual neighbours by a flat index in each direction."""
    import faiss

    nearest, distances = [], None
    for rows, database in ((other, one), (one, other)):
        flat = faiss.IndexFlatL2(rows.shape[1])
        flat.add(database)
        distances, found = flat.search(rows, 1)
        nearest.append(found[:, 0])
    back, forth = nearest
    mutual = back[forth] == np.arange(len(one))
    near: NDArray[np.bool_] = np.asarray(distances)[:, 0] < threshold() ** 2
    return np.flatnonzero(mutual & near)


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    ways = list(result["rows"][0]["milliseconds"])
    head = " ".join(f"{way:>21}" for way in ways)
    lines = [
        f"{result['descriptors']} x {result['descriptors']} descriptors, milliseconds",
        f"dimension {head}  delf / product",
    ]
    for row in result["rows"]:
        cells = " ".join(f"{row['milliseconds'][way]:21.2f}" for way in ways)
        lines.append(f"{row['dimension']:9d} {cells} {row['times_product']:15.2f}")
    return "\n".join(lines)
