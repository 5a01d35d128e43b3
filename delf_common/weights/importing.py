# SPDX-License-Identifier: Apache-2.0
"""The part that all importers share: every source name is placed, or said not to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.weights.names import Params, Shapes

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Target:
    """What becomes of one source array: a canonical name, or a reason not to use it."""

    name: str = ""
    unused: str = ""


@dataclass(frozen=True)
class Imported:
    """Parameters under canonical names, and where they came from.

    Args:
        params: canonical name -> float32 array.
        placed: source name -> canonical name.
        unused: source name -> why it is not used.
    """

    params: Params
    placed: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)


def place(arrays: Arrays, shapes: Shapes, choose: Callable[[str], Target]) -> Imported:
    """Give every source array its canonical name.

    Args:
        arrays: source name -> array, kernels already OIHW.
        shapes: what the network needs.
        choose: what becomes of a source name; an empty `Target` for unknown names.

    Raises:
        DelfError: lists all that is missing, left over, double or misshapen.
    """
    result, faults = Imported({}), []
    sources: dict[str, str] = {}
    for source, array in arrays.items():
        target = choose(source)
        if target.unused:
            result.unused[source] = target.unused
        elif target.name not in shapes:
            faults.append(f"  left over: {source} {tuple(array.shape)}")
        elif target.name in sources:
            other = sources[target.name]
            faults.append(f"  double: {other} and {source} are both {target.name}")
        else:
            sources[target.name] = source
            faults += _take(result, source, target.name, array, shapes[target.name])
    faults += [
        f"  missing: {name} {shapes[name]}" for name in shapes if name not in sources
    ]
    if faults:
        raise DelfError(
            f"cannot convert, {len(faults)} parameters do not fit:\n"
            + "\n".join(faults)
        )
    return result


def _take(
    result: Imported,
    source: str,
    name: str,
    array: NDArray[Any],
    shape: tuple[int, ...],
) -> list[str]:
    """Put one array into the result; what is wrong with it, [] for nothing."""
    if tuple(array.shape) != shape:
        return [f"  shape: {source} is {tuple(array.shape)}, {name} needs {shape}"]
    if not np.isfinite(array).all():
        return [f"  not finite: {source} has NaN or infinite values"]
    result.params[name] = array.astype(np.float32)
    result.placed[source] = name
    return []
