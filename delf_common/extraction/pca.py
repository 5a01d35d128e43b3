# SPDX-License-Identifier: Apache-2.0
"""Principal components of descriptors: learned in bounded memory, applied in order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.weights.metadata import Pca

Rows = NDArray[np.float32]
SMALLEST_SQUARED_NORM = 1e-12  # TensorFlow's l2_normalize


def l2_normalize(rows: Rows) -> Rows:
    """Divide each row by its length; a row of zeros stays zero.

    Args:
        rows: (N, D) float32. (0, D) is returned as it is.
    """
    squared = np.einsum("nd,nd->n", rows, rows)[:, None]
    unit: Rows = rows / np.sqrt(np.maximum(squared, np.float32(SMALLEST_SQUARED_NORM)))
    return unit


def describe(
    rows: Rows, pca: Pca | None, dimension: int | None = None, whitening: bool = False
) -> Rows:
    """Turn feature rows into descriptors.

    Normalise, then with a PCA: subtract the mean, project, optionally whiten (divide by
    the standard deviations), normalise again. Source: tensorflow/models research/delf
    feature_extractor.py.

    Args:
        rows: (N, C) float32 as the network gave them.
        pca: learned on normalised rows, None to skip the projection.
        dimension: components kept, None for all.
        whitening: give every component the same variance.

    Returns:
        (N, D) float32 of unit length.

    Raises:
        DelfError: the PCA does not fit the rows, or has too few components.
    """
    unit = l2_normalize(rows)
    if pca is None:
        return unit
    count, channels = pca.components.shape
    kept = count if dimension is None else dimension
    if channels != rows.shape[1] or not 0 < kept <= count:
        raise DelfError(
            f"the PCA has {count} components of {channels} channels; features have "
            f"{rows.shape[1]} channels and --pca_dim asks for {kept} components"
        )
    projected = (unit - pca.mean) @ pca.components[:kept].T
    if whitening:
        floor = np.float32(SMALLEST_SQUARED_NORM)
        projected = projected / np.sqrt(np.maximum(pca.variances[:kept], floor))
    return l2_normalize(projected)


@dataclass
class StreamingCovariance:
    """Mean and covariance of any number of rows, in memory of one (C, C) matrix.

    Sums are float64 and relative to the first batch's mean, so that nothing cancels.

    Args:
        channels: C, the width of a row.
    """

    channels: int
    count: int = 0
    _shift: NDArray[np.float64] = field(init=False)
    _sum: NDArray[np.float64] = field(init=False)
    _products: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Start with nothing seen."""
        self._shift = np.zeros(self.channels)
        self._sum = np.zeros(self.channels)
        self._products = np.zeros((self.channels, self.channels))

    def update(self, rows: Rows) -> None:
        """Add a batch of (N, C) rows; an empty one changes nothing."""
        if not len(rows):
            return
        exact = rows.astype(np.float64)
        if not self.count:
            self._shift = exact.mean(axis=0)
        exact -= self._shift
        self.count += len(exact)
        self._sum += exact.sum(axis=0)
        self._products += exact.T @ exact

    def learn(self, dimension: int | None = None) -> tuple[Pca, NDArray[np.float64]]:
        """Solve for the components.

        The sign of a component is fixed: its entry of largest magnitude is positive.

        Args:
            dimension: components kept, None for all C.

        Returns:
            The PCA (variances are unbiased), and the share of the whole variance that
            the first 1, 2, ... C components explain.

        Raises:
            DelfError: fewer than two rows, or more components than channels asked for.
        """
        kept = self.channels if dimension is None else dimension
        if self.count < 2 or not 0 < kept <= self.channels:
            raise DelfError(
                f"a PCA of {kept} components needs at least 2 descriptors (got "
                f"{self.count}) and at most {self.channels} components"
            )
        centre = self._sum / self.count
        covariance = self._products - self.count * np.outer(centre, centre)
        variances, vectors = np.linalg.eigh(covariance / (self.count - 1))
        variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1].T
        largest = np.abs(vectors).argmax(axis=1)
        vectors = vectors * np.sign(vectors[np.arange(len(vectors)), largest])[:, None]
        explained = np.cumsum(variances) / max(variances.sum(), SMALLEST_SQUARED_NORM)
        pca = Pca(
            (self._shift + centre).astype(np.float32),
            vectors[:kept].astype(np.float32),
            variances[:kept].astype(np.float32),
        )
        return pca, explained
