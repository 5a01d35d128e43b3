# SPDX-License-Identifier: Apache-2.0
"""How far outputs are from their reference: measured, judged, laid out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError

Array = NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """How far one output is from its reference at one size.

    Args:
        output: "attention", "features", ...
        size: (height, width) of the level.
        absolute: largest absolute difference.
        relative: ``absolute`` over the reference's largest magnitude.
    """

    output: str
    size: tuple[int, int]
    absolute: float
    relative: float


def difference(
    output: str, size: tuple[int, int], wanted: Array, given: Array
) -> Difference:
    """Compare one output with its reference; two empty ones differ by 0.

    Raises:
        DelfError: shapes differ, or a value is not finite.
    """
    where = f"{output} at {size[0]}x{size[1]}"
    if wanted.shape != given.shape:
        raise DelfError(f"{where}: shape {given.shape}, not {wanted.shape}")
    if not (np.isfinite(wanted).all() and np.isfinite(given).all()):
        raise DelfError(f"{where} holds NaN or infinity")
    gap = np.abs(given.astype(np.float64) - wanted)
    absolute = float(gap.max(initial=0))
    largest = float(np.abs(wanted).max(initial=0))
    relative = absolute / max(largest, float(np.finfo(np.float32).tiny))
    return Difference(output, size, absolute, relative)


def refuse_differences(differences: Iterable[Difference], tolerance: float) -> None:
    """Raise if an output is further away than the tolerance allows.

    Raises:
        DelfError: names the worst output, its size and its difference.
    """
    worst = max(differences, key=lambda found: found.relative, default=None)
    if worst is None:
        raise DelfError("nothing was compared: the network sees none of the pictures")
    if not worst.relative <= tolerance:
        raise DelfError(
            f"the exported file differs in {worst.output}, level "
            f"{worst.size[0]}x{worst.size[1]}, by {worst.relative:.2g} of the largest "
            f"value; --tolerance is {tolerance:g}. Nothing was written"
        )


def format_differences(differences: Iterable[Difference]) -> str:
    """Lay differences out for people, a line each."""
    rows = [f"{'output':<12} {'level':>9} {'absolute':>9} {'relative':>9}"]
    for found in differences:
        size = f"{found.size[0]}x{found.size[1]}"
        rows.append(
            f"{found.output:<12} {size:>9} {found.absolute:>9.2g} "
            f"{found.relative:>9.2g}"
        )
    return "\n".join(rows)
