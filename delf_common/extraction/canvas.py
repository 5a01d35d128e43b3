# SPDX-License-Identifier: Apache-2.0
"""Pyramid levels on canvases of fixed size, for hardware that wants static shapes.

How many cells a network pads before the first one depends on its input's side, so a
cell on a canvas would look beside where it looks without one. A level is therefore put
a few pixels from the canvas's corner, where the middles of the regions coincide. Cells
whose region lies within the level then hold the numbers they hold without a canvas; the
others see the network's answer to the empty canvas in place of its zero padding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from delf_common.errors import DelfError, UsageError
from delf_common.extraction.receptive_field import ReceptiveField

if TYPE_CHECKING:
    from delf_common.protocols import FeatureNetwork

Size = tuple[int, int]  # height, width
Window = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Placement:
    """Where a level lies on its canvas.

    Args:
        canvas: (height, width) in pixels.
        pixels: of the canvas that are the level's.
        cells: of the canvas's map that are the level's.
    """

    canvas: Size
    pixels: Window
    cells: Window


def parse_canvases(texts: Iterable[str]) -> tuple[Size, ...]:
    """Turn texts such as 768x1024 (height x width) into sizes.

    Raises:
        UsageError: a text is none.
    """
    sizes = []
    for text in texts:
        sides = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text.strip())
        if not sides:
            raise UsageError(
                f"--canvases {text}: a canvas is height x width, such as 768x1024"
            )
        sizes.append((int(sides[1]), int(sides[2])))
    return tuple(sizes)


def place(size: Size, canvases: Sequence[Size], field: ReceptiveField) -> Placement:
    """Put a level on the smallest canvas that holds it.

    Args:
        size: (height, width) of the level.
        canvases: (height, width) of each.
        field: of the network.

    Raises:
        DelfError: no canvas is large enough.
    """
    for canvas in sorted(canvases, key=lambda sides: sides[0] * sides[1]):
        rows = _axis(size[0], canvas[0], field)
        columns = _axis(size[1], canvas[1], field)
        if rows and columns:
            return Placement(canvas, (rows[0], columns[0]), (rows[1], columns[1]))
    known = ", ".join(f"{height}x{width}" for height, width in canvases)
    raise DelfError(
        f"a level of {size[0]}x{size[1]} pixels (height x width) fits on no canvas; "
        f"there is {known}. Leave out large --image_scales, set --max_image_size, or "
        f"take a model with a larger canvas"
    )


def _axis(side: int, canvas: int, field: ReceptiveField) -> tuple[slice, slice] | None:
    """Pixels and cells of one axis; None where they do not fit."""
    shift = field.centre_offset(canvas) - field.centre_offset(side)
    first = 0 if shift >= 0 else 1
    before = round(shift) + first * field.stride
    cells = field.map_side(side)
    if before + side > canvas or first + cells > field.map_side(canvas):
        return None
    return slice(before, before + side), slice(first, first + cells)


def lay_on_canvases(network: FeatureNetwork, texts: Iterable[str]) -> FeatureNetwork:
    """Return a network that lays every pyramid level on a canvas of fixed size.

    Args:
        network: of a framework; returned as it is for no canvases.
        texts: heights x widths, such as 768x1024.

    Raises:
        UsageError: a text is no canvas, or the network's sizes are not ours to choose.
    """
    canvases = parse_canvases(texts)
    if not canvases:
        return network
    lay = getattr(network, "on_canvases", None)
    if lay is None:
        raise UsageError(
            "--canvases: the sizes that an exported file takes were chosen when it was "
            "exported; leave them out, or use --backend torch or ms"
        )
    laid: FeatureNetwork = lay(canvases)
    return laid
