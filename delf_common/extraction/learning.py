# SPDX-License-Identifier: Apache-2.0
"""Learn a PCA from feature files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from delf_common.errors import DelfError
from delf_common.extraction.pca import StreamingCovariance
from delf_common.io.feature_file import FeatureReader
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
