# SPDX-License-Identifier: Apache-2.0
"""The seam's PyTorch side: bytes go up, attention comes down, then chosen rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delf_common.extraction.canvas import place
from delf_common.protocols import DenseMaps, Images, Size
from delf_common.training.config import Precision
from delf_common.weights.architectures import (
    BLOCKS,
    check_block4,
    feature_channels,
    receptive_field,
)
from delf_common.weights.checkpoint import Checkpoint
from delf_common.weights.folding import fold_batch_norm
from delf_common.weights.names import Params
from delf_torch.beside import run_beside
from delf_torch.cpu_backbone import CpuBackbone
from delf_torch.delf import Backbone, Delf, build_delf
from delf_torch.graphs import GraphCache, GraphRecorder, Maps
from delf_torch.layers import lay_out, normalise, put_channels_last, resize
from delf_torch.parameters import get_params, put_params, to_host
from delf_torch.precision import choose_precision, mix_precision
from delf_torch.transfers import Download, upload


class TorchMaps:
    """Maps of one pyramid level; the features stay on the device.

    A CUDA device may still be at work on them: both ways to look at them wait.

    Args:
        features: (B, C, h, w), not normalised.
        attention: (B, h, w), on the device.
    """

    def __init__(self, features: Tensor, attention: Tensor) -> None:
        self.features = features.permute(0, 2, 3, 1)
        self._attention = Download(attention)

    @property
    def attention(self) -> NDArray[np.float32]:
        """(B, h, w), on the host."""
        return self._attention.array()

    def gather(self, image: int, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """Feature rows (n, C) of the chosen cells, row-major indices."""
        with self._attention.aside():
            rows = self.features[image].flatten(0, 1)
            chosen = torch.from_numpy(np.asarray(cells, np.int64)).to(rows.device)
            return rows[chosen].float().cpu().numpy()


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
        self.precision = torch.float32
        self.delf = self._build(fold_batch_norm(checkpoint.params, self.info))
        self.maps, self.deepest = run_on(device, self.delf)
        self.canvases: tuple[Size, ...] = ()

    def in_precision(self, precision: Precision) -> TorchNetwork:
        """The same network, whose convolutions compute in another type.

        Args:
            precision: such as "bf16"; the maps are handed out in float32 in any.

        Raises:
            UsageError: the device would lose by it.
        """
        mixed = copy.copy(self)
        mixed.precision = choose_precision(precision, self.device)
        mixed.delf = self._build(get_params(self.delf))
        mix_precision(mixed.delf, mixed.precision)
        mixed.maps, mixed.deepest = run_on(self.device, mixed.delf)
        return mixed

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
        with torch.inference_mode(), full_precision(self.device):
            pixels = self._upload(images)
            outputs = self._levels(pixels, sizes)
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
        with torch.inference_mode(), full_precision(self.device):
            pixels = self._upload(images)
            maps = [
                self.deepest(self._draw(part, size)) for part in self._parts(pixels)
            ]
            return to_host(torch.cat(maps))

    def trace(self, images: Images, size: Size) -> dict[str, NDArray[np.float32]]:
        """Look at every stage up to block3, to see where two backends part.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            size: (height, width) of the level.

        Returns:
            (B, C, h, w) of each stage, in order: normalise, resize, stem, block1,
            block2, block3 (before it is subsampled).
        """
        with torch.inference_mode(), full_precision(self.device):
            seen = {"normalise": self._upload(images)}
            seen["resize"] = self._draw(seen["normalise"], size)
            x = seen["stem"] = self.delf.backbone.stem(seen["resize"])
            for block in BLOCKS[:3]:
                x = seen[block] = getattr(self.delf.backbone, block)(x)
            return {name: to_host(maps) for name, maps in seen.items()}

    def _build(self, params: Params) -> Delf:
        """Put folded parameters on the device."""
        delf = build_delf(self.info, folded=True)
        put_params(delf, params)
        delf.eval().requires_grad_(False).to(self.device)
        put_channels_last(delf)
        return delf

    def _upload(self, images: Images) -> Tensor:
        return normalise(upload(images, self.device))

    def _parts(self, pixels: Tensor) -> Sequence[Tensor]:
        """On a CPU one image at a time: its bits must not depend on its batch."""
        if self.device.type != "cpu":
            return [pixels]
        return [pixels[i : i + 1] for i in range(len(pixels))]

    def _draw(self, pixels: Tensor, size: Size) -> Tensor:
        """Resize in float32, and round to what the convolutions compute in."""
        return resize(pixels, size).to(self.precision)

    def _levels(
        self, pixels: Tensor, sizes: Sequence[Size]
    ) -> list[tuple[Tensor, Tensor]]:
        work = partial(self._level, pixels)
        if self.device.type == "cpu":
            return run_beside(work, sizes, [height * width for height, width in sizes])
        return [work(size) for size in sizes]

    def _level(self, pixels: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        pairs = [self._maps(self._draw(part, size)) for part in self._parts(pixels)]
        features, attention = zip(*pairs, strict=True)
        return torch.cat(features), torch.cat(attention)

    def _maps(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if not self.canvases:
            return self.maps(level)
        height, width = level.shape[-2:]
        placement = place((height, width), self.canvases, self.receptive_field)
        features, attention = self.maps(lay_out(level, placement))
        rows, columns = placement.cells
        return features[:, :, rows, columns], attention[:, rows, columns]


def run_on(device: torch.device, delf: Delf) -> tuple[Maps, Callable[[Tensor], Tensor]]:
    """Choose the fastest ways to block3 with its attention, and to block4.

    Args:
        device: on which the network's parameters are.
        delf: folded, in the type it computes in.
    """
    if device.type == "cuda":
        return GraphCache(delf, GraphRecorder()), delf.deepest
    if delf.backbone.conv1.weight.dtype == torch.float32:
        backbone = cast(Backbone, CpuBackbone(delf.backbone))
        delf = Delf(backbone, delf.attention, delf.autoencoder)
    return delf, delf.deepest


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Keep float32 convolutions from TF32, on a GPU that is the current one."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.cuda.device(device.index if device.type == "cuda" else -1):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
