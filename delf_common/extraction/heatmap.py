# SPDX-License-Identifier: Apache-2.0
"""The attention as a picture: warm where the network looks, over the photograph."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from delf_common.protocols import FeatureNetwork, Image

OPACITY = 0.6
GREY = 0.35  # of the photograph's colour that is left
QUANTILES = (0.02, 0.995)  # of the attention, shown as the coldest and warmest colour


def draw_attention(image: Image, attention: NDArray[np.float32]) -> Image:
    """Lay an attention map over its photograph.

    Args:
        image: (H, W, 3) uint8 RGB.
        attention: (h, w), any range; stretched over the whole photograph.

    Returns:
        (H, W, 3) uint8 RGB; an attention that is the same everywhere is drawn cold.
    """
    height, width = image.shape[:2]
    low, high = np.quantile(attention, QUANTILES)
    scaled = np.clip((attention - low) / max(high - low, 1e-12), 0, 1)
    smooth = cv2.resize(
        scaled.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    levels = (np.clip(smooth, 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[:, :, ::-1]
    grey = image.mean(axis=2, keepdims=True)
    photograph = GREY * image + (1 - GREY) * grey
    mixed = (1 - OPACITY) * photograph + OPACITY * colours
    result: Image = np.rint(mixed).astype(np.uint8)
    return result


def attention_of(network: FeatureNetwork, image: Image) -> NDArray[np.float32]:
    """Attention (h, w) of one photograph at its own size."""
    height, width = image.shape[:2]
    attention: NDArray[np.float32] = network.dense(image[None], [(height, width)])[
        0
    ].attention[0]
    return attention


def write_heatmap(network: FeatureNetwork, image: Image, output: Path) -> None:
    """Draw the attention of a photograph into a picture file (.png, .jpg)."""
    from delf_common.matching.drawing import save_picture

    save_picture(output, draw_attention(image, attention_of(network, image)))
