# SPDX-License-Identifier: Apache-2.0
"""A network in a few lines of NumPy that keeps the seam honest."""

from dataclasses import dataclass

import numpy as np

from delf_common.extraction.receptive_field import Layer, ReceptiveField
from delf_common.weights.metadata import WeightsInfo


@dataclass
class FakeMaps:
    """Maps of one level."""

    features: np.ndarray

    @property
    def attention(self):
        return np.linalg.norm(self.features, axis=-1).astype(np.float32)

    def gather(self, image, cells):
        return self.features[image].reshape(-1, self.features.shape[-1])[cells]


class FakeNetwork:
    """Every cell sees an 8x8 block; its features are the block's 192 centred values."""

    receptive_field = ReceptiveField(8, 8, 0, (Layer(8, 8, "valid"),))
    channels = 192
    info = WeightsInfo("fake", "f" * 64, "fake")

    def dense(self, images, sizes):
        return [FakeMaps(np.stack([self._blocks(i, s) for i in images])) for s in sizes]

    def _blocks(self, image, size):
        rows = (np.arange(size[0]) * image.shape[0] // size[0])[:, None]
        columns = np.arange(size[1]) * image.shape[1] // size[1]
        pixels = (image[rows, columns].astype(np.float32) - 128) / 128
        h, w = size[0] // 8, size[1] // 8
        blocks = pixels[: h * 8, : w * 8].reshape(h, 8, w, 8, 3)
        flat = blocks.swapaxes(1, 2).reshape(h, w, 192)
        return flat - flat.mean(axis=-1, keepdims=True)
