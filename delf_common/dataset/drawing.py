# SPDX-License-Identifier: Apache-2.0
"""Pictures of a training set: how large its classes are, and some of its records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from delf_common.errors import ImageError
from delf_common.extras import need
from delf_common.io.atomic import replacing
from delf_common.matching.drawing import (
    BACKGROUND,
    CAPTION,
    GAP,
    LINE,
    TILE,
    put_tile,
)
from delf_common.training.decoding import decode_record
from delf_common.training.records import RecordSource

Image = NDArray[np.uint8]
COLUMNS = 6
ROW = TILE + CAPTION + LINE + GAP  # a picture, its class, its name
BROKEN = (200, 60, 60)


def draw_distribution(counts: NDArray[np.int64], output: Path) -> None:
    """Draw images per class, the largest class first, as PNG.

    Args:
        counts: (num_classes,) images of every class; empty classes are counted in the
            title and not drawn.
        output: of the picture.
    """
    need("matplotlib")
    from matplotlib.figure import Figure

    present = np.sort(counts[counts > 0])[::-1]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.stairs(present, np.arange(len(present) + 1) + 0.5, fill=True)
    axes.set(
        xlabel="class, largest first",
        ylabel="images",
        xlim=(0.5, len(present) + 0.5),
        title=f"{present.sum()} images of {len(present)} classes, median "
        f"{np.median(present):g}; {len(counts) - len(present)} classes without images",
    )
    if present[0] >= 20 * present[-1]:  # else a linear axis shows the shape better
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(bottom=0.8)
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    with replacing(output) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def draw_contact_sheet(
    source: RecordSource, names: Sequence[str], count: int, seed: int
) -> Image:
    """Draw random records with their labels and names.

    Args:
        source: the records, at least one.
        names: of the classes by label, or empty.
        count: most records that are drawn.
        seed: of the choice.

    Returns:
        (H, W, 3) uint8 RGB; a red tile stands for a record that does not decode.
    """
    bits = np.random.PCG64(seed).random_raw(len(source))
    chosen = np.argsort(bits, kind="stable")[:count]
    columns = min(COLUMNS, len(chosen))
    lines = -(-len(chosen) // columns)
    size = (columns * (TILE + GAP) + GAP, lines * ROW + GAP)
    sheet = PillowImage.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, index in enumerate(chosen.tolist()):
        row, column = divmod(number, columns)
        corner = (GAP + column * (TILE + GAP), GAP + row * ROW)
        record = source[index]
        name = names[record.label] if record.label < len(names) else ""
        captions = f"{record.label} {name}", Path(record.name).name
        try:
            picture = PillowImage.fromarray(decode_record(record))
        except ImageError:
            picture = PillowImage.new("RGB", (TILE, TILE), BROKEN)
        put_tile(sheet, draw, corner, picture, *captions)
    return np.array(sheet, np.uint8)
