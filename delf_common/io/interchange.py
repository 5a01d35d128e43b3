# SPDX-License-Identifier: Apache-2.0
"""Features and matches from any known format into any other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from delf_common.errors import DelfError, UsageError
from delf_common.io.atomic import refuse_existing
from delf_common.io.colmap import write_colmap
from delf_common.io.colmap_reading import open_colmap
from delf_common.io.feature_set import FeatureSet, refuse_outside
from delf_common.io.hloc import open_hloc, write_hloc
from delf_common.io.kapture import write_kapture
from delf_common.io.kapture_reading import open_kapture
from delf_common.io.per_image import DELF, NPZ, open_folder, write_folder
from delf_common.io.photo_sizes import SizedSet

Format = Literal["hloc", "colmap", "kapture", "delf", "npz"]
LEFT_OUT: dict[Format, str] = {
    "hloc": "",
    "colmap": "descriptors and scores",
    "kapture": "models, and which matches are inliers",
    "delf": "matches, sizes of the photographs",
    "npz": "matches, sizes of the photographs",
}
MAGIC: dict[bytes, Format] = {
    b"\x89HDF\r\n\x1a\n": "hloc",
    b"SQLite format 3": "colmap",
}
IN_FOLDERS: tuple[tuple[Format, tuple[str, ...]], ...] = (
    ("kapture", ("sensors/sensors.txt", "reconstruction")),
    ("delf", ("**/*.delf", "**/*.delg_local")),
    ("npz", ("**/*.location.npz",)),
)


@dataclass(frozen=True)
class Summary:
    """What was carried over.

    Args:
        source: format that was read.
        images: how many have features.
        pairs: how many were matched.
        left_out: what the target's format has no place for; "" for nothing.
    """

    source: Format
    images: int
    pairs: int
    left_out: str


def recognise(path: Path) -> Format:
    """Tell the format by what is there, not by the name.

    Raises:
        DelfError: it is missing, or of no known format, or a folder of several.
    """
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(16)
        for magic, found in MAGIC.items():
            if head.startswith(magic):
                return found
        raise DelfError(f"{path} is neither HDF5 nor a COLMAP database")
    if not path.is_dir():
        raise DelfError(f"{path}: there is no such file or folder")
    kinds = [k for k, globs in IN_FOLDERS if any(any(path.glob(g)) for g in globs)]
    if not kinds:
        raise DelfError(f"{path} holds no kapture, no .delf and no .location.npz files")
    if len(kinds) > 1:
        raise DelfError(f"{path} holds {' and '.join(kinds)} files; separate them")
    return kinds[0]


def interchange(
    sources: Sequence[Path],
    target_format: Format,
    targets: Sequence[Path],
    *,
    image_root: Path | None = None,
    feature_type: str | None = None,
    matches_only: bool = False,
    overwrite: bool = False,
) -> Summary:
    """Read features and matches in one format, write them in another.

    Args:
        sources: one file or folder; or hloc's features file and its matches file.
        target_format: what to write.
        targets: one path; for hloc a features file and perhaps a matches file.
        image_root: the photographs, for formats that do not know their sizes.
        feature_type: of a kapture, in or out.
        matches_only: no two-view geometries in a COLMAP database.
        overwrite: replace what is there.

    Raises:
        DelfError: a source is damaged, or the target exists or cannot hold something.
        UsageError: too many or too few paths.
    """
    _check_paths(sources, target_format, targets)
    for target in targets:
        if not (target.is_dir() and not any(target.iterdir())):
            refuse_existing(target, overwrite=overwrite)
    kind = recognise(sources[0])
    if len(sources) > 1 and kind != "hloc":
        raise UsageError(f"{sources[0]} is {kind}, which has its matches inside")
    with _open(kind, sources, image_root, feature_type) as stored:
        features = SizedSet(stored, image_root)
        names, pairs = features.names(), len(features.pairs())
        refuse_outside(names)
        if len(targets) > 1 and not pairs:
            raise UsageError(f"{sources[0]} has no matches for {targets[1]}")
        if target_format == "colmap":
            write_colmap(features, targets[0], geometries=not matches_only)
        else:
            _write(features, target_format, targets, feature_type, str(sources[0]))
    left_out = LEFT_OUT[target_format]
    if target_format == "hloc" and pairs and len(targets) == 1:
        left_out = "matches, for which no second --output is named"
    return Summary(kind, len(names), pairs, left_out)


def _check_paths(
    sources: Sequence[Path], target_format: Format, targets: Sequence[Path]
) -> None:
    """Refuse counts of paths that have no meaning, and a target that is a source."""
    if not 1 <= len(sources) <= 2:
        raise UsageError("give one source, or hloc's features and matches files")
    most = 2 if target_format == "hloc" else 1
    if not 1 <= len(targets) <= most:
        raise UsageError(f"--to {target_format} takes at most {most} --output paths")
    same = {path.resolve() for path in sources} & {path.resolve() for path in targets}
    if same:
        raise UsageError(f"{same.pop()} is both source and --output; name another")


def _open(
    kind: Format,
    sources: Sequence[Path],
    image_root: Path | None,
    feature_type: str | None,
) -> AbstractContextManager[FeatureSet]:
    if kind == "hloc":
        return open_hloc(sources[0], sources[1] if len(sources) > 1 else None)
    if kind == "colmap":
        return open_colmap(sources[0])
    if kind == "kapture":
        return open_kapture(sources[0], feature_type)
    return open_folder(sources[0], DELF if kind == "delf" else NPZ, image_root)


def _write(
    features: FeatureSet,
    target_format: Format,
    targets: Sequence[Path],
    feature_type: str | None,
    origin: str,
) -> None:
    if target_format == "hloc":
        write_hloc(features, targets[0], targets[1] if targets[1:] else None, origin)
    elif target_format == "kapture":
        write_kapture(features, targets[0], feature_type)
    else:
        write_folder(features, targets[0], DELF if target_format == "delf" else NPZ)
