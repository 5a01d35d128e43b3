# SPDX-License-Identifier: Apache-2.0
"""Lists of boxes with scores: area, overlap, clipping, sorting, suppression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BoxList:
    """Boxes of one image, each with a score.

    Convention: a row is ymin, xmin, ymax, xmax; areas are (ymax - ymin) * (xmax - xmin)
    without an added pixel, as in TensorFlow. No box at all is a value.

    Args:
        coordinates: (N, 4) float32 in pixels; the maxima are not below the minima.
        scores: (N,) float32.

    Raises:
        ValueError: shapes do not fit, or a maximum lies below its minimum.

    Source: the roles of object_detection's box_list_ops in TensorFlow's DELF.
    """

    coordinates: Floats
    scores: Floats

    def __post_init__(self) -> None:
        """Check the shapes and the order of the corners."""
        if self.coordinates.shape != (len(self.scores), 4):
            shape = self.coordinates.shape
            raise ValueError(
                f"boxes are (N, 4), got {shape}, {len(self.scores)} scores"
            )
        if (self.coordinates[:, 2:] < self.coordinates[:, :2]).any():
            raise ValueError("a box has ymax < ymin or xmax < xmin")

    def __len__(self) -> int:
        """Return the number of boxes N."""
        return len(self.scores)

    def centres(self) -> Floats:
        """(N, 2) middles of the boxes, y, x."""
        return (self.coordinates[:, :2] + self.coordinates[:, 2:]) / np.float32(2)

    def area(self) -> Floats:
        """(N,) areas in square pixels."""
        sides = self.coordinates[:, 2:] - self.coordinates[:, :2]
        areas: Floats = sides[:, 0] * sides[:, 1]
        return areas

    def intersection(self, other: BoxList) -> Floats:
        """(N, M) areas shared by each box of this list and each of the other."""
        low = np.maximum(self.coordinates[:, None, :2], other.coordinates[None, :, :2])
        high = np.minimum(self.coordinates[:, None, 2:], other.coordinates[None, :, 2:])
        sides = np.maximum(high - low, np.float32(0))
        shared: Floats = sides[..., 0] * sides[..., 1]
        return shared

    def iou(self, other: BoxList) -> Floats:
        """(N, M) intersection over union; 0 where both boxes have no area."""
        shared = self.intersection(other)
        union = self.area()[:, None] + other.area()[None, :] - shared
        return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)

    def clip(self, height: float, width: float) -> BoxList:
        """Cut the boxes at the image's border, 0 to height and 0 to width."""
        limit = np.array([height, width, height, width], np.float32)
        return BoxList(np.clip(self.coordinates, np.float32(0), limit), self.scores)

    def gather(self, rows: NDArray[np.intp]) -> BoxList:
        """Take the chosen rows in the order given.

        Raises:
            IndexError: a row is not in the list.
        """
        return BoxList(self.coordinates[rows], self.scores[rows])

    def order(self) -> NDArray[np.intp]:
        """Rows by falling score; equal scores keep their order."""
        return np.argsort(-self.scores, kind="stable")

    def sort(self) -> BoxList:
        """Sort by falling score; equal scores keep their order."""
        return self.gather(self.order())

    def filter(self, threshold: float) -> BoxList:
        """Keep the boxes whose score is at least the threshold."""
        return self.gather(np.flatnonzero(self.scores >= threshold))

    def suppress(
        self, iou_threshold: float, max_count: int | None = None
    ) -> NDArray[np.intp]:
        """Greedy non-maximum suppression.

        Walks down the scores, keeps a box unless its intersection over union with one
        kept before is above the threshold, and stops after ``max_count``.

        Returns:
            Rows kept, by falling score (equal scores in list order). (0,) for none.

        Raises:
            ValueError: the threshold is not in 0 to 1, or the count is negative.
        """
        limit = len(self) if max_count is None else max_count
        if not 0 <= iou_threshold <= 1 or limit < 0:
            raise ValueError(f"IoU threshold {iou_threshold}, max_count {max_count}")
        waiting = self.order()
        if iou_threshold == 1:  # no overlap is above 1: this is a top-k
            return waiting[:limit]
        kept: list[int] = []
        while len(waiting) and len(kept) < limit:
            best, waiting = waiting[0], waiting[1:]
            kept.append(int(best))
            iou = self.gather(waiting).iou(self.gather(np.array([best])))[:, 0]
            waiting = waiting[iou <= iou_threshold]
        return np.array(kept, np.intp)
