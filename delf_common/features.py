# SPDX-License-Identifier: Apache-2.0
"""The local features of one image, as a type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Features:
    """Keypoints of one image with what was measured at each.

    Convention: keypoints are x, y in pixels of the original image (after its EXIF
    orientation), and (0, 0) is the centre of the top left pixel. Rows are sorted by
    falling score. No keypoints at all is a value: every array has 0 rows.

    Args:
        keypoints: (N, 2) float32, x, y.
        descriptors: (N, D) float32, rows of unit length.
        scores: (N,) float32, the attention at each keypoint; its range depends on
            the weights.
        scales: (N,) float32, 1 / scale of the pyramid level: large means that the
            keypoint describes a large region.
        image_size: (width, height) of the original image in pixels.
    """

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    scores: NDArray[np.float32]
    scales: NDArray[np.float32]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse arrays whose rows do not belong together."""
        count = len(self.keypoints)
        shapes = (self.keypoints.shape, self.scores.shape, self.scales.shape)
        if shapes != ((count, 2), (count,), (count,)) or self.descriptors.ndim != 2:
            raise ValueError(f"keypoints, scores, scales have shapes {shapes}")
        if len(self.descriptors) != count:
            raise ValueError(f"{len(self.descriptors)} descriptors, {count} keypoints")

    def __len__(self) -> int:
        """Return the number of keypoints N."""
        return len(self.keypoints)

    def take(self, rows: NDArray[np.intp] | slice) -> Features:
        """Return the chosen rows, in the order given."""
        return Features(
            self.keypoints[rows],
            self.descriptors[rows],
            self.scores[rows],
            self.scales[rows],
            self.image_size,
        )

    @staticmethod
    def empty(dimension: int, image_size: tuple[int, int]) -> Features:
        """Return zero keypoints with descriptors of the given dimension D."""
        return Features(
            np.zeros((0, 2), np.float32),
            np.zeros((0, dimension), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.float32),
            image_size,
        )
