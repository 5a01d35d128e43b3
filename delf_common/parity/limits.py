# SPDX-License-Identifier: Apache-2.0
"""How far apart two backends may be, stage by stage, and why."""

from __future__ import annotations

POSITIONS = (
    "each runtime rounds the position of a resized pixel to float32 in its own order"
)
ORDER = "float32 sums in another order"
# stage -> (largest difference over the reference's largest value, why it is not 0)
LIMITS = {
    "normalise": (0.0, "exact: bytes, a difference and a power of two"),
    "resize": (1e-4, POSITIONS),
    "stem": (2e-4, POSITIONS + "; edges are steep"),
    "block1": (1e-4, "as stem, averaged"),
    "block2": (1e-4, "as block1"),
    "block3": (1e-4, "as block1"),
    "features": (1e-4, "as block3"),
    "attention": (1e-4, "as features"),
    "keypoints": (1e-4, "where scores of the attention are nearer, the order is free"),
    "descriptors": (2e-4, "as features, then a division by the length"),
}


def limit_of(stage: str, tolerance: float | None) -> float:
    """Limit of a stage: the table's, or the one tolerance that was asked for.

    Bytes become numbers exactly, whatever is tolerated later.
    """
    limit = LIMITS[stage][0]
    return limit if tolerance is None or not limit else tolerance
