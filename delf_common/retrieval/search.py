# SPDX-License-Identifier: Apache-2.0
"""Search an index: votes over all descriptors, then geometry for the best."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delf_common.config import MatchConfig, SearchConfig, VerifyConfig
from delf_common.errors import UsageError
from delf_common.features import Features
from delf_common.matching.matcher import match
from delf_common.retrieval.codes import codes_path, count_votes_by_codes
from delf_common.retrieval.exact import check_width, count_votes
from delf_common.retrieval.index import Index


@dataclass(frozen=True)
class Result:
    """One database image as an answer to a query.

    Args:
        name: of the database image.
        inliers: geometrically consistent matches; 0 where it was not verified.
        votes: query descriptors with a neighbour in this image.
        verified: whether the geometry was looked at.
    """

    name: str
    inliers: int
    votes: int
    verified: bool


def vote(
    index: Index,
    descriptors: NDArray[np.float32],
    threshold: float,
    config: SearchConfig,
) -> NDArray[np.int64]:
    """Count votes by the index's codes, or exactly; as `exact.count_votes`.

    Raises:
        UsageError: the index has descriptors of another width.
        DelfError: codes are asked for, or there, and cannot be used.
    """
    has_codes = config.voting == "pq" or codes_path(index.path).exists()
    if config.voting == "exact" or not has_codes:
        return count_votes(index, descriptors, threshold, config.block_rows)
    if len(descriptors):
        check_width(index, descriptors)
    return count_votes_by_codes(
        index.codes, len(index), descriptors, threshold, config.probes
    )


def search(
    index: Index,
    query: Features,
    match_config: MatchConfig | None = None,
    verify_config: VerifyConfig | None = None,
    config: SearchConfig | None = None,
    exclude: Collection[str] = (),
) -> list[Result]:
    """Rank the images of an index by how surely they show the query's place.

    Order: inliers, then votes, both falling, then name. The ``verify_top`` images with
    the most votes are verified; the rest has 0 inliers.

    Args:
        index: the collection.
        query: features of the query image, or of a region of it.
        match_config: needs a distance threshold; the ratio and mutual tests apply to
            the verified images.
        verify_config: of the geometric verification.
        config: how many images to verify.
        exclude: names left out, such as the query's own.

    Returns:
        Every image of the index that is not excluded, best first.

    Raises:
        UsageError: there is no distance threshold to vote with.
    """
    match_config = match_config or MatchConfig()
    verify_config, config = verify_config or VerifyConfig(), config or SearchConfig()
    threshold = match_config.distance_threshold
    if threshold is None:
        raise UsageError("--distance_threshold none: a search needs one to count votes")
    votes = vote(index, query.descriptors, threshold, config)
    left_out = set(exclude)
    order = [
        i
        for i in sorted(range(len(index)), key=lambda i: (-votes[i], index.names[i]))
        if index.names[i] not in left_out
    ]
    top = len(order) if config.verify_top == "all" else config.verify_top
    results = []
    for place, i in enumerate(order):
        verified = place < top and votes[i] > 0
        inliers = 0
        if verified:
            found = match(query, index.features(i), match_config, verify_config)
            inliers = found.verification.num_inliers
        results.append(Result(index.names[i], inliers, int(votes[i]), bool(verified)))
    return rank(results)


def rank(results: Iterable[Result]) -> list[Result]:
    """Sort by inliers, then votes, both falling, then name."""
    return sorted(results, key=lambda r: (-r.inliers, -r.votes, r.name))
