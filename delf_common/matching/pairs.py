# SPDX-License-Identifier: Apache-2.0
"""Match many pairs of one feature file into one matches file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from delf_common.config import MatchConfig, VerifyConfig
from delf_common.io.feature_file import FeatureReader
from delf_common.io.matches_file import Pair, read_pairs, write_matches
from delf_common.matching.matcher import ImageMatch, match

KEPT_IMAGES = 64  # features held in memory; a list sorted by its first names needs few


@dataclass(frozen=True)
class PairsSummary:
    """What was found: pairs in all, those with a model, matches, inliers."""

    pairs: int
    verified: int
    matches: int
    inliers: int


def match_pairs(
    features: Path,
    pairs: str,
    output: Path,
    match_config: MatchConfig | None = None,
    verify_config: VerifyConfig | None = None,
) -> PairsSummary:
    """Match every pair, and write all matches with the verdict of the geometry.

    Args:
        features: a feature file of ``delf extract``.
        pairs: a text file with two names a line, or "all" for every two images.
        output: the matches file, beside its name and then renamed.
        match_config: which descriptors match.
        verify_config: how they are verified.

    Returns:
        Counts; all 0 for a file of fewer than two images and "all".

    Raises:
        DelfError: an image has no features, or a pair is listed twice.
    """
    counts: list[tuple[bool, int, int]] = []

    def found() -> Iterator[tuple[Pair, int, ImageMatch]]:
        for pair in tqdm(chosen, unit="pair", disable=None):
            one, other = (read(name) for name in pair)
            result = match(one, other, match_config, verify_config)
            verdict = result.verification
            has_model = verdict.model is not None
            counts.append((has_model, len(result.matches), verdict.num_inliers))
            yield pair, len(one), result

    with FeatureReader(features) as reader:
        read = lru_cache(KEPT_IMAGES)(reader.read)
        chosen: Sequence[Pair] = choose_pairs(pairs, reader.names())
        write_matches(output, found(), verified=False)
    sums = np.array(counts, int).reshape(-1, 3).sum(axis=0).tolist()
    return PairsSummary(len(counts), *sums)


def choose_pairs(pairs: str, names: Sequence[str]) -> list[Pair]:
    """Read the list of pairs, or pair every two names."""
    return list(combinations(names, 2)) if pairs == "all" else read_pairs(Path(pairs))
