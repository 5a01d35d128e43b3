# SPDX-License-Identifier: Apache-2.0
"""Write a COLMAP database: cameras, images, keypoints, matches, two-view geometries."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.atomic import replacing
from delf_common.io.colmap_tables import (
    FOCAL_FACTOR,
    HALF,
    PLANAR_OR_PANORAMIC,
    SIMPLE_RADIAL,
    TABLES,
    pair_id,
    to_corner,
)
from delf_common.io.feature_set import FeatureSet, checked_match
from delf_common.io.matches_file import turn
from delf_common.matching.matcher import ImageMatch


def write_colmap(source: FeatureSet, path: Path, *, geometries: bool = True) -> None:
    """Write a database that COLMAP opens, beside its name and then renamed.

    Every image has a camera of its own, with COLMAP's first guess for an unknown lens.
    Keypoints are x, y, scale, orientation 0, half a pixel from ours. Table ``matches``
    has all matches, ``two_view_geometries`` the inliers of pairs that have a model,
    with its H; COLMAP verifies the others itself when asked to. For a
    reconstruction leave them out: a plane's inliers mislead it, and COLMAP verifies all
    by epipolar geometry. Descriptors and scores have no place in a database: COLMAP
    knows those of its own methods only.

    Args:
        source: what to write.
        path: the SQLite file.
        geometries: whether to write ``two_view_geometries``.

    Raises:
        DelfError: an image's size is not known; a pair is there in both orders.
    """
    with replacing(path) as temporary:
        with closing(sqlite3.connect(temporary)) as database, database:
            database.executescript(TABLES)
            _write_all(source, database, geometries)


def _write_all(
    source: FeatureSet, database: sqlite3.Connection, geometries: bool
) -> None:
    identifiers: dict[str, int] = {}
    counts: dict[str, int] = {}
    for number, name in enumerate(source.names(), start=1):
        features = source.read(name)
        identifiers[name], counts[name] = number, len(features)
        _add_image(database, number, name, features)
    for name0, name1 in source.pairs():
        found = checked_match(source, (name0, name1), counts)
        id0, id1 = identifiers[name0], identifiers[name1]
        if id0 == id1:
            raise DelfError(f"{name0} is matched with itself; COLMAP has no such pair")
        if id0 > id1:
            id0, id1, found = id1, id0, turn(found)
        try:
            _add_matches(database, pair_id(id0, id1), found)
        except sqlite3.IntegrityError:
            raise DelfError(f"the pair {name0} {name1} is there twice") from None
        if geometries:
            _add_geometry(database, pair_id(id0, id1), found)


def _add_image(
    database: sqlite3.Connection, number: int, name: str, features: Features
) -> None:
    width, height = features.image_size
    if width < 1 or height < 1:
        raise DelfError(
            f"the size of {name} is not known, and COLMAP needs it; say where the "
            f"photographs are with --image_root"
        )
    params = [FOCAL_FACTOR * max(width, height), width / 2, height / 2, 0]
    database.execute(
        "INSERT INTO cameras VALUES (?, ?, ?, ?, ?, 0)",
        (number, SIMPLE_RADIAL, width, height, np.array(params, "<f8").tobytes()),
    )
    database.execute("INSERT INTO images VALUES (?, ?, ?)", (number, name, number))
    orientation = np.zeros_like(features.scales)
    rows = np.column_stack([features.keypoints + HALF, features.scales, orientation])
    database.execute(
        "INSERT INTO keypoints VALUES (?, ?, 4, ?)",
        (number, len(rows), rows.astype("<f4").tobytes()),
    )


def _add_matches(
    database: sqlite3.Connection, identifier: int, found: ImageMatch
) -> None:
    rows = found.matches.pairs.astype("<u4")
    database.execute(
        "INSERT INTO matches VALUES (?, ?, 2, ?)",
        (identifier, len(rows), rows.tobytes()),
    )


def _add_geometry(
    database: sqlite3.Connection, identifier: int, found: ImageMatch
) -> None:
    if found.verification.model is None:
        return
    inliers = found.matches.pairs[found.verification.inliers].astype("<u4")
    model = to_corner(found.verification.model).astype("<f8").tobytes()
    database.execute(
        "INSERT INTO two_view_geometries "
        "VALUES (?, ?, 2, ?, ?, NULL, NULL, ?, NULL, NULL)",
        (identifier, len(inliers), inliers.tobytes(), PLANAR_OR_PANORAMIC, model),
    )
