# SPDX-License-Identifier: Apache-2.0
"""Match two images: nearest descriptors, then geometry."""

from __future__ import annotations

from dataclasses import dataclass

from delf_common.config import MatchConfig, VerifyConfig
from delf_common.features import Features
from delf_common.matching.nearest import Matches, match_descriptors
from delf_common.matching.verification import Verification, verify


@dataclass(frozen=True)
class ImageMatch:
    """Putative matches of two images, and which of them agree geometrically."""

    matches: Matches
    verification: Verification


def match(
    features0: Features,
    features1: Features,
    match_config: MatchConfig | None = None,
    verify_config: VerifyConfig | None = None,
) -> ImageMatch:
    """Match the features of two images and verify the matches.

    Returns:
        No matches and no inliers where an image has no features.

    Raises:
        ValueError: the descriptors differ in width.
        UsageError: a setting is outside its range.
    """
    matches = match_descriptors(
        features0.descriptors, features1.descriptors, match_config
    )
    keypoints0 = features0.keypoints[matches.pairs[:, 0]]
    keypoints1 = features1.keypoints[matches.pairs[:, 1]]
    return ImageMatch(matches, verify(keypoints0, keypoints1, verify_config))
