# SPDX-License-Identifier: Apache-2.0
"""Features of many images and matches of their pairs, wherever they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.matches_file import Pair
from delf_common.matching.matcher import ImageMatch


class FeatureSet(Protocol):
    """What every format is read as, one image and one pair at a time.

    Features come in the file's order, which the matches count in, and need not be
    sorted by score. What a format does not know has a neutral value: scores and scales
    1, descriptors of width 0, image size (0, 0), distances 0.
    """

    def names(self) -> list[str]:
        """Images that have features (perhaps zero of them), sorted."""
        ...

    def read(self, name: str) -> Features:
        """Features of one image; DelfError where they are missing or damaged."""
        ...

    def pairs(self) -> list[Pair]:
        """Pairs of images that were matched, perhaps without success; sorted."""
        ...

    def match(self, pair: Pair) -> ImageMatch:
        """Matches of one of the pairs, by rising row of its first image."""
        ...


def refuse_outside(names: Iterable[str]) -> None:
    """Refuse names that would lead out of a folder: files are written by them.

    Raises:
        DelfError: names an image that is absolute, or has "..".
    """
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise DelfError(f"{name!r} is no name of a file below a folder; rename it")


def dimension_of(features: FeatureSet) -> int:
    """Width D of the descriptors; 0 without descriptors or without keypoints."""
    every = map(features.read, features.names())
    return next((one.descriptors.shape[1] for one in every if len(one)), 0)


def checked_match(
    features: FeatureSet, pair: Pair, counts: dict[str, int]
) -> ImageMatch:
    """Matches of a pair whose rows all exist.

    Args:
        features: where the matches are.
        pair: one of its pairs.
        counts: keypoints of each image.

    Raises:
        DelfError: an image or a keypoint that is matched has no features.
    """
    for name in pair:
        if name not in counts:
            raise DelfError(f"{pair[0]} and {pair[1]}: no features of {name}")
    found = features.match(pair)
    limits = np.array([counts[name] for name in pair])
    rows = found.matches.pairs
    if len(rows) and ((rows < 0) | (rows >= limits)).any():
        raise DelfError(
            f"{pair[0]} and {pair[1]}: matches up to rows {rows.max(0).tolist()} of "
            f"{limits.tolist()} keypoints; matches and features do not belong together"
        )
    return found
