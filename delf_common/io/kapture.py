# SPDX-License-Identifier: Apache-2.0
"""Write a kapture folder: sensors, keypoints, descriptors, matches.

Convention: kapture's [0, 0] is the upper left corner, and its own converter takes
COLMAP's keypoints as they are; so (x, y) here is (x + 0.5, y + 0.5) there.

Source: naver/kapture kapture_format.adoc, version 1.1.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.atomic import replacing, write_text
from delf_common.io.feature_set import FeatureSet, checked_match, dimension_of
from delf_common.io.matches_file import Pair, turn
from delf_common.matching.matcher import ImageMatch

HEADER = "# kapture format: 1.1\n"
NAME = "delf"  # tells our keypoints' columns from those of others
COLUMNS = 4  # x, y, scale, score
HALF = np.float32(0.5)


def write_kapture(
    source: FeatureSet, folder: Path, feature_type: str | None = None
) -> None:
    """Write a kapture folder; the photographs belong into ``sensors/records_data``.

    What the folder has of this feature type is removed first; other types and other
    files stay. ``sensors.txt``, without which it is no kapture folder, comes last.
    Matches are those given, each with the cosine of the descriptors as its score; which
    of them are inliers has no place.

    Args:
        source: what to write.
        folder: the kapture's root.
        feature_type: folder of the features below ``keypoints``, "delf" if None.

    Raises:
        DelfError: a name has a comma or spaces at its ends, which kapture cannot hold.
    """
    kind, names = feature_type or NAME, source.names()
    _refuse_names(names)
    keypoints, descriptors, matches = (
        folder / "reconstruction" / part / kind
        for part in ("keypoints", "descriptors", "matches")
    )
    for part in (keypoints, descriptors, matches):
        shutil.rmtree(part, ignore_errors=True)
    width = dimension_of(source)
    sizes: list[tuple[int, int]] = []
    counts: dict[str, int] = {}
    for name in names:
        features = source.read(name)
        sizes.append(features.image_size)
        counts[name] = len(features)
        _dump(keypoints / f"{name}.kpt", to_columns(features))
        if width:  # kapture has no descriptors of no width
            _dump(descriptors / f"{name}.desc", features.descriptors)
    for pair in source.pairs():
        _write_match(matches, pair, checked_match(source, pair, counts))
    _list(keypoints / "keypoints.txt", [(NAME, "float32", COLUMNS)])
    if width:
        _list(descriptors / "descriptors.txt", [(NAME, "float32", width, kind, "L2")])
    _write_sensors(folder / "sensors", names, sizes)


def _refuse_names(names: Sequence[str]) -> None:
    for name in names:
        if "," in name or "\n" in name or name != name.strip():
            raise DelfError(f"{name!r} cannot stand in kapture's lists; rename it")


def to_columns(features: Features) -> NDArray[np.float32]:
    """(N, 4) float32 rows of a keypoint file."""
    return np.column_stack(
        [features.keypoints + HALF, features.scales, features.scores]
    ).astype(np.float32)


def _write_sensors(
    folder: Path, names: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> None:
    """A camera for each size, and a record for each image."""
    cameras = {size: f"camera_{size[0]}x{size[1]}" for size in sizes}
    records = [
        (number, cameras[size], name)
        for number, (name, size) in enumerate(zip(names, sizes, strict=True))
    ]
    _list(folder / "records_camera.txt", records)
    sensors = [(c, "", "camera", "UNKNOWN_CAMERA", *s) for s, c in cameras.items()]
    _list(folder / "sensors.txt", sensors)


def _write_match(folder: Path, pair: Pair, found: ImageMatch) -> None:
    """Write one pair under the name that comes first."""
    if pair[0] > pair[1]:
        pair, found = (pair[1], pair[0]), turn(found)
    cosines = 1 - found.matches.distances.astype(np.float64) ** 2 / 2
    rows = np.column_stack([found.matches.pairs, cosines])
    path = folder / f"{pair[0]}.overlapping" / f"{pair[1]}.matches"
    if path.exists():
        raise DelfError(f"the pair {pair[0]} {pair[1]} is there twice")
    _dump(path, rows.astype("<f8"))


def _list(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write one of kapture's lists."""
    lines = (", ".join(map(str, row)) + "\n" for row in rows)
    write_text(path, HEADER + "".join(lines))


def _dump(path: Path, array: NDArray[Any]) -> None:
    """Write bare little-endian numbers."""
    with replacing(path) as temporary:
        array.astype(array.dtype.newbyteorder("<")).tofile(temporary)
