# SPDX-License-Identifier: Apache-2.0
"""Read a kapture folder as features and matches; see kapture.py for the convention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError, UsageError
from delf_common.features import Features
from delf_common.io.kapture import COLUMNS, HALF, NAME
from delf_common.io.matches_file import Pair
from delf_common.matching.matcher import ImageMatch
from delf_common.matching.nearest import Matches, cosines_to_distances
from delf_common.matching.verification import Verification

BETWEEN = ".overlapping/"


@dataclass(frozen=True)
class Layout:
    """What a ``keypoints.txt`` or ``descriptors.txt`` says: method, type, columns."""

    name: str
    dtype: np.dtype[np.generic]
    columns: int


@dataclass(frozen=True)
class KaptureSet:
    """A kapture folder.

    Args:
        root: the folder.
        kind: the feature type that is read.
        sizes: width and height by image.
        keypoints: layout of the keypoints.
        descriptors: layout of the descriptors, None where there are none.
    """

    root: Path
    kind: str
    sizes: dict[str, tuple[int, int]]
    keypoints: Layout
    descriptors: Layout | None

    def names(self) -> list[str]:
        """Images that have keypoints, sorted."""
        folder = self._folder("keypoints")
        return sorted(n for n in self.sizes if (folder / f"{n}.kpt").is_file())

    def read(self, name: str) -> Features:
        """Features of one image, as x, y in our convention."""
        path = self._folder("keypoints") / f"{name}.kpt"
        table = _load(path, self.keypoints)
        count = len(table)
        ones = np.ones(count, np.float32)
        ours = (self.keypoints.name, self.keypoints.columns) == (NAME, COLUMNS)
        has_scale = self.keypoints.columns in (3, 4)
        rows = np.zeros((count, 0), np.float32)
        if self.descriptors is not None:
            rows = _load(self._folder("descriptors") / f"{name}.desc", self.descriptors)
        try:
            return Features(
                table[:, :2] - HALF,
                rows,
                np.ascontiguousarray(table[:, 3]) if ours else ones,
                np.ascontiguousarray(table[:, 2]) if has_scale else ones,
                self.sizes[name],
            )
        except ValueError as error:
            raise DelfError(f"{path} and its .desc do not fit: {error}") from None

    def pairs(self) -> list[Pair]:
        """Pairs that have a file of matches."""
        folder = self._folder("matches")
        pairs = []
        for path in folder.rglob("*.matches"):
            name = path.relative_to(folder).as_posix().removesuffix(".matches")
            first, found, second = name.partition(BETWEEN)
            if found:
                pairs.append((first, second))
        return sorted(pairs)

    def match(self, pair: Pair) -> ImageMatch:
        """Matches of one pair; kapture knows of no inliers and no model."""
        path = self._folder("matches") / f"{pair[0]}{BETWEEN}{pair[1]}.matches"
        table = _load(path, Layout("", np.dtype(np.float64), 3), np.float64)
        table = table[np.argsort(table[:, 0], kind="stable")]
        cosines = np.clip(table[:, 2], -1, 1).astype(np.float32)
        pairs = table[:, :2].astype(np.intp)
        return ImageMatch(
            Matches(pairs, cosines_to_distances(cosines)),
            Verification(None, np.zeros(len(pairs), bool)),
        )

    def _folder(self, part: str) -> Path:
        return self.root / "reconstruction" / part / self.kind


@contextmanager
def open_kapture(root: Path, feature_type: str | None = None) -> Iterator[KaptureSet]:
    """Open a kapture folder.

    Args:
        root: the folder that has ``sensors`` and ``reconstruction``.
        feature_type: which of the folders of ``reconstruction/keypoints``; None if
            there is but one.

    Raises:
        DelfError: it is no kapture 1.1 folder, or its lists are damaged.
        UsageError: there are several feature types, or not this one.
    """
    found = sorted(
        path.parent.name
        for path in (root / "reconstruction" / "keypoints").glob("*/keypoints.txt")
    )
    if not found:
        raise DelfError(
            f"{root} has no reconstruction/keypoints/<type>/keypoints.txt; kapture 1.1 "
            f"with features is read, not 1.0 (kapture_upgrade_1.0_to_1.1.py makes 1.1)"
        )
    if feature_type not in found and (feature_type is not None or len(found) > 1):
        raise UsageError(
            f"{root} has the features {', '.join(found)}; choose by --feature_type"
        )
    kind = feature_type or found[0]
    lists = root / "reconstruction"
    described = lists / "descriptors" / kind / "descriptors.txt"
    yield KaptureSet(
        root,
        kind,
        _read_sizes(root / "sensors"),
        _read_layout(lists / "keypoints" / kind / "keypoints.txt"),
        _read_layout(described) if described.is_file() else None,
    )


def _read_sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Size of every image, by its camera."""
    cameras: dict[str, tuple[int, int]] = {}
    for fields in _read_list(folder / "sensors.txt", 3):
        if fields[2] == "camera" and len(fields) >= 6:
            cameras[fields[0]] = (_integer(fields[4]), _integer(fields[5]))
    records = _read_list(folder / "records_camera.txt", 3)
    return {fields[2]: cameras.get(fields[1], (0, 0)) for fields in records}


def _integer(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0


def _read_layout(path: Path) -> Layout:
    try:
        name, dtype, columns = next(iter(_read_list(path, 3)))[:3]
        layout = Layout(name, np.dtype(dtype), int(columns))
    except (StopIteration, TypeError, ValueError) as error:
        raise DelfError(f"{path} does not say name, dtype, dsize: {error}") from None
    if layout.dtype.kind not in "fiu" or layout.columns < 1:
        raise DelfError(f"{path}: {dtype} and {columns} are no columns of numbers")
    return layout


def _read_list(path: Path, least: int) -> list[list[str]]:
    """Fields of every line that is no comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DelfError(f"{path} cannot be read: {error}") from None
    rows = [[field.strip() for field in line.split(",")] for line in lines]
    rows = [row for row in rows if row != [""] and not row[0].startswith("#")]
    for row in rows:
        if len(row) < least:
            raise DelfError(f"{path}: a line has {len(row)} fields, not {least}: {row}")
    return rows


def _load(
    path: Path, layout: Layout, to: type[np.float32 | np.float64] = np.float32
) -> NDArray[Any]:
    """Read bare little-endian numbers, (N, columns)."""
    try:
        data = path.read_bytes()
        table = np.frombuffer(data, layout.dtype.newbyteorder("<"))
        return table.reshape(-1, layout.columns).astype(to)
    except (OSError, ValueError) as error:
        raise DelfError(f"{path} cannot be read ({error})") from None
