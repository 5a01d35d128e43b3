# SPDX-License-Identifier: Apache-2.0
"""Tables, identifiers and conventions of a COLMAP database.

The tables are those of COLMAP 3.8 to 3.11; later versions add what is theirs when they
open the file.

Convention: COLMAP's (0, 0) is the corner of the top left pixel, ours its centre, so
that (x, y) here is (x + 0.5, y + 0.5) there.

Source: colmap.github.io/database.html; colmap/colmap src/colmap/scene/database.cc.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HALF = np.float32(0.5)
ID_LIMIT = 2**31 - 1  # image identifiers are below it
SIMPLE_RADIAL = 2  # the camera model COLMAP itself begins with: f, cx, cy, k
FOCAL_FACTOR = 1.2  # of the longer side: COLMAP's guess for an unknown lens
PLANAR, PANORAMIC, PLANAR_OR_PANORAMIC = 4, 5, 6  # geometries that have an H
SIFT = 0  # descriptors as bytes; every other type is float32

TABLES = f"""
CREATE TABLE cameras (
  camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  model INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  params BLOB, prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (
  image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL UNIQUE, camera_id INTEGER NOT NULL,
  CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < {ID_LIMIT}),
  FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE UNIQUE INDEX index_name ON images(name);
CREATE TABLE keypoints (
  image_id INTEGER PRIMARY KEY NOT NULL,
  rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
  FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (
  image_id INTEGER PRIMARY KEY NOT NULL,
  rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
  FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (
  pair_id INTEGER PRIMARY KEY NOT NULL,
  rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB);
CREATE TABLE two_view_geometries (
  pair_id INTEGER PRIMARY KEY NOT NULL,
  rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
  config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB);
"""


def pair_id(image_id0: int, image_id1: int) -> int:
    """Identifier of a pair, for image_id0 < image_id1."""
    return ID_LIMIT * image_id0 + image_id1


def image_ids(identifier: int) -> tuple[int, int]:
    """Images of a pair, the lower identifier first."""
    return divmod(identifier, ID_LIMIT)


def to_corner(model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Express a (3, 3) transformation of our pixels in those of COLMAP."""
    return _shift(0.5) @ model @ _shift(-0.5)


def to_centre(model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Express a (3, 3) transformation of COLMAP's pixels in ours."""
    return _shift(-0.5) @ model @ _shift(0.5)


def _shift(by: float) -> NDArray[np.float64]:
    return np.array([[1, 0, by], [0, 1, by], [0, 0, 1]], np.float64)
