# SPDX-License-Identifier: Apache-2.0
"""Sizes of photographs for features that were stored without them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.feature_set import FeatureSet
from delf_common.io.image_list import find_named
from delf_common.io.images import read_size
from delf_common.io.matches_file import Pair
from delf_common.matching.matcher import ImageMatch


@dataclass(frozen=True)
class SizedSet:
    """Features of another set; sizes it does not know come from the photographs.

    Args:
        features: the other set.
        image_root: folder that the names are relative to; None leaves it as it is.
    """

    features: FeatureSet
    image_root: Path | None

    def names(self) -> list[str]:
        """Images that have features, sorted."""
        return self.features.names()

    def read(self, name: str) -> Features:
        """Features of one image; DelfError if its photograph is needed and missing."""
        found = self.features.read(name)
        if found.image_size != (0, 0) or self.image_root is None:
            return found
        photograph = find_named(self.image_root, name)
        if photograph is None:
            raise DelfError(f"{self.image_root} has no photograph {name}")
        return dataclasses.replace(found, image_size=read_size(photograph))

    def pairs(self) -> list[Pair]:
        """Pairs that were matched."""
        return self.features.pairs()

    def match(self, pair: Pair) -> ImageMatch:
        """Matches of one pair."""
        return self.features.match(pair)
