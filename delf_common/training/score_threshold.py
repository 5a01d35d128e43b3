# SPDX-License-Identifier: Apache-2.0
"""The score threshold of an attention, from pairs of views that it was not trained on.

A keypoint is worth keeping if it may become an inlier between two views of one place;
the threshold is the score that nearly all of the inliers reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from delf_common.config import MatchConfig, VerifyConfig
from delf_common.errors import DelfError
from delf_common.io.feature_file import FeatureReader
from delf_common.matching.matcher import match


@dataclass(frozen=True)
class ChosenThreshold:
    """A score threshold, and what it rests on.

    Args:
        score: the lowest that a keypoint may have.
        pairs: of views that were matched.
        inliers: of all pairs together.
        dropped: share of all keypoints that score less.
    """

    score: float
    pairs: int
    inliers: int
    dropped: float


def choose_threshold(
    reader: FeatureReader,
    keep: float = 0.99,
    match_config: MatchConfig | None = None,
    verify_config: VerifyConfig | None = None,
) -> ChosenThreshold:
    """Match the views of each folder, each with the next, and look at the inliers.

    Args:
        reader: features of CLASS/VIEW, extracted without a threshold.
        keep: share of the inliers whose lower score of the two reaches the threshold.
        match_config: which matches are putative.
        verify_config: how they are verified.

    Raises:
        DelfError: no folder has two views, or no pair has an inlier.
    """
    pairs = list(pairs_of_views(reader.names()))
    scores = [np.zeros(0, np.float32)]
    for first, second in pairs:
        a, b = reader.read(first), reader.read(second)
        found = match(a, b, match_config, verify_config)
        rows = found.matches.pairs[found.verification.inliers]
        scores.append(np.minimum(a.scores[rows[:, 0]], b.scores[rows[:, 1]]))
    inliers = np.concatenate(scores)
    if not len(inliers):
        raise DelfError(
            f"{reader.path}: {len(pairs)} pairs of views, no inlier to choose a score "
            f"threshold by; it needs folders with two views of one place in each"
        )
    score = lowest_of(inliers, keep)
    keypoints = np.concatenate([reader.read(name).scores for name in reader.names()])
    dropped = float((keypoints < score).mean())
    return ChosenThreshold(score, len(pairs), len(inliers), dropped)


def pairs_of_views(names: list[str]) -> Iterator[tuple[str, str]]:
    """Neighbours among the sorted names of each folder."""
    for _, views in groupby(sorted(names), lambda name: name.rpartition("/")[0]):
        yield from pairwise(views)


def lowest_of(scores: NDArray[np.float32], keep: float) -> float:
    """The largest score that at least ``keep`` of the scores reach."""
    falling = np.sort(scores)[::-1]
    return float(falling[max(int(np.ceil(keep * len(scores))), 1) - 1])
