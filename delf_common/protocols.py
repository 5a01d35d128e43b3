# SPDX-License-Identifier: Apache-2.0
"""The seam between the neutral half and the frameworks: NumPy in, NumPy out.

A backend gives a `FeatureNetwork`. Images go up once as bytes, attention maps come
down, and of the wide feature maps only the rows of chosen cells ever follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delf_common.config import ExportConfig
from delf_common.extraction.receptive_field import ReceptiveField
from delf_common.training.config import TrainConfig
from delf_common.weights.differences import Difference
from delf_common.weights.metadata import WeightsInfo

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Images = NDArray[np.uint8]  # (B, H, W, 3) RGB
Size = tuple[int, int]  # height, width


class DenseMaps(Protocol):
    """What the network saw at one pyramid level of a batch of images."""

    @property
    def attention(self) -> NDArray[np.float32]:
        """(B, h, w) attention, on the host; waits for the device if it must."""

    def gather(self, image: int, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """Feature rows of the chosen cells.

        Args:
            image: index into the batch.
            cells: (n,) row-major indices into the h * w cells of the map.

        Returns:
            (n, channels) float32, not normalised; (0, channels) for no cells.
        """


class FeatureNetwork(Protocol):
    """A backbone with its attention, on some device."""

    @property
    def receptive_field(self) -> ReceptiveField:
        """Where a cell of the maps looks in the network's input."""

    @property
    def channels(self) -> int:
        """Width of a feature row."""

    @property
    def info(self) -> WeightsInfo:
        """Which weights these are, and what they recommend (threshold, PCA)."""

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run the network on every pyramid level.

        Args:
            images: (B, H, W, 3) uint8 RGB, as decoded.
            sizes: (height, width) of each level. The network normalises to
                (pixel - 128) / 128 and then resizes bilinearly, half-pixel centres,
                no antialiasing, on its device.

        Returns:
            One `DenseMaps` per level, perhaps before the device is done with them: who
            asks for the next batch before looking keeps it busy. The maps of an image
            are the same bits whatever else is in its batch (on a CPU; see
            known_differences.md).
        """


class Backend(Protocol):
    """What the modules `delf_torch`, `delf_ms` and `delf_onnx` all are."""

    def load_network(self, weights: str | Path, device: str = "auto") -> FeatureNetwork:
        """Load a canonical checkpoint (a path or the name of embedded weights)."""

    def export(
        self, weights: str | Path, output: Path, config: ExportConfig
    ) -> list[Difference]:
        """Write the network for another runtime; how far the file's outputs are."""

    def train(self, config: TrainConfig) -> Path:
        """Train one stage; returns the path of its last checkpoint."""
