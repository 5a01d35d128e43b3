# SPDX-License-Identifier: Apache-2.0
"""Frozen features of fixed crops, computed once for a whole stage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from delf_common.training.pipeline import Batch

Features = NDArray[np.float32]  # (B, C, h, w)


class CachedFeatures:
    """The features of every record, in a temporary file that goes with the process.

    Args:
        batches: every record once, in the order of the source.
        compute: images (B, S, S, 3) uint8 to features (B, C, h, w) float32.
        records: how many there are.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        compute: Callable[[NDArray[np.uint8]], Features],
        records: int,
    ) -> None:
        self.labels = np.zeros(records, np.int64)
        self._file = tempfile.TemporaryFile()
        done = 0
        with tqdm(total=records, disable=None, unit="image", leave=False) as bar:
            for batch in batches:
                features = compute(batch.images)
                if done == 0:
                    shape = (records, *features.shape[1:])
                    self.features: Features = np.memmap(
                        self._file, np.float32, "w+", shape=shape
                    )
                rows = slice(done, done + len(features))
                self.features[rows], self.labels[rows] = features, batch.labels
                done += len(features)
                bar.update(len(features))
