# SPDX-License-Identifier: Apache-2.0
"""Axis orders of kernels, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_layout(w: NDArray[Any], source: str, target: str) -> NDArray[Any]:
    """Reorder the axes of a kernel.

    Args:
        w: the kernel, one axis for each letter of ``source``.
        source: its axis order: O output channels, I input channels, H height, W width.
            TensorFlow writes "HWIO".
        target: the wanted order of the same letters; the canonical one is "OIHW".

    Returns:
        A contiguous array.

    Raises:
        ValueError: the letters or the number of axes do not agree.
    """
    if sorted(source) != sorted(target) or len(set(source)) != len(source):
        raise ValueError(f"layouts {source!r} and {target!r} have different axes")
    if w.ndim != len(source):
        raise ValueError(f"layout {source!r} does not fit an array of shape {w.shape}")
    return np.ascontiguousarray(w.transpose([source.index(axis) for axis in target]))
