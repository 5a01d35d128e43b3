# SPDX-License-Identifier: Apache-2.0
"""mAP of DELF with one setting changed at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from delf_common.bench.rescored import (
    Deepest,
    Scored,
    feature_norm,
    random_attention,
)
from delf_common.bench.retrieval import rank_queries
from delf_common.bench.variants import VARIANTS, Variant
from delf_common.config import MatchConfig, VerifyConfig
from delf_common.errors import UsageError
from delf_common.extraction.extractor import Extractor
from delf_common.features import Features
from delf_common.io.images import read_image
from delf_common.protocols import FeatureNetwork
from delf_common.retrieval.evaluation import evaluate_rankings
from delf_common.retrieval.ground_truth import read_ground_truth
from delf_common.retrieval.index import Index, write_index
from delf_common.retrieval.protocols import find_protocol
from delf_common.retrieval.queries import GroundTruth

Row = dict[str, Any]


def run_ablation(
    ground_truth_file: Path,
    images: Path,
    extractor: Extractor,
    folder: Path,
    match_config: MatchConfig,
    verify_config: VerifyConfig,
    variants: Sequence[Variant] = VARIANTS,
) -> dict[str, Any]:
    """Measure every variant; the network sees each picture once.

    Args:
        ground_truth_file: a ``gnd.json``.
        images: folder of its pictures.
        extractor: network and settings that the variants change; give it a network that
            remembers (`Remembering`), or each variant runs it again.
        folder: for the indexes, one for each way to extract.
        match_config: that the variants change.
        verify_config: the same.
        variants: rows of the table.

    Returns:
        "rows": name, mAP in percent, dimensions and mean keypoints of each variant.
    """
    truth = read_ground_truth(ground_truth_file)
    names = sorted(truth.names)
    ways = {variant.way: extractor_of(extractor, variant) for variant in variants}
    indexes = {way: folder / f"{i}.index" for i, way in enumerate(ways)}
    write_indexes({indexes[way]: ways[way] for way in ways}, images, names)
    rows = []
    for variant in tqdm(variants, desc="search", unit="variant", disable=None):
        with Index(indexes[variant.way]) as index:
            match = dataclasses.replace(match_config, **variant.match)
            verify = dataclasses.replace(verify_config, **variant.verify)
            rows.append(measure(variant.name, index, truth, match, verify))
    return {"images": len(names), "queries": len(truth.queries), "rows": rows}


def measure(
    name: str,
    index: Index,
    truth: GroundTruth,
    match_config: MatchConfig,
    verify_config: VerifyConfig,
) -> Row:
    """One row of the table."""
    queries = [query.image for query in truth.queries]
    rankings = rank_queries(index, queries, match_config, verify_config)
    protocol = find_protocol("minibench", truth)
    setup = evaluate_rankings(truth, rankings, protocol).setups[0]
    return {
        "name": name,
        "mAP": 100 * setup.mean_average_precision,
        "dimensions": index.dimension,
        "keypoints": index.num_features / max(len(index), 1),
    }


def extractor_of(extractor: Extractor, variant: Variant) -> Extractor:
    """Another extractor with the variant's settings, on the same network's maps."""
    network = extractor.network
    scored: FeatureNetwork = network
    if variant.scores == "block4":
        scored = Deepest(network)
    elif variant.scores == "norm":
        scored = Scored(network, feature_norm)
    elif variant.scores == "random":
        scored = Scored(network, random_attention(network, variant.seed))
    # The network is on its canvases and in its precision already.
    changes = {**variant.extract, "canvases": (), "precision": "float32"}
    if variant.scores != "weights":  # the threshold is for the attention of the weights
        changes["score_threshold"] = "none"
    config = dataclasses.replace(extractor.config, **changes)
    return Extractor(scored, config, extractor.pca)


def write_indexes(
    extractors: Mapping[Path, Extractor], images: Path, names: Sequence[str]
) -> None:
    """Extract every picture in all the ways, and write an index for each.

    The features wait in memory as float16, the type of the index.
    """
    found: dict[Path, list[Features]] = {path: [] for path in extractors}
    for name in tqdm(names, desc="extract", unit="image", disable=None):
        picture = read_image(images / name, max_pixels=10**9)
        for path, extractor in extractors.items():
            features = extractor.extract_batch([picture])[0]
            half: Any = features.descriptors.astype(np.float16)
            found[path].append(dataclasses.replace(features, descriptors=half))
    for path, extractor in extractors.items():
        entries = zip(names, found.pop(path), strict=True)
        write_index(path, entries, {}, extractor.dimension)


def choose(beginnings: Sequence[str]) -> list[Variant]:
    """Variants whose name begins with one of these; all for none.

    Raises:
        UsageError: no variant does.
    """
    if not beginnings:
        return list(VARIANTS)
    chosen = [v for v in VARIANTS if v.name.startswith(tuple(beginnings))]
    if not chosen:
        names = "\n  ".join(variant.name for variant in VARIANTS)
        raise UsageError(f"--only {list(beginnings)}: there is only\n  {names}")
    return chosen


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    width = max(len(row["name"]) for row in result["rows"])
    head = f"{result['images']} images, {result['queries']} queries"
    rows = [
        f"{row['name']:<{width}}  {row['mAP']:6.2f}  {row['dimensions']:10d}  "
        f"{row['keypoints']:9.0f}"
        for row in result["rows"]
    ]
    title = f"{'change':<{width}}     mAP  dimensions  keypoints"
    return "\n".join([head, title, *rows])
