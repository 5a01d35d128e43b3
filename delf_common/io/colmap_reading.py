# SPDX-License-Identifier: Apache-2.0
"""Read a COLMAP database of any version as features and matches."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.colmap_tables import (
    HALF,
    PANORAMIC,
    PLANAR,
    PLANAR_OR_PANORAMIC,
    SIFT,
    image_ids,
    pair_id,
    to_centre,
)
from delf_common.io.matches_file import Pair
from delf_common.matching.matcher import ImageMatch
from delf_common.matching.nearest import Matches
from delf_common.matching.verification import Verification

Rows = NDArray[np.intp]
ONE_NUMBER = np.array([2**31, 1])  # makes one of a match's two rows


@dataclass(frozen=True)
class ColmapSet:
    """A database opened for reading.

    Args:
        database: the connection.
        identifiers: image_id by name, for images that have keypoints.
    """

    database: sqlite3.Connection
    identifiers: dict[str, int]

    def names(self) -> list[str]:
        """Images that have keypoints, sorted."""
        return sorted(self.identifiers)

    def read(self, name: str) -> Features:
        """Features of one image: scores 1, scales from COLMAP's shapes."""
        number = self._number(name)
        size = "SELECT width, height FROM images JOIN cameras USING (camera_id) "
        width, height = self._row(f"{size} WHERE image_id = ?", number) or (0, 0)
        shape = "SELECT rows, cols, data FROM keypoints WHERE image_id = ?"
        table = _table(self._row(shape, number), "<f4")
        try:
            return Features(
                np.ascontiguousarray(table[:, :2] - HALF),
                self._descriptors(number, len(table)),
                np.ones(len(table), np.float32),
                _scales(table),
                (width, height),
            )
        except ValueError as error:
            raise DelfError(f"the database is damaged: {name}: {error}") from None

    def pairs(self) -> list[Pair]:
        """Pairs that were matched or verified, the lower image_id first."""
        names = {number: name for name, number in self.identifiers.items()}
        found = self.database.execute(
            "SELECT pair_id FROM matches UNION SELECT pair_id FROM two_view_geometries"
        )
        both = (image_ids(identifier) for (identifier,) in found)
        return sorted((names[a], names[b]) for a, b in both if {a, b} <= names.keys())

    def match(self, pair: Pair) -> ImageMatch:
        """Matches of one pair; a model where COLMAP found a homography.

        Inliers of an epipolar geometry are inliers too, without a model.
        """
        identifier = pair_id(self._number(pair[0]), self._number(pair[1]))
        where = "WHERE pair_id = ?"
        shape = "SELECT rows, cols, data FROM"
        putative = _pairs(self._row(f"{shape} matches {where}", identifier))
        inliers = _pairs(self._row(f"{shape} two_view_geometries {where}", identifier))
        both = np.unique(np.concatenate([putative, inliers]), axis=0)
        agree = np.isin(both @ ONE_NUMBER, inliers @ ONE_NUMBER)
        homography = self._row(
            f"SELECT config, H FROM two_view_geometries {where}", identifier
        )
        return ImageMatch(
            Matches(both, np.zeros(len(both), np.float32)),
            Verification(_model(homography), agree),
        )

    def _number(self, name: str) -> int:
        if name not in self.identifiers:
            raise DelfError(f"the database has no keypoints of {name!r}")
        return self.identifiers[name]

    def _row(self, query: str, number: int) -> Any:
        try:
            return self.database.execute(query, (number,)).fetchone()
        except sqlite3.Error as error:
            raise DelfError(f"the database is damaged: {error}") from None

    def _descriptors(self, number: int, count: int) -> NDArray[np.float32]:
        """Descriptors of unit length, or of width 0 where there are none."""
        row = self._row("SELECT * FROM descriptors WHERE image_id = ?", number)
        if row is None or not count:
            return np.zeros((count, 0), np.float32)
        kind = row["type"] if "type" in row.keys() else SIFT
        table = _table((row["rows"], row["cols"], row["data"]), "u1")
        if kind != SIFT:
            table = table.view("<f4")
        table = table.astype(np.float32)
        lengths = np.linalg.norm(table, axis=1, keepdims=True)
        unit: NDArray[np.float32] = table / np.maximum(lengths, np.float32(1e-12))
        return unit


@contextmanager
def open_colmap(path: Path) -> Iterator[ColmapSet]:
    """Open a database for reading.

    Raises:
        DelfError: it is missing, is no COLMAP database, or is damaged.
    """
    if not path.is_file():
        raise DelfError(f"{path}: there is no such database")
    address = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        database.row_factory = sqlite3.Row
        try:
            found = dict(
                database.execute(
                    "SELECT name, image_id FROM images JOIN keypoints USING (image_id)"
                )
            )
        except sqlite3.Error as error:
            raise DelfError(f"{path} is no COLMAP database ({error})") from None
        yield ColmapSet(database, found)


def _table(row: tuple[int, int, bytes | None], kind: str) -> NDArray[Any]:
    """A blob's (rows, columns) numbers."""
    rows, columns, data = row
    try:
        return np.frombuffer(data or b"", kind).reshape(rows, columns)
    except ValueError as error:
        raise DelfError(f"the database is damaged: {error}") from None


def _pairs(row: tuple[int, int, bytes | None] | None) -> Rows:
    """(K, 2) rows of matches; (0, 2) where the pair is not in the table."""
    if row is None or not row[0]:
        return np.zeros((0, 2), np.intp)
    return _table(row, "<u4").astype(np.intp)


def _scales(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale of x, y; of x, y, scale, orientation; of x, y and a (2, 2) shape."""
    if table.shape[1] == 4:
        return np.ascontiguousarray(table[:, 2])
    if table.shape[1] == 6:
        axes: NDArray[np.float32] = np.hypot(table[:, 2:4], table[:, 4:6])
        return (axes[:, 0] + axes[:, 1]) / np.float32(2)
    return np.ones(len(table), np.float32)


def _model(row: tuple[int, bytes | None] | None) -> NDArray[np.float64] | None:
    if row is None or row[0] not in (PLANAR, PANORAMIC, PLANAR_OR_PANORAMIC):
        return None
    if not row[1] or not any(row[1]):
        return None
    return to_centre(_table((3, 3, row[1]), "<f8"))
