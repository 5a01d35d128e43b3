# SPDX-License-Identifier: Apache-2.0
"""The seam's MindSpore side: bytes go up, attention comes down, then chosen rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from numpy.typing import NDArray

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
from delf_ms.delf import Delf, build_delf
from delf_ms.layers import lay_out, normalise, resize
from delf_ms.parameters import get_params, put_params, to_host
from delf_ms.precision import choose_precision, mix_precision


class MsMaps:
    """Maps of one pyramid level; the features stay on the device.

    Args:
        features: (B, C, h, w), not normalised.
        attention: (B, h, w), on the device.
    """

    def __init__(self, features: Tensor, attention: Tensor) -> None:
        self.features = features.flatten(start_dim=2)
        self.attention: NDArray[np.float32] = to_host(attention)

    def gather(self, image: int, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """Feature rows (n, C) of the chosen cells, row-major indices."""
        columns = self.features[image]
        if not len(cells):
            return np.zeros((0, len(columns)), np.float32)
        chosen = Tensor(np.asarray(cells, np.int64))
        return np.ascontiguousarray(to_host(ops.gather(columns, chosen, 1)).T)


class MsNetwork:
    """A backbone with its attention; fits `delf_common.protocols.FeatureNetwork`.

    Args:
        checkpoint: canonical parameters and their info.
        device: where the network runs.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        self.info = checkpoint.info
        self.device = device
        self.receptive_field = receptive_field(self.info)
        self.channels = feature_channels(self.info)
        self.delf = self._build(fold_batch_norm(checkpoint.params, self.info))
        self.maps = compile_graph(self.delf)
        self.deepest = compile_graph(self.delf.deepest)
        self.canvases: tuple[Size, ...] = ()

    def in_precision(self, precision: Precision) -> MsNetwork:
        """The same network, whose convolutions compute in another type.

        MindSpore rounds what goes into them; the levels stay in float32.

        Args:
            precision: such as "bf16"; the maps are handed out in float32 in any.

        Raises:
            UsageError: the device would lose by it.
        """
        mixed = copy.copy(self)
        chosen = choose_precision(precision, self.device)
        mixed.delf = self._build(get_params(self.delf))
        mix_precision(mixed.delf, chosen)
        mixed.maps = compile_graph(mixed.delf)
        mixed.deepest = compile_graph(mixed.delf.deepest)
        return mixed

    def on_canvases(self, canvases: Sequence[Size]) -> MsNetwork:
        """The same network, which lays every pyramid level on a canvas.

        It is compiled anew for each canvas, with a shape that nothing can change.

        Args:
            canvases: (height, width) of each, in pixels.
        """
        laid = copy.copy(self)
        laid.canvases = tuple(canvases)
        laid.maps = compile_graph(self.delf, fixed=True)
        return laid

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run every pyramid level; see `delf_common.protocols.FeatureNetwork`."""
        pixels = self._upload(images)
        # A level is waited for before the next begins; a queue of them gains nothing.
        return [MsMaps(*self._level(pixels, size)) for size in sizes]

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
        pixels = self._upload(images)
        maps = [self.deepest(resize(part, size)) for part in self._parts(pixels)]
        return to_host(join(maps))

    def trace(self, images: Images, size: Size) -> dict[str, NDArray[np.float32]]:
        """Look at every stage up to block3, to see where two backends part.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            size: (height, width) of the level.

        Returns:
            (B, C, h, w) of each stage, in order: normalise, resize, stem, block1,
            block2, block3 (before it is subsampled).
        """
        seen = {"normalise": self._upload(images)}
        seen["resize"] = resize(seen["normalise"], size)
        x = seen["stem"] = self.delf.backbone.stem(seen["resize"])
        for block in BLOCKS[:3]:
            x = seen[block] = getattr(self.delf.backbone, block)(x)
        return {name: to_host(maps) for name, maps in seen.items()}

    def _build(self, params: Params) -> Delf:
        """Put folded parameters on the device."""
        delf = build_delf(self.info, folded=True)
        put_params(delf, params)
        delf.set_train(False)
        return delf

    def _upload(self, images: Images) -> Tensor:
        return normalise(Tensor(np.ascontiguousarray(images)))

    def _parts(self, pixels: Tensor) -> Sequence[Tensor]:
        """On a CPU one image at a time: its bits must not depend on its batch."""
        if self.device != "cpu":
            return [pixels]
        return [pixels[i : i + 1] for i in range(len(pixels))]

    def _level(self, pixels: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        pairs = [self._maps(resize(part, size)) for part in self._parts(pixels)]
        features, attention = zip(*pairs, strict=True)
        return join(features), join(attention)

    def _maps(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if not self.canvases:
            return self.maps(level)
        height, width = level.shape[-2:]
        placement = place((height, width), self.canvases, self.receptive_field)
        features, attention = self.maps(lay_out(level, placement))
        rows, columns = placement.cells
        return features[:, :, rows, columns], attention[:, rows, columns]


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the batch; a single part is not copied."""
    return parts[0] if len(parts) == 1 else ops.cat(parts)


def compile_graph(
    network: Callable[[Tensor], Any], fixed: bool = False
) -> Callable[[Tensor], Any]:
    """Compile once for images of any number and size, or once for each.

    Args:
        network: images (B, 3, H, W) to tensors.
        fixed: compile for each shape, for hardware that wants static ones.

    With ``MS_JIT=0`` in the environment MindSpore runs operator by operator instead
    (PyNative), where a debugger and prints reach every layer.
    """

    def run(images: Tensor) -> Any:
        return network(images)

    if fixed:
        return ms.jit(run)
    any_size = Tensor(shape=[None, 3, None, None], dtype=ms.float32)
    return ms.enable_dynamic(images=any_size)(ms.jit(run))
