# SPDX-License-Identifier: Apache-2.0
"""Networks around a network: its maps kept, scored otherwise, or taken deeper."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.protocols import DenseMaps, FeatureNetwork, Images, Size
from delf_common.training.initial import initial_params
from delf_common.weights.architectures import (
    attention_layout,
    block_channels,
    receptive_field,
)

Rows = NDArray[np.float32]  # (n, C) features
Score = Callable[[Rows], NDArray[np.float32]]  # (n, C) features to (n,) scores


class Remembering:
    """Runs a network once for each image and level, however often it is asked.

    Args:
        network: gives the maps.
    """

    def __init__(self, network: FeatureNetwork) -> None:
        self.network = network
        self.info = network.info
        self.channels = network.channels
        self.receptive_field = network.receptive_field
        self._images: Images | None = None
        self._maps: dict[Size, DenseMaps] = {}

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Maps of every level; those of other images are forgotten."""
        if self._images is None or not np.array_equal(images, self._images):
            self._images, self._maps = images.copy(), {}
        new = [size for size in dict.fromkeys(sizes) if size not in self._maps]
        if new:
            self._maps |= zip(new, self.network.dense(images, new), strict=True)
        return [self._maps[size] for size in sizes]

    def global_maps(self, images: Images, size: Size) -> NDArray[np.float32]:
        """The network's own, which is not remembered."""
        network: Any = self.network
        maps: NDArray[np.float32] = network.global_maps(images, size)
        return maps


@dataclasses.dataclass(frozen=True)
class GivenMaps:
    """Maps that lie on the host: (B, h, w, C) features, (B, h, w) attention."""

    features: NDArray[np.float32]
    attention: NDArray[np.float32]

    def gather(self, image: int, cells: NDArray[np.intp]) -> Rows:
        """Feature rows of the chosen cells."""
        rows: Rows = self.features[image].reshape(-1, self.features.shape[-1])[cells]
        return rows


class Scored:
    """A network whose attention is replaced by a function of the feature row.

    Args:
        network: gives the features.
        score: (n, C) features to (n,) scores.
    """

    def __init__(self, network: FeatureNetwork, score: Score) -> None:
        self.network = network
        self.score = score
        self.info = network.info
        self.channels = network.channels
        self.receptive_field = network.receptive_field

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Maps of every level with the other attention."""
        levels = self.network.dense(images, sizes)
        return [self._rescored(maps) for maps in levels]

    def _rescored(self, maps: DenseMaps) -> DenseMaps:
        count, height, width = maps.attention.shape
        cells = np.arange(height * width)
        rows = np.concatenate([maps.gather(i, cells) for i in range(count)])
        shape = (count, height, width)
        return GivenMaps(rows.reshape(*shape, -1), self.score(rows).reshape(shape))


class Deepest:
    """The map of block4 in place of that of block3, scored by its length.

    Args:
        network: has ``global_maps``, as those of `delf_torch` and `delf_ms` do.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.info = network.info
        self.channels = block_channels(network.info, "block4")
        self.receptive_field = receptive_field(network.info, "block4")

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Maps of every level."""
        levels = [self.network.global_maps(images, size) for size in sizes]
        rows = [maps.transpose(0, 2, 3, 1) for maps in levels]
        return [GivenMaps(maps, np.linalg.norm(maps, axis=-1)) for maps in rows]


def feature_norm(rows: Rows) -> NDArray[np.float32]:
    """Length of each (n, C) row: the score without any attention."""
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=1)
    return lengths


def random_attention(network: FeatureNetwork, seed: int) -> Score:
    """An attention before its first training step.

    Args:
        network: whose attention it might be.
        seed: of its parameters, as `TrainConfig.seed`.
    """
    info = dataclasses.replace(network.info, attention="trained", num_classes=0)
    params = initial_params(info, seed)
    kernel1, kernel2 = (
        params[f"attention.conv{i}.weight"][:, :, 0, 0].T for i in (1, 2)
    )
    kernel1 = kernel1 / np.float32(np.sqrt(1 + attention_layout(info)[1]))

    def score(rows: Rows) -> NDArray[np.float32]:
        logits = (np.maximum(rows @ kernel1, 0) @ kernel2)[:, 0]
        softplus: NDArray[np.float32] = np.logaddexp(logits, np.float32(0))
        return softplus

    return score
