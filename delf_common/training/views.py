# SPDX-License-Identifier: Apache-2.0
"""Many views of one photograph: from elsewhere, in other light, half hidden.

Each photograph is a class, and its views are what a classifier must recognise as the
same. A view depends on the generator alone, so a seed gives the same views.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from delf_common.training.view_config import ViewConfig
from delf_common.training.view_geometry import change_viewpoint, cover
from delf_common.training.view_light import change_light, expose

__all__ = ["ViewConfig", "render_view"]

Image = NDArray[np.uint8]


def render_view(
    image: Image,
    rng: Generator,
    others: Sequence[Image] = (),
    config: ViewConfig | None = None,
) -> Image:
    """One view of a photograph.

    Args:
        image: (H, W, 3) uint8, RGB, at least 2 x 2.
        rng: draws everything; the same state gives the same bytes.
        others: other photographs, for what stands in front and for the surroundings
            where the view is wider than the photograph; without any, the photograph is
            mirrored at its borders and plain polygons stand in front.
        config: how far the view may go.

    Returns:
        (h, w, 3) uint8, RGB, longer side ``config.long_side``, no empty pixel; after a
        JPEG round trip.
    """
    config = config or ViewConfig()
    view = change_viewpoint(image, rng, others, config)
    if rng.random() < config.occlusion:
        view = _hide_parts(view, rng, others, config)
    lit = change_light(view, rng, config)
    return expose(lit, rng, config)


def _hide_parts(
    view: Image, rng: Generator, others: Sequence[Image], config: ViewConfig
) -> Image:
    """Polygons in front, filled with other photographs or with a plain colour."""
    height, width = view.shape[:2]
    hidden = view.copy()
    for _ in range(int(rng.integers(1, config.occluders + 1))):
        mask = np.zeros((height, width), np.uint8)
        radius = np.array([width, height]) * rng.uniform(0.08, 0.25)
        centre = rng.uniform(0, 1, 2) * [width, height]
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 9))))
        around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        polygon = centre + around * radius * rng.uniform(0.6, 1.0, (len(angles), 1))
        cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], (255,))
        if len(others) > 0 and rng.random() < 0.7:
            front = cover(others[rng.integers(len(others))], (width, height))
        else:
            front = np.broadcast_to(
                rng.integers(0, 256, 3).astype(np.uint8), view.shape
            )
        hidden[mask > 0] = front[mask > 0]
    return hidden
