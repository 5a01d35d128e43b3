# SPDX-License-Identifier: Apache-2.0
"""What DELF is measured beside: rootSIFT with geometry, and a global descriptor."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from delf_common.config import MatchConfig, VerifyConfig
from delf_common.features import Features
from delf_common.matching.matcher import match
from delf_common.protocols import Image

SIFT_MATCHING = MatchConfig(distance_threshold=None, ratio_threshold=0.9, mutual=True)
GEM_POWER = 3.0
GEM_FLOOR = 1e-6


def extract_rootsift(image: Image, count: int = 1000) -> Features:
    """RootSIFT: L1-normalised SIFT, square root (Arandjelovic and Zisserman 2012).

    Args:
        image: (H, W, 3) uint8 RGB.
        count: most keypoints.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(nfeatures=count).detectAndCompute(
        grey, np.full(grey.shape, 255, np.uint8)
    )
    size = (image.shape[1], image.shape[0])
    if descriptors is None:
        return Features.empty(128, size)
    # SIFT keeps all keypoints that share the last score.
    order = np.argsort([-point.response for point in points], kind="stable")[:count]
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), GEM_FLOOR)
    return Features(
        np.array([points[i].pt for i in order], np.float32),
        np.sqrt(descriptors / sums)[order].astype(np.float32),
        np.array([points[i].response for i in order], np.float32),
        np.array([points[i].size for i in order], np.float32),
        size,
    )


def rank_by_inliers(
    query: Features,
    database: dict[str, Features],
    match_config: MatchConfig,
    verify_config: VerifyConfig,
) -> list[str]:
    """Verify the query with every image; names by falling inliers, then name."""
    inliers = {
        name: match(query, features, match_config, verify_config)
        for name, features in database.items()
    }
    counts = {name: found.verification.num_inliers for name, found in inliers.items()}
    return sorted(counts, key=lambda name: (-counts[name], name))


def pool_gem(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Generalised mean over the cells, unit length (Radenovic et al. 2018).

    Args:
        maps: (B, C, h, w) features.

    Returns:
        (B, C) float32.
    """
    powers = np.maximum(maps, GEM_FLOOR) ** GEM_POWER
    pooled = powers.mean(axis=(2, 3)) ** (1 / GEM_POWER)
    unit: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return unit


def rank_by_cosine(
    query: NDArray[np.float32], names: list[str], descriptors: NDArray[np.float32]
) -> list[str]:
    """Names by falling cosine with the query's global descriptor, then name."""
    cosines = dict(zip(names, (descriptors @ query).tolist(), strict=True))
    return sorted(names, key=lambda name: (-cosines[name], name))
