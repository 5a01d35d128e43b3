# SPDX-License-Identifier: Apache-2.0
"""Square crops to train on (delf_spec.md sections C.1 and C.2)."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Resize = Literal["area", "bilinear"]
Box = tuple[int, int, int, int]  # top, left, height, width

AREA = (0.08, 1.0)  # of the photograph
ASPECT = (3 / 4, 4 / 3)  # width / height
ATTEMPTS = 100
METHODS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # grey of R, G, B (ITU-R BT.601)

# All chance is drawn by `Generator.random`: one double for each number, so that the
# stream does not hang on how NumPy makes integers or other distributions of it.


def draw_box(height: int, width: int, rng: np.random.Generator) -> Box:
    """Draw the box of a random resized crop.

    The area is uniform in `AREA`, the logarithm of the aspect in that of `ASPECT`; the
    place is uniform. A box that does not fit is drawn again, at most `ATTEMPTS` times;
    then it is the whole photograph.

    Source: the limits are those of tensorflow/models research/delf googlelandmarks.py
    and of the MindSpore DELF; the distributions those of MindSpore's RandomResizedCrop.
    """
    for _ in range(ATTEMPTS):
        area = height * width * _uniform(rng, *AREA)
        aspect = math.exp(_uniform(rng, math.log(ASPECT[0]), math.log(ASPECT[1])))
        tall, wide = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < tall <= height and 0 < wide <= width:
            top = int(rng.random() * (height - tall + 1))
            left = int(rng.random() * (width - wide + 1))
            return top, left, tall, wide
    return 0, 0, height, width


def random_crop(
    image: Image, size: int, resize: Resize, rng: np.random.Generator
) -> Image:
    """Cut a random box out of (H, W, 3) and resize it to (size, size, 3).

    Args:
        image: uint8 RGB.
        size: side of the result, in pixels.
        resize: "area" averages what falls into a pixel, as TensorFlow's DELF does (and
            interpolates where it enlarges); "bilinear" does not filter, as MindSpore's.
        rng: the only source of chance.
    """
    top, left, tall, wide = draw_box(image.shape[0], image.shape[1], rng)
    box = image[top : top + tall, left : left + wide]
    resized = cv2.resize(box, (size, size), interpolation=METHODS[resize])
    return np.asarray(resized, np.uint8)


def whole_photograph(image: Image, size: int) -> Image:
    """Resize all of (H, W, 3) to (size, size, 3), bilinear, as TF2 validates."""
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def flip_half(image: Image, rng: np.random.Generator) -> Image:
    """Mirror left and right of every other photograph, by chance."""
    return image[:, ::-1] if rng.random() < 0.5 else image


def jitter_colors(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Change brightness, contrast and saturation, in this order.

    Each moves the colours away from, or towards, black, the mean grey of the picture,
    and the grey of the pixel, by its own factor.

    Args:
        image: (H, W, 3) uint8 RGB.
        strength: each factor is uniform in 1 - strength ... 1 + strength; 0 to 1.
        rng: the only source of chance.
    """
    factors = [_uniform(rng, 1 - strength, 1 + strength) for _ in range(3)]
    brightness, contrast, saturation = map(np.float32, factors)
    pixels = image.astype(np.float32) * brightness
    mean = (pixels @ LUMA).mean()
    pixels = mean + (pixels - mean) * contrast
    grey = (pixels @ LUMA)[..., None]
    pixels = grey + (pixels - grey) * saturation
    jittered: Image = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return jittered


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())
