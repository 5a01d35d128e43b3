# SPDX-License-Identifier: Apache-2.0
"""Where a view is taken from: a homography, and what surrounds the photograph."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from delf_common.training.view_config import ViewConfig

Image = NDArray[np.uint8]


def view_size(aspect: float, long_side: int) -> tuple[int, int]:
    """(width, height) in pixels of a view of this aspect."""
    if aspect >= 1:
        return long_side, max(2, round(long_side / aspect))
    return max(2, round(long_side * aspect)), long_side


def draw_homography(
    source: tuple[int, int],
    target: tuple[int, int],
    rng: Generator,
    config: ViewConfig,
) -> NDArray[np.float64]:
    """3 x 3 matrix from pixels (x, y) of the photograph to those of the view.

    Args:
        source: (width, height) of the photograph.
        target: (width, height) of the view.
        rng: draws zoom, rotation, tilt and shift.
        config: their ranges.
    """
    size = np.array(target, np.float64)
    low, high = np.log(config.zoom)
    zoom = np.exp(rng.uniform(low, high))
    fit = np.max(size / np.array(source, np.float64))
    widest = config.rotation if rng.random() < 0.9 else config.rare_rotation
    angle = np.deg2rad(rng.uniform(-widest, widest))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    half = np.array(source, np.float64) * fit * zoom / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = (corners * half) @ turn.T
    placed += _tilt_corners(corners, rng, config.tilt) * 2 * half
    # Nearer views may look at any part; wide ones keep the photograph in the middle.
    reach = config.shift * size + np.maximum(half - size / 2, 0) * 0.8
    placed += size / 2 + rng.uniform(-reach, reach)
    frame = (corners + 1) / 2 * (np.array(source) - 1)
    matrix = cv2.getPerspectiveTransform(
        frame.astype(np.float32), placed.astype(np.float32)
    )
    return np.asarray(matrix, np.float64)


def _tilt_corners(
    corners: NDArray[np.float64], rng: Generator, tilt: float
) -> NDArray[np.float64]:
    """Offsets of the corners, in sides: a turn about a line, and a little of each."""
    about_vertical, about_horizontal = rng.uniform(-tilt, tilt, 2)
    offsets = np.zeros((4, 2))
    offsets[:, 1] -= corners[:, 0] * corners[:, 1] * about_vertical / 2
    offsets[:, 0] -= corners[:, 0] * corners[:, 1] * about_horizontal / 2
    # What turns away also gets narrower.
    offsets[:, 0] -= corners[:, 0] * abs(about_vertical) / 2
    offsets[:, 1] -= corners[:, 1] * abs(about_horizontal) / 2
    return offsets + rng.uniform(-tilt, tilt, (4, 2)) / 8


def change_viewpoint(
    image: Image, rng: Generator, others: Sequence[Image], config: ViewConfig
) -> Image:
    """The photograph (H, W, 3) seen through a drawn homography, without empty pixels.

    Seven views of ten are surrounded by another photograph, if there are ``others`` and
    the photograph itself fills a third; the rest are mirrored at its borders.
    """
    target = view_size(float(rng.choice(config.aspects)), config.long_side)
    matrix = _draw_telling_homography(image, target, rng, config)
    # Where another photograph would fill most of the view, the label would be a lie.
    own = _share_filled(matrix, (image.shape[1], image.shape[0]), target)
    foreign = len(others) > 0 and rng.random() < 0.7 and own >= 0.35
    surroundings = cover(others[rng.integers(len(others))], target) if foreign else None
    shrink = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if shrink < 0.7:  # Else warping a large photograph down would alias.
        half = 0.5 / max(shrink, 0.05)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), half), np.uint8)
    flags = cv2.INTER_LINEAR
    if surroundings is None:
        border = cv2.BORDER_REFLECT_101
        warped = cv2.warpPerspective(
            image, matrix, target, flags=flags, borderMode=border
        )
        return np.asarray(warped, np.uint8)
    return np.asarray(
        cv2.warpPerspective(
            image,
            matrix,
            target,
            dst=surroundings,
            flags=flags,
            borderMode=cv2.BORDER_TRANSPARENT,
        ),
        np.uint8,
    )


def _draw_telling_homography(
    image: Image, target: tuple[int, int], rng: Generator, config: ViewConfig
) -> NDArray[np.float64]:
    """The first of ten drawn homographies whose view tells which photograph it is."""
    source = (image.shape[1], image.shape[0])
    detail = _measure_detail(image)
    for _ in range(10):
        matrix = draw_homography(source, target, rng, config)
        if _tells(matrix, detail, source, target):
            return matrix
    return _fit(source, target)


def _measure_detail(image: Image) -> NDArray[np.float64]:
    """(48, 48) mean strength of edges in each part of the photograph."""
    small = cv2.resize(image, (192, 192), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    edges = np.abs(cv2.Laplacian(grey, cv2.CV_64F))
    return np.asarray(cv2.resize(edges, (48, 48), interpolation=cv2.INTER_AREA))


def _tells(
    matrix: NDArray[np.float64],
    detail: NDArray[np.float64],
    source: tuple[int, int],
    target: tuple[int, int],
) -> bool:
    """Whether the view fills or holds enough of the photograph, and not only sky."""
    placed, depth = _project(_grid() * source, matrix)
    if depth.min() <= 0 or depth.max() > 4 * depth.min():
        return False  # Behind the camera, or nearly edge-on.
    filled = _share_filled(matrix, source, target)
    inside = np.all((placed >= 0) & (placed < target), axis=1)
    if not inside.any():
        return False
    seen = detail.ravel()[inside]
    held = seen.sum() / max(detail.sum(), 1e-9)
    return bool((filled >= 0.5 or held >= 0.6) and seen.mean() >= 0.5 * detail.mean())


def _share_filled(
    matrix: NDArray[np.float64], source: tuple[int, int], target: tuple[int, int]
) -> float:
    """Share of the view that the photograph fills."""
    back, _ = _project(_grid() * target, np.linalg.inv(matrix))
    return float(np.all((back >= 0) & (back < source), axis=1).mean())


def _grid() -> NDArray[np.float64]:
    """(2304, 2) centres (x, y) of 48 x 48 cells of the unit square, row by row."""
    rows, columns = np.mgrid[0:48, 0:48]
    grid: NDArray[np.float64] = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return (grid + 0.5) / 48


def _project(
    points: NDArray[np.float64], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 2) points through a homography, and the (N,) third coordinates."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return moved[:, :2] / moved[:, 2:], moved[:, 2]


def _fit(source: tuple[int, int], target: tuple[int, int]) -> NDArray[np.float64]:
    """The photograph over the whole view, cropped at its longer side."""
    scale = max(target[0] / source[0], target[1] / source[1])
    shift = (np.array(target) - scale * np.array(source)) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1.0]])


def cover(image: Image, size: tuple[int, int]) -> Image:
    """The photograph stretched over (width, height)."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
