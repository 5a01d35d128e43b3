# SPDX-License-Identifier: Apache-2.0
"""A folded backbone as chains of convolutions: the way it runs fast on a CPU.

The maps inside a chain are wider than those at its ends: EfficientNet's stem and first
units have up to 300 MB of them for a picture of 2048x1536. Computed a few rows at a
time they stay in the processor's cache, and no fresh memory has to be mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delf_common.extraction.receptive_field import Layer
from delf_torch.fused import Activation, convolve, convolve_onto
from delf_torch.layers import Convolution, same_padding

STRIP_BYTES = 4 * 2**20  # of a strip's widest map; 2 to 16 MiB measure alike


Sides = tuple[int, int]  # height, width; or what is before and after an axis


@dataclass(frozen=True)
class Step:
    """A convolution without batch norm, and the activation after it.

    Args:
        convolution: with its parameters.
        activation: after it.
        every: 2 for every second row and column of what comes out, from the first.
        widened: kernels by what `widen` was asked for.
    """

    convolution: Convolution
    activation: Activation = "none"
    every: int = 1
    widened: dict[tuple[Sides, Sides], Tensor] = field(default_factory=dict)

    @property
    def layer(self) -> Layer:
        """Return kernel, stride and padding."""
        own = self.convolution.layer
        return Layer(own.kernel, own.stride * self.every, own.padding)

    def run(self, x: Tensor, rows: Sides, columns: Sides) -> Tensor:
        """Convolve and activate (B, C, H, W).

        Args:
            x: the map.
            rows: of padding, above and below.
            columns: of padding, left and right.
        """
        c, weight = self.convolution, self.convolution.weight
        if (rows[0], columns[0]) != (rows[1], columns[1]):  # oneDNN pads evenly
            if c.groups > 1:
                if (rows, columns) not in self.widened:
                    self.widened[rows, columns] = widen(weight, rows, columns)
                weight = self.widened[rows, columns]
            else:
                x, rows, columns = F.pad(x, (*columns, *rows)), (0, 0), (0, 0)
        padding = max(rows), max(columns)
        return convolve(
            x, weight, c.bias, self.layer.stride, padding, c.groups, self.activation
        )


@dataclass(frozen=True)
class Chain:
    """Convolutions one after another, and what is added to the last.

    Args:
        steps: at least one.
        shortcut: from the chain's input to what is added, None for nothing; the last
            step is a 1x1 then, and its activation comes after the sum.
        in_strips: whether the maps inside are wider than those at the ends.
    """

    steps: Sequence[Step]
    shortcut: Callable[[Tensor], Tensor] | None = None
    in_strips: bool = True


Part = Chain | nn.Module


def run_parts(parts: Sequence[Part], x: Tensor) -> Tensor:
    """Run chains, and modules between them, on (B, C, H, W); may overwrite it."""
    for part in parts:
        x = run_chain(part, x) if isinstance(part, Chain) else part(x)
    return x


def run_chain(chain: Chain, x: Tensor) -> Tensor:
    """Run a chain on (B, C, H, W), which a shortcut may overwrite."""
    sides = map_sides(chain.steps, (x.shape[2], x.shape[3]))
    height, width = sides[-1]
    strip = strip_rows(chain.steps, sides) if chain.in_strips else height
    whole = None
    if chain.shortcut is not None:
        whole = chain.shortcut(x).contiguous(memory_format=torch.channels_last)
    if strip >= height:
        return run_rows(chain.steps, sides, x, (0, height), whole)
    adds = whole is not None
    if whole is None:
        channels = chain.steps[-1].convolution.out_channels
        shape = (len(x), channels, height, width)
        whole = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    else:
        whole = whole.clone()  # a strip looks at rows of ``x`` that others write
    for first in range(0, height, strip):
        limits = first, min(first + strip, height)
        there = whole[:, :, slice(*limits)]
        made = run_rows(chain.steps, sides, x, limits, there if adds else None)
        if made is not there:
            there.copy_(made)
    return whole


def map_sides(steps: Sequence[Step], sides: Sides) -> list[Sides]:
    """Height and width of the input and of every step's output."""
    found = [sides]
    for step in steps:
        height, width = found[-1]
        layer = step.layer
        found.append((layer.output_side(height), layer.output_side(width)))
    return found


def strip_rows(steps: Sequence[Step], sides: Sequence[Sides]) -> int:
    """Rows of the chain's output in a strip, all strips about alike."""
    rows = max(sides[-1][0], 1)
    widest = max(
        step.convolution.out_channels * height * width * 4
        for step, (height, width) in zip(steps, sides[1:], strict=True)
    )
    most = max(rows * STRIP_BYTES // max(widest, 1), 1)
    return -(-rows // -(-rows // most))


def run_rows(
    steps: Sequence[Step],
    sides: Sequence[Sides],
    x: Tensor,
    rows: tuple[int, int],
    added: Tensor | None = None,
) -> Tensor:
    """Rows ``first`` to ``last`` of what the steps make of the whole ``x``.

    Every step asks the one before it for the rows that it looks at; past the map's
    edge it pads, and nowhere else.
    """
    first, last = rows
    if not steps:
        return x[:, :, first:last]
    *before, step = steps
    (height, width), layer = sides[len(before)], step.layer
    start = first * layer.stride - layer.before(height)
    stop = (last - 1) * layer.stride - layer.before(height) + layer.kernel
    there = (max(start, 0), min(stop, height))
    y = run_rows(before, sides, x, there)
    if added is not None:
        c = step.convolution
        return convolve_onto(added, y, c.weight, c.bias, step.activation)
    above, below = there[0] - start, stop - there[1]
    left, right = same_padding(width, layer)
    if below <= above and len_padded(there, above, layer) == last - first:
        below = above
    return step.run(y, (above, below), (left, max(left, right)))


def len_padded(rows: Sides, above: int, layer: Layer) -> int:
    """Rows that come out when as many cells are padded below as above."""
    return (rows[1] - rows[0] + 2 * above - layer.kernel) // layer.stride + 1


def widen(weight: Tensor, rows: Sides, columns: Sides) -> Tensor:
    """Add zeros to kernels, which then give the same numbers with even padding.

    For a depthwise convolution that costs less than a padded copy of the map.
    """
    (above, below), (left, right) = rows, columns
    across = max(right - left, 0), max(left - right, 0)
    return F.pad(weight, (*across, max(below - above, 0), max(above - below, 0)))
