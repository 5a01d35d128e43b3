# SPDX-License-Identifier: Apache-2.0
"""Compares the features that two backends extracted from one photograph."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.parity.ranked import Agreement, compare_ranked


@dataclass(frozen=True)
class FeatureDifference:
    """How far two sets of features are apart.

    Args:
        keypoints: agreement of the keypoints by groups of equal score.
        common: keypoints that both have.
        scores: largest difference of a common keypoint's scores, over the largest.
        descriptors: largest difference of a component of their descriptors.
    """

    keypoints: Agreement
    common: int
    scores: float
    descriptors: float


def compare_features(
    wanted: Features,
    given: Features,
    tolerance: float,
    *,
    limit: int,
    threshold: float | None,
) -> FeatureDifference:
    """Compare keypoints where their scores decide, then what was measured at them.

    Both must come without suppression of overlapping regions (``iou_threshold`` 1),
    whose choices follow from more than a keypoint's own score.

    Args:
        wanted: features of the reference.
        given: features to judge.
        tolerance: how far scores may be apart, over the largest of the reference.
        limit: ``max_feature_num`` of both.
        threshold: lowest score of both, None for no limit.

    Raises:
        DelfError: a value is NaN or infinite.
    """
    for features in (wanted, given):
        for name in ("keypoints", "scores", "descriptors"):
            if not np.isfinite(getattr(features, name)).all():
                raise DelfError(f"{name} hold NaN or infinity")
    largest = float(np.abs(wanted.scores).max(initial=0))
    ours, theirs = places(wanted), places(given)
    agreement = compare_ranked(
        list(ours),
        wanted.scores,
        list(theirs),
        given.scores,
        tolerance * largest,
        cut_of(wanted, limit, threshold),
    )
    common = [place for place in ours if place in theirs]
    one = wanted.take(np.array([ours[place] for place in common], np.intp))
    other = given.take(np.array([theirs[place] for place in common], np.intp))
    scores = np.abs(one.scores.astype(np.float64) - other.scores).max(initial=0)
    rows = np.abs(one.descriptors.astype(np.float64) - other.descriptors)
    return FeatureDifference(
        agreement,
        len(common),
        float(scores) / largest if scores else 0.0,
        float(rows.max(initial=0)),
    )


def places(features: Features) -> dict[Hashable, int]:
    """(x, y, scale) of each keypoint -> its row; no two keypoints share a place."""
    columns = np.column_stack([features.keypoints, features.scales])
    return {tuple(map(float, row)): i for i, row in enumerate(columns)}


def cut_of(features: Features, limit: int, threshold: float | None) -> float:
    """Score at which a set of features ends, -infinity where nothing was cut."""
    cut = -np.inf if threshold is None else threshold
    if len(features) == limit:
        cut = max(cut, float(features.scores[-1]))
    return cut
