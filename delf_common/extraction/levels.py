# SPDX-License-Identifier: Apache-2.0
"""Pyramid levels drawn on the host, for runtimes whose graph begins behind the resize.

The same numbers as every backend's device gives: (pixel - 128) / 128, then bilinear
with half-pixel centres and no antialiasing, which is what OpenCV does.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def draw_level(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Normalise and resize.

    Args:
        images: (B, H, W, 3) uint8 RGB.
        size: (height, width) of the level.

    Returns:
        (B, 3, height, width) float32, contiguous.
    """
    height, width = size
    level = np.empty((len(images), 3, height, width), np.float32)
    for target, image in zip(level, images, strict=True):
        pixels = (image.astype(np.float32) - 128) / 128
        if pixels.shape[:2] != size:
            pixels = np.asarray(cv2.resize(pixels, (width, height)), np.float32)
        target[:] = pixels.transpose(2, 0, 1)
    return level
