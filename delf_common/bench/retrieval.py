# SPDX-License-Identifier: Apache-2.0
"""mAP of DELF beside two baselines, on one set of photographs, by one script."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from delf_common.bench.baselines import (
    SIFT_MATCHING,
    extract_rootsift,
    pool_gem,
    rank_by_cosine,
    rank_by_inliers,
)
from delf_common.config import MatchConfig, SearchConfig, VerifyConfig
from delf_common.extraction.extractor import Extractor
from delf_common.features import Features
from delf_common.io.images import read_image
from delf_common.retrieval.evaluation import evaluate_rankings
from delf_common.retrieval.ground_truth import read_ground_truth
from delf_common.retrieval.index import Index, write_index
from delf_common.retrieval.protocols import find_protocol
from delf_common.retrieval.search import search

Rankings = dict[str, list[str]]


def run_retrieval_bench(
    ground_truth_file: Path,
    images: Path,
    extractor: Extractor,
    folder: Path,
    match_config: MatchConfig,
    verify_config: VerifyConfig,
) -> dict[str, Any]:
    """Measure DELF, rootSIFT and GeM by a leave-one-out ground truth.

    Args:
        ground_truth_file: a ``gnd.json``.
        images: folder of its pictures.
        extractor: network and settings.
        folder: for the index.
        match_config: of DELF; rootSIFT has its own.
        verify_config: of DELF and rootSIFT.

    Returns:
        For each method mAP in percent and seconds of the whole run.
    """
    truth = read_ground_truth(ground_truth_file)
    protocol = find_protocol("minibench", truth)
    names = sorted(truth.names)
    queries = [query.image for query in truth.queries]
    pictures = [images / name for name in names]

    def delf() -> Rankings:
        entries = zip(names, map_images(pictures, one(extractor), "DELF"), strict=True)
        path = folder / "bench.index"
        write_index(path, entries, {}, extractor.dimension)
        with Index(path) as index:
            return rank_queries(index, queries, match_config, verify_config)

    def rootsift() -> Rankings:
        found = map_images(pictures, extract_rootsift, "rootSIFT")
        database = dict(zip(names, found, strict=True))
        return {
            query: rank_by_inliers(
                database[query], database, SIFT_MATCHING, verify_config
            )
            for query in tqdm(queries, desc="verify all", disable=None)
        }

    def gem() -> Rankings:
        network: Any = extractor.network

        def describe(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            pooled = pool_gem(network.global_maps(image[None], image.shape[:2]))
            return np.asarray(pooled[0])

        table = np.stack(map_images(pictures, describe, "GeM"))
        return {
            query: rank_by_cosine(table[names.index(query)], names, table)
            for query in queries
        }

    methods: dict[str, Callable[[], Rankings]] = {
        f"DELF, {extractor.network.info.name}": delf,
        "rootSIFT 1000, mutual + ratio 0.9": rootsift,
        "global GeM, deepest map of the same backbone": gem,
    }
    results = {}
    for name, rank in methods.items():
        started = time.perf_counter()
        evaluation = evaluate_rankings(truth, rank(), protocol)
        results[name] = {
            "mAP": 100 * evaluation.setups[0].mean_average_precision,
            "seconds": time.perf_counter() - started,
        }
    return {"images": len(names), "queries": len(queries), "methods": results}


def rank_queries(
    index: Index,
    queries: Sequence[str],
    match_config: MatchConfig,
    verify_config: VerifyConfig,
) -> Rankings:
    """Search an index for pictures that are in it themselves."""

    def ranking(query: str) -> list[str]:
        features, config = index.features(query), SearchConfig()
        results = search(index, features, match_config, verify_config, config)
        return [result.name for result in results]

    return {q: ranking(q) for q in tqdm(queries, desc="search", disable=None)}


def one(extractor: Extractor) -> Callable[[Any], Features]:
    """Extract from a single image."""
    return lambda image: extractor.extract_batch([image])[0]


def map_images(
    pictures: Sequence[Path], work: Callable[[Any], Any], title: str
) -> list[Any]:
    """Apply ``work`` to each picture, with a progress bar."""
    bar = tqdm(pictures, desc=title, unit="image", disable=None)
    return [work(read_image(path, max_pixels=10**9)) for path in bar]


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    width = max(map(len, result["methods"]))
    head = f"{result['images']} images, {result['queries']} queries"
    rows = [
        f"{name:<{width}}  {row['mAP']:6.2f}  {row['seconds']:7.1f}"
        for name, row in result["methods"].items()
    ]
    return "\n".join([head, f"{'method':<{width}}     mAP  seconds", *rows])
