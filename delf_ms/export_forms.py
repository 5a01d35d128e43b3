# SPDX-License-Identifier: Apache-2.0
"""The network as cells whose whole graph goes into a file, and their inputs."""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, nn

from delf_common.config import ExportConfig
from delf_common.extraction.canvas import Size, parse_canvases
from delf_ms.network import MsNetwork

Shape = tuple[int | None, ...]  # None where any number fits
ORIGINAL: Shape = (7, 3, 2048, 2048)  # delf_spec.md section H


class LevelForm(nn.Cell):
    """A normalised pyramid level in, its maps out.

    Args:
        network: folded.
    """

    def __init__(self, network: MsNetwork) -> None:
        super().__init__()
        self.delf = network.delf

    def construct(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Level (B, 3, H, W) to attention (B, h, w), features (B, h, w, C)."""
        features, attention = self.delf(level)
        return attention, features.permute(0, 2, 3, 1)


class OriginalForm(nn.Cell):
    """What the MindSpore model zoo's export.py writes: prob and block3, both NCHW.

    Args:
        network: folded.
    """

    def __init__(self, network: MsNetwork) -> None:
        super().__init__()
        self.delf = network.delf

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (7, 3, H, W) to prob (7, 1, h, w), block3 (7, C, h, w)."""
        features, attention = self.delf(x)
        return attention.expand_dims(1), features


def build_form(network: MsNetwork, config: ExportConfig) -> LevelForm | OriginalForm:
    """Build the cell that the configuration asks for."""
    if config.form == "maps":
        return LevelForm(network).set_train(False)
    return OriginalForm(network).set_train(False)


def input_shape(config: ExportConfig, canvases: Sequence[Size]) -> Shape:
    """Shape of the graph's input: what is None runs with any number."""
    if config.form == "original":
        return ORIGINAL
    if not canvases:
        return (None, 3, None, None)
    return (1, 3, *(canvases[0] if len(canvases) == 1 else (None, None)))


def canvases_of(config: ExportConfig) -> tuple[Size, ...]:
    """Canvases that levels must be laid on; () where any size runs."""
    if config.form == "original":
        height, width = ORIGINAL[2:]
        return ((height or 0, width or 0),)
    return parse_canvases(config.canvases)


def example(shape: Shape) -> Tensor:
    """Stand for an input, of a fixed shape or of any."""
    if None in shape:
        return Tensor(shape=list(shape), dtype=ms.float32)
    return ms.ops.zeros(shape, ms.float32)
