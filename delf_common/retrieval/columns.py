# SPDX-License-Identifier: Apache-2.0
"""The growing columns of an index: a row for every feature of every image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.features import Features

ROWS_PER_CHUNK = 4096
ROWS_AT_A_TIME = 4 * ROWS_PER_CHUNK  # written together: a small write costs as a large
COLUMNS = ("keypoints", "descriptors", "scores", "scales")


def make_columns(file: h5py.File, dimension: int, dtype: str) -> None:
    """Make empty, growing datasets for the rows of all images."""
    widths = {
        "keypoints": (2,),
        "descriptors": (dimension,),
        "scores": (),
        "scales": (),
    }
    for name, width in widths.items():
        file.create_dataset(
            name,
            shape=(0, *width),
            maxshape=(None, *width),
            chunks=(ROWS_PER_CHUNK, *width),
            dtype=dtype if name == "descriptors" else "float32",
        )


def append_images(
    file: h5py.File,
    names: list[str],
    counts: list[int],
    sizes: list[tuple[int, int]],
    images: Iterable[tuple[str, Features]],
) -> int:
    """Add the rows of images to the columns, and write the tables of all images.

    Args:
        file: open for writing, with columns and without tables.
        names: of the images whose rows are there.
        counts: of their rows.
        sizes: of these images, (width, height).
        images: what to add, read one at a time.

    Returns:
        How many images there are now.

    Raises:
        DelfError: two images have one name.
    """
    waiting: list[Features] = []
    rows = 0
    for name, features in images:
        names.append(name)
        counts.append(len(features))
        sizes.append(features.image_size)
        waiting.append(features)
        rows += len(features)
        if rows >= ROWS_AT_A_TIME:
            _append(file, waiting)
            waiting, rows = [], 0
    _append(file, waiting)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DelfError(f"two images are called {twice!r}; names must be unique")
    file["names"] = np.array(names, h5py.string_dtype())
    file["offsets"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    file["image_sizes"] = np.array(sizes, np.int32).reshape(-1, 2)
    return len(names)


def _append(file: h5py.File, images: list[Features]) -> None:
    """Add the rows of some images at the end of every column."""
    if not images:
        return
    for column in COLUMNS:
        dataset: Any = file[column]
        rows: NDArray[np.float32] = np.concatenate(
            [getattr(features, column) for features in images]
        )
        before = dataset.shape[0]
        dataset.resize(before + len(rows), axis=0)
        dataset[before:] = rows.astype(dataset.dtype)
