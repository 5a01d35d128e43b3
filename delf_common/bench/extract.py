# SPDX-License-Identifier: Apache-2.0
"""Seconds an image by pyramid level, and peak memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from delf_common.bench.timing import look
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.pyramid import Level, pyramid_levels
from delf_common.extras import need
from delf_common.host import peak_memory
from delf_common.protocols import FeatureNetwork, Image

DEFAULT_SIZE = (1024, 768)  # width, height


def default_image() -> Image:
    """Return scikit-image's coffee photograph, enlarged to 1024x768."""
    need("skimage")
    from skimage import data

    return np.asarray(cv2.resize(np.asarray(data.coffee()), DEFAULT_SIZE), np.uint8)


def run_extract_bench(
    extractor: Extractor, image: Image | None = None, repeats: int = 5
) -> dict[str, Any]:
    """Time every level by itself, and the whole extraction, interleaved.

    Args:
        extractor: network and settings.
        image: (H, W, 3) uint8, None for `default_image`.
        repeats: rounds; medians are given. One round before them is not counted.

    Returns:
        Size, seconds of each level (upload, resizing, network, attention map), seconds
        of the whole extraction, keypoints, and the process's peak memory in MiB.
    """
    picture = default_image() if image is None else image
    height, width = picture.shape[:2]
    scales, field = extractor.config.image_scales, extractor.network.receptive_field
    levels = pyramid_levels(height, width, scales, field)
    timings: dict[str, list[float]] = {}
    keypoints = 0
    for round_number in range(repeats + 1):
        seconds = {
            f"{level.scale:.4g} ({level.width}x{level.height})": _time(
                partial(look_at, extractor.network, picture, level)
            )
            for level in levels
        }
        begin = time.perf_counter()
        keypoints = len(extractor.extract_batch([picture])[0])
        seconds["all"] = time.perf_counter() - begin
        if round_number:
            for name, value in seconds.items():
                timings.setdefault(name, []).append(value)
    medians = {name: statistics.median(values) for name, values in timings.items()}
    return {
        "image": f"{width}x{height}",
        "weights": extractor.network.info.name,
        "repeats": repeats,
        "seconds": medians,
        "keypoints": keypoints,
        "peak_memory_mib": peak_memory(),
    }


def look_at(network: FeatureNetwork, image: Image, level: Level) -> None:
    """Run one level, and wait for it."""
    look(network.dense(image[None], [level.size]))


def _time(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    head = f"{result['image']}, {result['weights']}, median of {result['repeats']}"
    rows = [f"{name:<20} {value:8.3f} s" for name, value in result["seconds"].items()]
    tail = f"{result['keypoints']} keypoints, {result['peak_memory_mib']:.0f} MiB peak"
    return "\n".join([head, *rows, tail])
