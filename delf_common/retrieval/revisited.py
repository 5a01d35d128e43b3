# SPDX-License-Identifier: Apache-2.0
"""The ``gnd_roxford5k.pkl`` and ``gnd_rparis6k.pkl`` of the revisited benchmarks.

Source: Radenovic et al., Revisiting Oxford and Paris, CVPR 2018. Keys: imlist (database
images), qimlist (query images), gnd (for each query bbx, and easy, hard, junk as
indices into imlist).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from delf_common.errors import DelfError
from delf_common.retrieval.queries import LISTS, GroundTruth, Query, Region
from delf_common.retrieval.safe_pickle import load_plain


def read_revisited(path: Path) -> GroundTruth:
    """Read a revisited ``gnd_*.pkl`` without running anything that is in it.

    Returns:
        Queries named by their picture, with the lists easy, hard and junk.

    Raises:
        DelfError: the pickle holds more than plain data, a key is missing, or an index
            is outside the database.
    """
    content = load_plain(path)
    keys = ("imlist", "qimlist", "gnd")
    missing = [
        key for key in keys if not isinstance(content, dict) or key not in content
    ]
    if missing:
        raise DelfError(f"{path}: no key {missing[0]!r}; expected {', '.join(keys)}")
    names = strings(content["imlist"], f"{path}: imlist")
    images = strings(content["qimlist"], f"{path}: qimlist")
    entries = content["gnd"]
    if not isinstance(entries, Sequence) or len(entries) != len(images):
        raise DelfError(
            f"{path}: gnd is not a list of {len(images)} queries as qimlist"
        )
    queries = [
        read_query(image, entry, names, f"{path}: gnd[{i}]")
        for i, (image, entry) in enumerate(zip(images, entries, strict=True))
    ]
    return GroundTruth("revisited", names, tuple(queries), str(path))


def read_query(image: str, entry: Any, names: tuple[str, ...], where: str) -> Query:
    """Read one entry of gnd; ``where`` begins the error messages."""
    if not isinstance(entry, dict):
        raise DelfError(f"{where}: expected a dict")
    lists = {}
    for label in LISTS["revisited"]:
        if label not in entry:
            raise DelfError(f"{where}: no list {label!r}")
        rows = indices(entry[label], len(names), f"{where}[{label!r}]")
        lists[label] = tuple(names[row] for row in rows)
    return Query(image, image, region(entry.get("bbx"), f"{where}['bbx']"), lists)


def strings(value: Any, where: str) -> tuple[str, ...]:
    """Return a list or array of names as a tuple, or raise."""
    values = value.tolist() if isinstance(value, np.ndarray) else value
    plain = isinstance(values, (list, tuple))
    if not plain or not all(isinstance(name, str) for name in values):
        raise DelfError(f"{where}: expected a list of image names")
    return tuple(values)


def indices(value: Any, count: int, where: str) -> list[int]:
    """Return zero-based indices below ``count``, or raise."""
    rows = value.ravel().tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(rows, (list, tuple)):
        raise DelfError(f"{where}: expected a list of indices")
    for row in rows:
        if type(row) is not int:
            raise DelfError(f"{where}: a {type(row).__name__} is not an index")
        if not 0 <= row < count:
            raise DelfError(f"{where}: index {row} is outside the {count} images")
    return list(rows)


def region(value: Any, where: str) -> Region | None:
    """Return x1, y1, x2, y2, or None where there is no box."""
    if value is None:
        return None
    numbers = value.ravel().tolist() if isinstance(value, np.ndarray) else value
    if isinstance(numbers, (list, tuple)) and len(numbers) == 4:
        if all(isinstance(number, (int, float)) for number in numbers):
            x1, y1, x2, y2 = map(float, numbers)
            if x1 < x2 and y1 < y2:
                return x1, y1, x2, y2
    raise DelfError(f"{where}: expected x1, y1, x2, y2 with x1 < x2 and y1 < y2")
