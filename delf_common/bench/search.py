# SPDX-License-Identifier: Apache-2.0
"""Votes of a query in synthetic collections: exact, by codes, by faiss' flat index."""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.bench.search_text import CODES, EXACT, FLAT, fit_line
from delf_common.bench.synthetic import SyntheticCollection
from delf_common.bench.timing import time_in_turn
from delf_common.config import CodesConfig, MatchConfig, SearchConfig
from delf_common.retrieval.codes import Codes, codes_path, count_votes_by_codes
from delf_common.retrieval.coding import build_codes, extend_codes
from delf_common.retrieval.exact import count_votes
from delf_common.retrieval.index import Index, extend_index, write_index

QUERY_DESCRIPTORS = 1000
TOP = 100
INFO = {"weights": "synthetic", "config": {}}
Votes = NDArray[np.int64]


def run_search_bench(
    sizes: Sequence[int],
    descriptors: int,
    queries: int,
    repeats: int,
    config: SearchConfig,
    folder: Path,
) -> dict[str, Any]:
    """Build an index and codes of every size, and time the votes of the same queries.

    All ways count the same: query descriptors with one of the image below the default
    distance. faiss' flat index does it by ``range_search`` at that threshold over the
    same (float16) numbers in float32; it is left out where they do not fit in half of
    the free memory. Geometry is not part of the times. All times are the processor's,
    of all threads: the same on a busy machine, and one thread's seconds where
    OMP_NUM_THREADS=1.

    Args:
        sizes: images of each collection.
        descriptors: of a database image; a query has 1000.
        queries: of each collection; each is of one of its places, and not in it.
        repeats: rounds over the ways; medians over rounds and queries are given.
        config: probes and block size.
        folder: for the files, some of them large.

    Returns:
        A row for each size, and a line fitted through the seconds of each way.
    """
    rows = [
        measure(size, descriptors, queries, repeats, config, folder) for size in sizes
    ]
    result = {
        "query_descriptors": QUERY_DESCRIPTORS,
        "queries": queries,
        "repeats": repeats,
        "threshold": threshold(),
        **dataclasses.asdict(config),
        "rows": rows,
    }
    if len(rows) > 1:
        ways = [way for way in rows[0]["seconds"] if way in rows[1]["seconds"]]
        result["fits"] = {way: fit_line(rows, way) for way in ways}
    return result


def threshold() -> float:
    """Distance below which descriptors are near, by default."""
    return MatchConfig().distance_threshold or 2.0


def measure(
    images: int,
    descriptors: int,
    queries: int,
    repeats: int,
    config: SearchConfig,
    folder: Path,
) -> dict[str, Any]:
    """Build, search and extend one collection; its files are removed."""
    made = SyntheticCollection(images, descriptors)
    asked = dataclasses.replace(made, descriptors=QUERY_DESCRIPTORS)
    path = folder / f"{images}.index"
    building: dict[str, float] = {}
    run_timed(
        building, "index", lambda: write_index(path, made.all_features(), INFO, 112)
    )
    run_timed(building, "codes", lambda: build_codes(path, CodesConfig(codes="pq")))
    with Index(path) as index:
        run_timed(building, "open_codes", lambda: Codes(index))
        rows = [asked.image(images + i) for i in range(queries)]
        seconds, votes = time_queries(index, rows, repeats, config)
        count, info = index.num_features, index.codes.info
    places = [(images + i) % made.places for i in range(queries)]
    relevant = [np.flatnonzero(np.arange(images) % made.places == p) for p in places]
    sizes = {"index": path.stat().st_size, "codes": codes_path(path).stat().st_size}
    new = [("new.jpg", made.features(images + queries))]
    run_timed(building, "add_image", lambda: extend_index(path, new))
    run_timed(building, "add_codes", lambda: extend_codes(path, images))
    path.unlink()
    codes_path(path).unlink()
    return {
        "images": images,
        "descriptors": count,
        "cells": info["cells"],
        "code_bytes": info["code_bytes"],
        "file_bytes_a_descriptor": {n: size / count for n, size in sizes.items()},
        "build_seconds": building,
        "seconds": seconds,
        "recall": compare_votes(votes, relevant),
        "flat_bytes": count * made.dimension * 4 if FLAT in seconds else None,
        "exact_bytes": config.block_rows * (made.dimension + QUERY_DESCRIPTORS) * 4,
    }


def run_timed(times: dict[str, float], name: str, run: Callable[[], object]) -> None:
    """Run, and note the processor's seconds."""
    begin = time.process_time()
    run()
    times[name] = time.process_time() - begin


def time_queries(
    index: Index,
    queries: Sequence[NDArray[np.float32]],
    repeats: int,
    config: SearchConfig,
) -> tuple[dict[str, float], dict[str, list[Votes]]]:
    """Median processor seconds of a query by way, and every way's votes."""
    flat = make_flat(index)
    images = np.repeat(np.arange(len(index)), np.diff(index.offsets))

    def exact(rows: NDArray[np.float32]) -> Votes:
        return count_votes(index, rows, threshold(), config.block_rows)

    def codes(rows: NDArray[np.float32]) -> Votes:
        opened = index.codes
        return count_votes_by_codes(
            opened, len(index), rows, threshold(), config.probes
        )

    def by_flat(rows: NDArray[np.float32]) -> Votes:
        limits, _, found = flat.range_search(rows, 1 - threshold() ** 2 / 2)
        asked = np.repeat(np.arange(len(rows)), np.diff(limits.astype(np.int64)))
        once = np.unique(asked * len(index) + images[found])
        return np.bincount(once % len(index), minlength=len(index))

    ways = {EXACT: exact, CODES: codes} | ({FLAT: by_flat} if flat is not None else {})
    votes: dict[str, list[Votes]] = {name: [] for name in ways}
    times = []
    for query in queries:
        found: dict[str, Votes] = {}
        calls = {n: partial(_vote, way, query, found, n) for n, way in ways.items()}
        times.append(time_in_turn(calls, repeats, time.process_time))
        for name in ways:
            votes[name].append(found[name])
    return {n: statistics.median(t[n] for t in times) for n in ways}, votes


def _vote(
    way: Callable[[NDArray[np.float32]], Votes],
    query: NDArray[np.float32],
    found: dict[str, Votes],
    name: str,
) -> None:
    """Count the votes of a query, and keep them under a name."""
    found[name] = way(query)


def make_flat(index: Index) -> Any:
    """Return faiss' flat index of all descriptors; None if memory is too small."""
    import faiss

    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if index.num_features * index.dimension * 4 > free / 2:
        return None
    flat = faiss.IndexFlatIP(index.dimension)
    for _, _, block in index.descriptor_blocks(65536):
        flat.add(block)
    return flat


def compare_votes(
    votes: dict[str, list[Votes]], relevant: Sequence[NDArray[np.intp]]
) -> dict[str, float]:
    """Say how much of the exact search's answer the codes keep, as means over queries.

    Returns:
        ``top``: share of the codes' 100 best images that have at least as many exact
        votes as the exact search's 100th, so that ties count either way; images without
        any exact vote are never asked for. ``place_exact`` and ``place_codes``: share
        of the place's images among the 100 best.
    """
    shares: dict[str, list[float]] = {"top": [], "place_exact": [], "place_codes": []}
    for exact, codes, place in zip(votes[EXACT], votes[CODES], relevant, strict=True):
        count = min(TOP, int((exact > 0).sum()))
        least = np.sort(exact)[::-1][max(count - 1, 0)]
        best = np.argsort(-codes, kind="stable")
        shares["top"].append(float((exact[best[:count]] >= least).mean()))
        for name, row in (("place_exact", exact), ("place_codes", codes)):
            ranked = np.argsort(-row, kind="stable")[:TOP]
            shares[name].append(float(np.isin(place, ranked).mean()))
    return {name: statistics.mean(values) for name, values in shares.items()}
