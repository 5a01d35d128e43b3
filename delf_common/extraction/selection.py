# SPDX-License-Identifier: Apache-2.0
"""Attention maps into keypoints: threshold, suppression, top-k, coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delf_common.config import ExtractConfig
from delf_common.errors import DelfError
from delf_common.extraction.boxes import BoxList
from delf_common.extraction.pyramid import Level
from delf_common.extraction.receptive_field import ReceptiveField


@dataclass(frozen=True)
class Selection:
    """Cells of the pyramid that become keypoints, best score first.

    Args:
        level: (N,) index of the pyramid level.
        cell: (N,) row-major index into that level's map.
        keypoints: (N, 2) float32 x, y in pixels of the image the pyramid was made of.
        scores: (N,) float32.
        scales: (N,) float32, 1 / level scale.
    """

    level: NDArray[np.intp]
    cell: NDArray[np.intp]
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    scales: NDArray[np.float32]


def select_keypoints(
    attention: Sequence[NDArray[np.float32]],
    levels: Sequence[Level],
    image_size: tuple[int, int],
    field: ReceptiveField,
    threshold: float | None,
    border: int,
    config: ExtractConfig,
) -> Selection:
    """Choose the keypoints of one image.

    Equal scores are ordered by level, then row, then column, so the choice does not
    depend on a sorting algorithm.

    Args:
        attention: a (h, w) map per level.
        levels: the levels, in the same order.
        image_size: (height, width) of the image the pyramid was made of.
        field: of the network.
        threshold: lowest score kept (it may be equal), None for no limit.
        border: cells along each border of a map that are left out.
        config: how many, which overlap, which centres.

    Raises:
        DelfError: an attention map holds NaN or infinity.
    """
    if not levels:
        nothing = np.zeros(0, np.float32)
        no_rows = np.zeros(0, np.intp)
        return Selection(no_rows, no_rows, nothing.reshape(0, 2), nothing, nothing)
    parts = [_candidates(i, a, threshold, border) for i, a in enumerate(attention)]
    level, cell, scores = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    overlap_counts = config.iou_threshold < 1
    if not overlap_counts:
        best = _top(scores, config.max_feature_num)
        level, cell, scores = level[best], cell[best], scores[best]
    columns = np.array([a.shape[1] for a in attention], np.intp)[level]
    rows_cols = np.stack(np.divmod(cell, columns), axis=1)
    centres = _centres(rows_cols, level, levels, image_size, field, config)
    scales = (1 / np.array([lv.scale for lv in levels]))[level]
    if overlap_counts:
        reach = ((field.size - 1) / 2 * scales)[:, None]
        corners = np.concatenate([centres - reach, centres + reach], axis=1)
        boxes = BoxList(corners.astype(np.float32), scores)
        keep = boxes.suppress(config.iou_threshold, config.max_feature_num)
        level, cell, scores = level[keep], cell[keep], scores[keep]
        centres, scales = centres[keep], scales[keep]
    keypoints = np.ascontiguousarray(centres[:, ::-1], np.float32)
    return Selection(level, cell, keypoints, scores, scales.astype(np.float32))


Candidates = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]


def _candidates(
    index: int, attention: NDArray[np.float32], threshold: float | None, border: int
) -> Candidates:
    """Level, cell and score of the inner cells that reach the threshold."""
    scores = attention.ravel()
    if not np.isfinite(scores).all():
        raise DelfError(
            f"the attention map of level {index} holds NaN or infinity; the weights "
            f"are broken or overflow in this precision: check them with --device cpu"
        )
    inner = np.zeros(attention.shape, bool)
    height, width = attention.shape
    inner[border : max(height - border, 0), border : max(width - border, 0)] = True
    good = scores >= (-np.inf if threshold is None else threshold)
    cells = np.flatnonzero(good & inner.ravel())
    return np.full(len(cells), index, np.intp), cells, scores[cells]


def _top(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Rows of the best scores, falling; equal scores keep their order."""
    rows = np.arange(len(scores))
    if 0 < count < len(scores):  # a partition first: sorting all is the slow part
        limit = np.partition(scores, len(scores) - count)[len(scores) - count]
        rows = np.flatnonzero(scores >= limit)
    return rows[np.argsort(-scores[rows], kind="stable")][:count]


def _centres(
    rows_cols: NDArray[np.intp],
    level: NDArray[np.intp],
    levels: Sequence[Level],
    image_size: tuple[int, int],
    field: ReceptiveField,
    config: ExtractConfig,
) -> NDArray[np.float64]:
    """(N, 2) y, x of each candidate in pixels of the image, (0, 0) a pixel's centre."""
    if config.keypoint_centres == "tf":
        declared = (field.size - 1) / 2 - field.padding
        scales = np.array([lv.scale for lv in levels])[level]
        tf: NDArray[np.float64] = (declared + field.stride * rows_cols) / scales[
            :, None
        ]
        return tf
    sizes = np.array([lv.size for lv in levels], np.float64)
    offsets = np.array([[field.centre_offset(n) for n in lv.size] for lv in levels])
    at_level = offsets[level] + field.stride * rows_cols
    ratio = np.array(image_size, np.float64) / sizes
    exact: NDArray[np.float64] = (at_level + 0.5) * ratio[level] - 0.5
    return exact
