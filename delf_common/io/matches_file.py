# SPDX-License-Identifier: Apache-2.0
"""Matches of image pairs in hloc's HDF5 layout, and pairs as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing, write_text
from delf_common.matching.matcher import ImageMatch
from delf_common.matching.nearest import Matches, cosines_to_distances
from delf_common.matching.verification import Verification

Pair = tuple[str, str]


def pair_key(name0: str, name1: str) -> str:
    """Name of a pair's group: hloc writes "-" for "/" within a name."""
    return f"{name0.replace('/', '-')}/{name1.replace('/', '-')}"


def write_matches(
    path: Path,
    matches: Iterable[tuple[Pair, int, ImageMatch]],
    *,
    verified: bool = True,
) -> None:
    """Write matches as hloc reads them, beside the name and then renamed.

    Each pair's group has ``matches0`` (N0,) int32, the row of image 1 matched to each
    keypoint of image 0 or -1, and ``matching_scores0`` (N0,) float32, the cosine of the
    descriptors or 0; and, beyond hloc, ``inliers0`` (N0,) bool, which of the matches
    written agree with ``model`` (3, 3), present where there is one.

    Args:
        path: the HDF5 file.
        matches: the pair's names, N0 (keypoints of image 0), and the match. One
            keypoint of image 0 has at most one match.
        verified: write the inliers only, or else all putative matches.

    Raises:
        DelfError: a pair is there twice.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for (name0, name1), count, found in matches:
            key = pair_key(name0, name1)
            if key in file:
                raise DelfError(f"the pair {name0} {name1} is there twice")
            keep = found.verification.inliers if verified else slice(None)
            pairs, distances = found.matches.pairs[keep], found.matches.distances[keep]
            matches0 = np.full(count, -1, np.int32)
            scores0 = np.zeros(count, np.float32)
            matches0[pairs[:, 0]] = pairs[:, 1]
            scores0[pairs[:, 0]] = 1 - distances**2 / 2
            group = file.create_group(key)
            inliers0 = np.zeros(count, bool)
            inliers0[pairs[:, 0]] = found.verification.inliers[keep]
            group["matches0"], group["matching_scores0"] = matches0, scores0
            group["inliers0"] = inliers0
            if found.verification.model is not None:
                group["model"] = found.verification.model


def read_matches(path: Path, name0: str, name1: str) -> ImageMatch:
    """Read one pair, stored in either order, as hloc does.

    Rows come by rising row of image ``name0``. Of a pair stored the other way round the
    model is the inverse, and the inliers are those judged in the image stored second.
    A file of hloc's own has neither: no model, no inliers.

    Raises:
        DelfError: the file is missing or damaged, or has no such pair.
    """
    try:
        with h5py.File(path, "r") as file:
            if pair_key(name0, name1) in file:
                return _read_group(file[pair_key(name0, name1)])
            if pair_key(name1, name0) in file:
                return turn(_read_group(file[pair_key(name1, name0)]))
    except (OSError, KeyError) as error:
        raise DelfError(f"{path} is no matches file ({error})") from None
    raise DelfError(f"{path} has no matches of {name0} and {name1}")


def list_pairs(path: Path, names: Iterable[str]) -> list[Pair]:
    """Pairs that a matches file has, in its order.

    Args:
        path: the HDF5 file.
        names: of the images; the file has "-" for each "/" in them.

    Raises:
        DelfError: the file is missing or damaged, has an image that is not among the
            names, or the names differ by "-" and "/" only.
    """
    plain: dict[str, str] = {}
    for name in names:
        twin = plain.setdefault(name.replace("/", "-"), name)
        if twin != name:
            raise DelfError(f"{path} cannot tell {twin!r} from {name!r}; rename one")
    try:
        with h5py.File(path, "r") as file:
            keys = [(key0, key1) for key0, group in file.items() for key1 in group]
    except (OSError, AttributeError, TypeError) as error:
        raise DelfError(f"{path} is no matches file ({error})") from None
    unknown = sorted({key for pair in keys for key in pair} - set(plain))
    if unknown:
        raise DelfError(f"{path} matches {unknown[0]}, of which there are no features")
    return [(plain[key0], plain[key1]) for key0, key1 in keys]


def _read_group(group: h5py.Group) -> ImageMatch:
    """Read the datasets of one pair."""
    matches0 = group["matches0"][()]
    rows = np.flatnonzero(matches0 >= 0)
    scores = group["matching_scores0"][()][rows].astype(np.float32)
    pairs = np.stack([rows, matches0[rows].astype(np.intp)], axis=1)
    model = group["model"][()] if "model" in group else None
    inliers = np.zeros(len(rows), bool)
    if "inliers0" in group:
        inliers = group["inliers0"][()][rows].astype(bool)
    distances = cosines_to_distances(scores)
    return ImageMatch(Matches(pairs, distances), Verification(model, inliers))


def turn(found: ImageMatch) -> ImageMatch:
    """Exchange the two images; the inliers stay those judged in image 1 of old."""
    order = np.argsort(found.matches.pairs[:, 1], kind="stable")
    model = found.verification.model
    return ImageMatch(
        Matches(found.matches.pairs[order, ::-1], found.matches.distances[order]),
        Verification(
            None if model is None else np.linalg.inv(model),
            found.verification.inliers[order],
        ),
    )


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write pairs as text, two names a line.

    Raises:
        DelfError: a name holds white space, which the format cannot.
    """
    for name in (name for pair in pairs for name in pair):
        if len(name.split()) != 1:
            raise DelfError(f"{name!r} cannot stand in a list of pairs: white space")
    write_text(path, "".join(f"{name0} {name1}\n" for name0, name1 in pairs))


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs; blank lines are passed over.

    Raises:
        DelfError: the file is missing, or a line does not have two names.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DelfError(f"{path} cannot be read: {error}") from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        names = line.split()
        if len(names) not in (0, 2):
            raise DelfError(f"{path}, line {number}: {len(names)} names; a pair has 2")
        if names:
            pairs.append((names[0], names[1]))
    return pairs
