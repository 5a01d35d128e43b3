# SPDX-License-Identifier: Apache-2.0
"""``.datum`` arrays of TensorFlow DELF to and from NumPy's ``.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from delf_common.errors import DelfError, UsageError
from delf_common.io.atomic import replacing
from delf_common.io.delf_proto import read_datum, write_datum

SUFFIXES = (".datum", ".npy")


def convert_array(source: Path, target: Path) -> tuple[int, ...]:
    """Copy an array from one format into the other; the suffixes say which.

    A ``.datum`` holds float32 or uint32; floats of other widths become float32.

    Returns:
        The array's shape.

    Raises:
        DelfError: the source is missing or damaged, or a datum cannot hold its type.
        UsageError: a suffix is neither ``.datum`` nor ``.npy``.
    """
    for path in (source, target):
        if path.suffix not in SUFFIXES:
            raise UsageError(f"{path}: an array is a .datum or a .npy")
    array = read_datum(source) if source.suffix == ".datum" else _read_npy(source)
    if target.suffix == ".datum":
        write_datum(target, array)
    else:
        with replacing(target) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    return array.shape


def _read_npy(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise DelfError(f"{path} is no array that can be read ({error})") from None
