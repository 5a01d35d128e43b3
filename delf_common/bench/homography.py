# SPDX-License-Identifier: Apache-2.0
"""Share of inliers near the true homography, on sequences of photographs."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from delf_common.config import MatchConfig, VerifyConfig
from delf_common.errors import DelfError
from delf_common.extraction.extractor import Extractor
from delf_common.features import Features
from delf_common.io.images import read_image
from delf_common.matching.matcher import match


def transform(
    homography: NDArray[np.float64], points: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Map (N, 2) points x, y by a (3, 3) homography."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ homography.T
    plane: NDArray[np.float64] = mapped[:, :2] / mapped[:, 2:]
    return plane


def run_homography_bench(
    folder: Path,
    extractor: Extractor,
    match_config: MatchConfig,
    verify_config: VerifyConfig,
    tolerance: float = 5.0,
) -> dict[str, Any]:
    """Match every pair of ``pairs.json`` and compare the inliers with the truth.

    Args:
        folder: with ``pairs.json`` (set, a, b, H: names below the set's folder), whose
            3x3 text files map pixels x, y of ``a`` to ``b``.
        extractor: network and settings.
        match_config: which matches are putative.
        verify_config: how they are verified.
        tolerance: pixels of ``b``.

    Returns:
        For each sequence: pairs, median inliers, and the share of all its inliers that
        lie within the tolerance (NaN without inliers).
    """
    try:
        pairs = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DelfError(f"{folder} has no pairs.json; see delf bench --help") from None
    cache: dict[Path, Features] = {}

    def extract(path: Path) -> Features:
        if path not in cache:
            image = read_image(path, max_pixels=extractor.config.max_image_pixels)
            cache[path] = extractor.extract_batch([image])[0]
        return cache[path]

    near: dict[str, list[NDArray[np.bool_]]] = {}
    for pair in tqdm(pairs, desc="pairs", disable=None):
        sequence = folder / pair["set"]
        first, second = extract(sequence / pair["a"]), extract(sequence / pair["b"])
        found = match(first, second, match_config, verify_config)
        rows = found.matches.pairs[found.verification.inliers]
        truth = np.loadtxt(sequence / pair["H"])
        there = transform(truth, first.keypoints[rows[:, 0]])
        errors = np.linalg.norm(there - second.keypoints[rows[:, 1]], axis=1)
        near.setdefault(pair["set"], []).append(errors <= tolerance)
    sequences = {name: summarise(parts) for name, parts in near.items()}
    total = summarise([part for parts in near.values() for part in parts])
    return {"tolerance": tolerance, "sequences": {**sequences, "all": total}}


def summarise(parts: list[NDArray[np.bool_]]) -> dict[str, float]:
    """Pairs, median inliers a pair, share of near ones over all inliers."""
    together = np.concatenate(parts)
    return {
        "pairs": len(parts),
        "median_inliers": statistics.median(map(len, parts)),
        "share": float(together.mean()) if len(together) else float("nan"),
    }


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    head = f"sequence      pairs  inliers  within {result['tolerance']:g} px"
    rows = [
        f"{name:<12} {row['pairs']:6d} {row['median_inliers']:8.0f} "
        f"{100 * row['share']:10.1f} %"
        for name, row in result["sequences"].items()
    ]
    return "\n".join([head, *rows])
