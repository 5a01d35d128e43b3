# SPDX-License-Identifier: Apache-2.0
"""Where cells look, computed by tensors so that an exporter records it for all sizes.

The same as `delf_common.extraction.receptive_field`, both axes at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from delf_common.extraction.receptive_field import Layer, ReceptiveField


def centres_in_picture(
    cells: Tensor, size: Tensor, sides: Tensor, field: ReceptiveField
) -> Tensor:
    """Middles of cells' regions, (B, k, 2) float32 x, y in pixels of the picture.

    Args:
        cells: (B, k, 2) row, column in the level's map.
        size: (2,) height and width of the level.
        sides: (2,) height and width of the picture.
        field: of the network.
    """
    at_level = centre_offsets(size, field) + field.stride * cells.to(torch.float64)
    ratio = sides.to(torch.float64) / size.to(torch.float64)
    return ((at_level + 0.5) * ratio - 0.5).to(torch.float32).flip(-1)


def centre_offsets(sides: Tensor, field: ReceptiveField) -> Tensor:
    """`ReceptiveField.centre_offset` of both axes: (2,) float64."""
    offset, jump = torch.zeros(2, dtype=torch.float64), 1
    for layer in field.layers:
        before, after = pass_layer(sides, layer)
        offset = offset + jump * ((layer.kernel - 1) / 2 - before.to(torch.float64))
        jump, sides = jump * layer.stride, after
    return offset


def pass_layer(sides: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """`Layer.before` and `Layer.output_side` of both axes, (2,) int64 each."""
    if layer.padding == "same":
        after = floor_divide(sides + layer.stride - 1, layer.stride)
        covered = (after - 1) * layer.stride + layer.kernel
        return floor_divide(torch.clamp(covered - sides, min=0), 2), after
    fixed = 0 if layer.padding == "valid" else layer.padding
    after = floor_divide(sides + 2 * fixed - layer.kernel, layer.stride) + 1
    return torch.full((2,), fixed), after


def floor_divide(sides: Tensor, divisor: int) -> Tensor:
    """Divide and round down."""
    return torch.div(sides, divisor, rounding_mode="floor")
