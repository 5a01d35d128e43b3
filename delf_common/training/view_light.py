# SPDX-License-Identifier: Apache-2.0
"""In what light a view is taken, and what lens, sensor and file do to it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from delf_common.training.view_config import ViewConfig

Image = NDArray[np.uint8]


def change_light(
    view: Image, rng: Generator, config: ViewConfig
) -> NDArray[np.float32]:
    """Gamma, contrast, brightness, warmth, shadow and haze; (h, w, 3), 0 to 255."""
    light = (view.astype(np.float32) / 255) ** rng.uniform(*config.gamma) * 255
    light = (light - 128) * rng.uniform(*config.contrast) + 128
    light += rng.uniform(*config.brightness)
    warmth = rng.uniform(*config.warmth)
    light *= np.array([1 + warmth, 1, 1 - warmth], np.float32)
    if rng.random() < config.shadow:
        light *= _draw_shadow((view.shape[0], view.shape[1]), rng)[..., None]
    if rng.random() < config.haze:
        thickness = rng.uniform(0.15, 0.5)
        light = light * (1 - thickness) + rng.uniform(170, 240) * thickness
    return np.clip(light, 0, 255).astype(np.float32)


def _draw_shadow(shape: tuple[int, int], rng: Generator) -> NDArray[np.float32]:
    """(h, w) factors: darker to one side of a line, with a soft or a sharp edge."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = (columns - 0.5) * np.cos(angle) + (rows - 0.5) * np.sin(angle)
    edge = np.clip((along - rng.uniform(-0.3, 0.3)) / rng.uniform(0.01, 0.8), 0, 1)
    return np.asarray(1 - rng.uniform(0.2, 0.6) * edge, np.float32)


def expose(light: NDArray[np.float32], rng: Generator, config: ViewConfig) -> Image:
    """What lens, sensor and file do: blur, noise, JPEG; (h, w, 3) uint8."""
    if rng.random() < config.blur:
        sigma = rng.uniform(0.5, 1.8)
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)
    if rng.random() < config.motion:
        light = np.asarray(cv2.filter2D(light, -1, _motion_kernel(rng)), np.float32)
    if rng.random() < config.noise:
        noise = rng.standard_normal(light.shape, np.float32)
        light = light + noise * np.float32(rng.uniform(2, 12))
    pixels = np.clip(np.round(light), 0, 255).astype(np.uint8)
    quality = int(rng.integers(config.quality[0], config.quality[1] + 1))
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _motion_kernel(rng: Generator) -> NDArray[np.float32]:
    """A line of 3 to 11 pixels in any direction, summing to one."""
    length = int(rng.integers(1, 6))
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = np.round(length * np.array([np.cos(angle), np.sin(angle)])).astype(int)
    start, end = length - reach, length + reach
    first, last = (int(start[0]), int(start[1])), (int(end[0]), int(end[1]))
    cv2.line(kernel, first, last, (1.0,))
    return np.asarray(kernel / kernel.sum(), np.float32)
