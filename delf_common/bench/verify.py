# SPDX-License-Identifier: Apache-2.0
"""Geometric verification against scikit-image's RANSAC, on pairs with a known truth."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.config import VerifyConfig
from delf_common.matching.verification import verify

WIDTH, HEIGHT = 1024, 768
COUNTS = (300, 1000)
INLIER_RATIOS = (0.1, 0.2, 0.3, 0.5, 0.8)
NOISE = (2.0, 5.0)  # pixels, range of the standard deviation on each axis
# scikit-image with the settings of published DELF: 3 samples, 20 px, 1000 trials.
METHODS = {
    "scikit-image RANSAC": VerifyConfig(method="ransac"),
    "delf MAGSAC": VerifyConfig(method="magsac"),
    "delf MSAC": VerifyConfig(method="msac"),
}


@dataclass(frozen=True)
class SyntheticPair:
    """Matches of two images, some true to one affine transformation.

    Args:
        keypoints0: (K, 2) float32.
        keypoints1: (K, 2) float32.
        true: (K,) which matches are within 20 px of the transformation.
    """

    keypoints0: NDArray[np.float32]
    keypoints1: NDArray[np.float32]
    true: NDArray[np.bool_]


def make_pair(count: int, inlier_ratio: float, seed: list[int]) -> SyntheticPair:
    """Make matches: a random plausible view, noise, and wrong ones anywhere.

    Args:
        count: K, of true and wrong matches together.
        inlier_ratio: share of true ones.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    angle, tilt = rng.uniform(-0.5, 0.5, 2)
    scale = rng.uniform(0.7, 1.4, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag(scale) @ np.array([[1, tilt], [0, 1]])
    centre = np.array([WIDTH, HEIGHT]) / 2
    points = rng.uniform(0, 1, (count, 2)) * (WIDTH, HEIGHT)
    exact = (points - centre) @ linear.T + centre + rng.uniform(-50, 50, 2)
    seen = exact + rng.normal(0, rng.uniform(*NOISE), exact.shape)
    wrong = rng.permutation(count) >= round(count * inlier_ratio)
    seen[wrong] = rng.uniform(0, 1, (int(wrong.sum()), 2)) * (WIDTH, HEIGHT)
    true = np.linalg.norm(seen - exact, axis=1) < VerifyConfig().residual_threshold
    return SyntheticPair(points.astype(np.float32), seen.astype(np.float32), true)


def run_verify_bench(
    pairs: int = 20, repeats: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Time all methods on the same pairs, turn by turn.

    In each round a method does all pairs of a combination in a row, as a search does.

    Args:
        pairs: for each of the 10 combinations of count and inlier ratio. A pair with
            10 % true matches is found or lost as a whole: few pairs make a lottery.
        repeats: timings of each method on each pair.
        seed: of the pairs.

    Returns:
        A row for each combination with the milliseconds of a pair (median of the
        repeats, then over the pairs), mean precision and recall of every method; over
        all pairs the median and the mean (which the slow rows rule); and how many times
        faster than the first each method is by either.
    """
    rows = []
    for count in COUNTS:
        for ratio in INLIER_RATIOS:
            keys = [[seed, count, round(100 * ratio), i] for i in range(pairs)]
            made = [make_pair(count, ratio, key) for key in keys]
            row = {name: measure(made, config) for name, config in METHODS.items()}
            for _ in range(repeats - 1):  # turn by turn: all see the same machine
                for name, config in METHODS.items():
                    row[name]["timings"] += measure(made, config)["timings"]
            rows.append({"matches": count, "inlier_ratio": ratio, **row})
    return summarise(rows)


def measure(pairs: list[SyntheticPair], config: VerifyConfig) -> dict[str, Any]:
    """Milliseconds of every call in a round, mean precision and recall."""
    milliseconds, precision, recall = [], [], []
    for pair in pairs:
        begin = time.perf_counter()
        found = verify(pair.keypoints0, pair.keypoints1, config)
        milliseconds.append(1000 * (time.perf_counter() - begin))
        right = (found.inliers & pair.true).sum()
        precision.append(right / max(found.num_inliers, 1))
        recall.append(right / pair.true.sum())
    return {
        "timings": [milliseconds],
        "precision": statistics.mean(precision),
        "recall": statistics.mean(recall),
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians a row, figures over the rows, and how many times faster ours are."""
    every: dict[str, list[float]] = {name: [] for name in METHODS}
    for row in rows:
        for name in METHODS:
            of_pairs = np.median(row[name].pop("timings"), axis=0).tolist()
            every[name] += of_pairs
            row[name]["milliseconds"] = statistics.median(of_pairs)
    totals = {
        name: {
            "milliseconds": statistics.median(every[name]),
            "mean_milliseconds": statistics.mean(every[name]),
            "precision": statistics.mean(row[name]["precision"] for row in rows),
            "recall": statistics.mean(row[name]["recall"] for row in rows),
        }
        for name in METHODS
    }
    slow, *_ = totals.values()
    for row in totals.values():
        row["times_faster"] = slow["milliseconds"] / row["milliseconds"]
        row["times_faster_mean"] = slow["mean_milliseconds"] / row["mean_milliseconds"]
    return {"rows": rows, "all": totals}


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    names = list(METHODS)
    head = "matches  true   " + "   ".join(f"{name:>31}" for name in names)
    units = " " * 16 + "   ".join(
        ["ms  precision  recall  times".rjust(31)] * len(names)
    )
    rows = [
        (f"{row['matches']:7d}  {row['inlier_ratio']:4.0%}", row)
        for row in result["rows"]
    ]
    means = {
        name: {**row, "milliseconds": row["mean_milliseconds"]}
        for name, row in result["all"].items()
    }
    lines = [head, units]
    for label, row in [*rows, ("all, median", result["all"]), ("all, mean", means)]:
        cells = "   ".join(format_cell(row[name], row[names[0]]) for name in names)
        lines.append(f"{label:<16}{cells}")
    return "\n".join(lines)


def format_cell(method: dict[str, float], slow: dict[str, float]) -> str:
    """One method's figures in one row."""
    times = slow["milliseconds"] / method["milliseconds"]
    return (
        f"{method['milliseconds']:10.3f} {method['precision']:7.3f} "
        f"{method['recall']:6.3f} {times:5.0f}"
    )
