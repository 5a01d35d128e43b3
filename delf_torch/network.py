# SPDX-License-Identifier: Apache-2.0
"""The seam's PyTorch side: bytes go up, attention comes down, then chosen rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delf_common.extraction.canvas import place
from delf_common.protocols import DenseMaps, Images, Size
from delf_common.weights.architectures import (
    BLOCKS,
    check_block4,
    feature_channels,
    receptive_field,
)
from delf_common.weights.checkpoint import Checkpoint
from delf_common.weights.folding import fold_batch_norm
from delf_torch.cpu_backbone import CpuBackbone
from delf_torch.delf import Backbone, Delf, build_delf
from delf_torch.layers import lay_out, normalise, put_channels_last, resize
from delf_torch.parameters import put_params


class TorchMaps:
    """Maps of one pyramid level; the features stay on the device.

    Args:
        features: (B, C, h, w), not normalised.
        attention: (B, h, w), on the device.
    """

    def __init__(self, features: Tensor, attention: Tensor) -> None:
        self.features = features.permute(0, 2, 3, 1)
        self.attention: NDArray[np.float32] = attention.cpu().numpy()

    def gather(self, image: int, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """Feature rows (n, C) of the chosen cells, row-major indices."""
        rows = self.features[image].flatten(0, 1)
        chosen = torch.from_numpy(np.asarray(cells, np.int64)).to(rows.device)
        return rows[chosen].cpu().numpy()


class TorchNetwork:
    """A backbone with its attention; fits `delf_common.protocols.FeatureNetwork`.

    Args:
        checkpoint: canonical parameters and their info.
        device: where the network runs.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.info = checkpoint.info
        self.device = device
        self.receptive_field = receptive_field(self.info)
        self.channels = feature_channels(self.info)
        delf = build_delf(self.info, folded=True)
        put_params(delf, fold_batch_norm(checkpoint.params, self.info))
        self.delf = delf.eval().requires_grad_(False).to(device)
        put_channels_last(self.delf)
        self.maps = self.delf
        if device.type == "cpu":
            backbone = cast(Backbone, CpuBackbone(self.delf.backbone))
            self.maps = Delf(backbone, self.delf.attention, self.delf.autoencoder)
        self.canvases: tuple[Size, ...] = ()

    def on_canvases(self, canvases: Sequence[Size]) -> TorchNetwork:
        """The same network, which lays every pyramid level on a canvas.

        Args:
            canvases: (height, width) of each, in pixels.
        """
        laid = copy.copy(self)
        laid.canvases = tuple(canvases)
        return laid

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run every pyramid level; see `delf_common.protocols.FeatureNetwork`."""
        with torch.inference_mode(), full_precision():
            pixels = self._upload(images)
            outputs = [self._level(pixels, size) for size in sizes]
            return [TorchMaps(features, attention) for features, attention in outputs]

    def global_maps(self, images: Images, size: Size) -> NDArray[np.float32]:
        """The deepest map, from which global descriptors are pooled.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            size: (height, width) to resize to first.

        Returns:
            (B, C, h, w) float32: block4, C 320 for EfficientNet-Lite0, 2048 for
            ResNet-50, stride 32.

        Raises:
            DelfError: the weights end at block3.
        """
        check_block4(self.info)
        with torch.inference_mode(), full_precision():
            pixels = self._upload(images)
            maps = [
                self.maps.deepest(resize(part, size)) for part in self._parts(pixels)
            ]
            return torch.cat(maps).contiguous().cpu().numpy()

    def trace(self, images: Images, size: Size) -> dict[str, NDArray[np.float32]]:
        """Look at every stage up to block3, to see where two backends part.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            size: (height, width) of the level.

        Returns:
            (B, C, h, w) of each stage, in order: normalise, resize, stem, block1,
            block2, block3 (before it is subsampled).
        """
        with torch.inference_mode(), full_precision():
            seen = {"normalise": self._upload(images)}
            seen["resize"] = resize(seen["normalise"], size)
            x = seen["stem"] = self.delf.backbone.stem(seen["resize"])
            for block in BLOCKS[:3]:
                x = seen[block] = getattr(self.delf.backbone, block)(x)
            return {
                name: maps.contiguous().cpu().numpy() for name, maps in seen.items()
            }

    def _upload(self, images: Images) -> Tensor:
        return normalise(torch.tensor(np.ascontiguousarray(images), device=self.device))

    def _parts(self, pixels: Tensor) -> Sequence[Tensor]:
        """On a CPU one image at a time: its bits must not depend on its batch."""
        if self.device.type != "cpu":
            return [pixels]
        return [pixels[i : i + 1] for i in range(len(pixels))]

    def _level(self, pixels: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        pairs = [self._maps(resize(part, size)) for part in self._parts(pixels)]
        features, attention = zip(*pairs, strict=True)
        return torch.cat(features), torch.cat(attention)

    def _maps(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if not self.canvases:
            pair: tuple[Tensor, Tensor] = self.maps(level)
            return pair
        height, width = level.shape[-2:]
        placement = place((height, width), self.canvases, self.receptive_field)
        features, attention = self.maps(lay_out(level, placement))
        rows, columns = placement.cells
        return features[:, :, rows, columns], attention[:, rows, columns]


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep convolutions in float32 on GPUs that would round to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
