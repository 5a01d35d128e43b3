# SPDX-License-Identifier: Apache-2.0
"""Learn a PCA from feature files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from delf_common.errors import DelfError
from delf_common.extraction.pca import StreamingCovariance
from delf_common.io.feature_file import FeatureReader
from delf_common.weights.architectures import feature_channels
from delf_common.weights.checkpoint import (
    StoredType,
    load_checkpoint,
    save_checkpoint,
)
from delf_common.weights.metadata import Pca


def learn_pca(
    files: Sequence[Path], dimension: int | None = None
) -> tuple[Pca, NDArray[np.float64], int]:
    """Learn from the descriptors of every image, one image in memory at a time.

    Args:
        files: feature files whose descriptors were not projected.
        dimension: components kept, None for all.

    Returns:
        The PCA, the cumulative share of variance explained, the number of descriptors.

    Raises:
        DelfError: no descriptors, or of different widths, or already projected.
    """
    total: StreamingCovariance | None = None
    for file in files:
        with FeatureReader(file) as reader:
            if reader.info["config"].get("pca_dim"):
                raise DelfError(
                    f"{file} holds projected descriptors; extract with --use_pca false"
                )
            for name in tqdm(
                reader.names(), desc=file.name, unit="image", disable=None
            ):
                rows = reader.read(name).descriptors
                total = total or StreamingCovariance(rows.shape[1])
                if rows.shape[1] != total.channels:
                    raise DelfError(
                        f"{file}: {name} has {rows.shape[1]}-dimensional descriptors, "
                        f"the images before {total.channels}-dimensional ones"
                    )
                total.update(rows)
    if total is None:
        raise DelfError("the feature files hold no images to learn from")
    pca, explained = total.learn(dimension)
    return pca, explained, total.count


def put_pca(weights: str | Path, output: Path, pca: Pca) -> None:
    """Write a copy of a checkpoint with this PCA inside.

    The copy stores float16 where the original's kernels fit it exactly.

    Raises:
        DelfError: the weights cannot be read, or the PCA is for other channels.
    """
    checkpoint = load_checkpoint(weights)
    channels = feature_channels(checkpoint.info)
    if len(pca.mean) != channels:
        raise DelfError(
            f"the PCA is for {len(pca.mean)} channels, {weights} has {channels}"
        )
    kernels = [array for array in checkpoint.params.values() if array.ndim > 1]
    half = all((array == array.astype(np.float16)).all() for array in kernels)
    info = dataclasses.replace(checkpoint.info, pca=pca)
    dtype: StoredType = "float16" if half else "float32"
    save_checkpoint(output, checkpoint.params, info, dtype=dtype)
