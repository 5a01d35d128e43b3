# SPDX-License-Identifier: Apache-2.0
"""The backbones as chains: the same parameters and numbers, faster on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn

from delf_torch.chains import Chain, Part, Step, run_chain, run_parts
from delf_torch.efficientnet import EfficientNetLite0, Unit
from delf_torch.layers import Subsample
from delf_torch.resnet import Bottleneck, Projection, ResNet50


class CpuBackbone(nn.Module):
    """Stands in for a folded backbone, where nothing is trained.

    Args:
        backbone: whose parameters it uses.
    """

    def __init__(self, backbone: EfficientNetLite0 | ResNet50) -> None:
        super().__init__()
        self.parts, self.rest = (
            lite0_parts(backbone)
            if isinstance(backbone, EfficientNetLite0)
            else resnet_parts(backbone)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to block3 (B, C, h, w)."""
        return run_parts(self.parts, x)

    def deepest(self, features: Tensor) -> Tensor:
        """Go from block3 on to block4 (B, C, h, w)."""
        return run_parts(self.rest, features.clone())


def lite0_parts(backbone: EfficientNetLite0) -> tuple[list[Part], list[Part]]:
    """Chains to block3 and on to block4; the first two units have the widest maps."""
    blocks = (*backbone.block1, *backbone.block2, *backbone.block3)
    first, second, *units = cast(tuple[Unit, ...], blocks)
    stem = [Step(backbone.conv1, "relu6"), *unit_steps(first), *unit_steps(second)]
    rest = cast(list[Unit], [*backbone.block4])
    return [Chain(stem), *map(unit_chain, units)], [*map(unit_chain, rest)]


def unit_steps(unit: Unit) -> list[Step]:
    """Return the convolutions of an inverted residual."""
    steps = [Step(unit.depthwise, "relu6"), Step(unit.project)]
    return [Step(unit.expand, "relu6"), *steps] if unit.expands else steps


def unit_chain(unit: Unit) -> Chain:
    """Return an inverted residual as a chain."""
    return Chain(unit_steps(unit), nn.Identity() if unit.residual else None)


def resnet_parts(backbone: ResNet50) -> tuple[list[Part], list[Part]]:
    """Chains and pools to block3, and on to block4, if the weights have it."""
    blocks = [*backbone.block1, *backbone.block2, *backbone.block3]
    *units, last = cast(list[Bottleneck], blocks)
    subsamples = isinstance(backbone.subsample, Subsample)
    end = bottleneck_chain(last, subsamples)
    stem: list[Part] = [Chain([Step(backbone.conv1, "relu")]), backbone.pool1]
    rest: list[Part] = []
    if isinstance(backbone.block4, nn.Sequential):
        rest = [bottleneck_chain(cast(Bottleneck, unit)) for unit in backbone.block4]
    return [*stem, *map(bottleneck_chain, units), end], rest


def bottleneck_chain(unit: Bottleneck, subsamples: bool = False) -> Chain:
    """Return a bottleneck as a chain; its narrow maps need no strips.

    Args:
        unit: folded.
        subsamples: compute only every second cell of its 3x3 and of what follows, since
            the others are thrown away; the unit then has stride 1 and no projection.
    """
    every = 2 if subsamples else 1
    steps = [Step(unit.conv1, "relu"), Step(unit.conv2, "relu", every)]
    shortcut: Callable[[Tensor], Tensor] = Subsample() if subsamples else unit.shortcut
    if isinstance(unit.shortcut, Projection):
        shortcut = partial(run_chain, Chain([Step(unit.shortcut.conv)]))
    return Chain([*steps, Step(unit.conv3, "relu")], shortcut, in_strips=False)
