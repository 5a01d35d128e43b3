# SPDX-License-Identifier: Apache-2.0
"""hloc's two HDF5 files, features and matches: our own, and those of other methods.

Ours are hloc's with more in them (see feature_file.py); files that hloc wrote lack
scales, sometimes scores and sizes, and the attributes.

Source: cvg/Hierarchical-Localization, hloc/extract_features.py and hloc/utils/io.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from delf_common import __version__
from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.atomic import replacing
from delf_common.io.feature_file import FORMAT, FeatureReader, add_features
from delf_common.io.feature_set import FeatureSet, checked_match, dimension_of
from delf_common.io.matches_file import (
    Pair,
    list_pairs,
    read_matches,
    write_matches,
)
from delf_common.matching.matcher import ImageMatch


@dataclass(frozen=True)
class HlocSet:
    """A feature file, and the matches file that belongs to it or None."""

    features: FeatureReader | ForeignReader
    matches: Path | None

    def names(self) -> list[str]:
        """Images that have features, sorted."""
        return self.features.names()

    def read(self, name: str) -> Features:
        """Features of one image."""
        return self.features.read(name)

    def pairs(self) -> list[Pair]:
        """Pairs of the matches file."""
        return list_pairs(self.matches, self.names()) if self.matches else []

    def match(self, pair: Pair) -> ImageMatch:
        """Matches of one pair."""
        if self.matches is None:
            raise DelfError(f"no matches file was given for {pair[0]} and {pair[1]}")
        return read_matches(self.matches, *pair)


class ForeignReader:
    """A feature file that hloc wrote, or a program that follows it."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file
        self._names: list[str] = []
        file.visititems(self._note)

    def _note(self, name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and name.endswith("/keypoints"):
            self._names.append(name.removesuffix("/keypoints"))

    def names(self) -> list[str]:
        """Images that have features, sorted."""
        return sorted(self._names)

    def read(self, name: str) -> Features:
        """Features of one image, in the file's order.

        Raises:
            DelfError: there are none, or they are damaged.
        """
        try:
            group = self._file[name]
            keypoints = group["keypoints"][()].astype(np.float32)
            count = len(keypoints)
            ones, nothing = np.ones(count, np.float32), np.zeros((0, count))
            values = {key: item[()] for key, item in group.items()}
            width, height = values.get("image_size", np.zeros(2, np.int64)).tolist()
            return Features(
                keypoints,
                np.ascontiguousarray(values.get("descriptors", nothing).T, np.float32),
                values.get("scores", ones).astype(np.float32),
                values.get("scales", ones).astype(np.float32),
                (int(width), int(height)),
            )
        except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            raise DelfError(f"{self.path}: {name} is damaged ({error})") from None


@contextmanager
def open_hloc(features: Path, matches: Path | None = None) -> Iterator[HlocSet]:
    """Open a feature file and the matches file that belongs to it.

    Raises:
        DelfError: a file is missing, is not HDF5, or has no keypoints.
    """
    if matches is not None and not matches.is_file():
        raise DelfError(f"{matches}: there is no such matches file")
    try:
        file = h5py.File(features, "r")
    except OSError as error:
        raise DelfError(f"{features} is not HDF5, or damaged ({error})") from None
    with file:
        if "format" in file.attrs:
            with FeatureReader(features) as reader:
                yield HlocSet(reader, matches)
            return
        foreign = ForeignReader(features, file)
        if not foreign.names():
            raise DelfError(f"{features} has no keypoints of any image")
        yield HlocSet(foreign, matches)


def write_hloc(
    source: FeatureSet, features: Path, matches: Path | None, origin: str
) -> None:
    """Write a feature file, and a matches file if its path is given.

    Args:
        source: what to write; descriptors are stored as float32.
        features: the HDF5 file, beside its name and then renamed.
        matches: likewise, or None to leave the matches out.
        origin: where the features are from, for the file's attributes.

    Raises:
        DelfError: descriptors differ in width; a keypoint of a pair's first image has
            several matches, for which hloc's layout has no place.
    """
    counts: dict[str, int] = {}
    dimension = dimension_of(source)
    info = {
        "weights": origin,
        "weights_sha256": "",
        "backend": "",
        "config": {},
        "dimension": dimension,
        "descriptor_dtype": "float32",
        "version": __version__,
    }
    with replacing(features) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["info"] = json.dumps(info, sort_keys=True)
        for name in source.names():
            one = source.read(name)
            if not len(one):
                one = Features.empty(dimension, one.image_size)
            if one.descriptors.shape[1] != dimension:
                raise DelfError(
                    f"{name} has {one.descriptors.shape[1]}-dimensional descriptors, "
                    f"the images before {dimension}-dimensional ones"
                )
            add_features(file, name, one, "float32")
            counts[name] = len(one)
    if matches is not None:
        write_matches(matches, _entries(source, counts), verified=False)


def _entries(
    source: FeatureSet, counts: dict[str, int]
) -> Iterable[tuple[Pair, int, ImageMatch]]:
    for pair in source.pairs():
        found = checked_match(source, pair, counts)
        rows = found.matches.pairs[:, 0]
        if len(np.unique(rows)) < len(rows):
            raise DelfError(
                f"{pair[0]} and {pair[1]}: a keypoint has several matches, for which "
                f"hloc's layout has no place; match again with --mutual true"
            )
        yield pair, counts[pair[0]], found
