# SPDX-License-Identifier: Apache-2.0
"""Code an index: learn cells and codes from some descriptors, then code all of them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from delf_common.config import CodesConfig
from delf_common.errors import DelfError, UsageError
from delf_common.io.atomic import replacing
from delf_common.retrieval.codes import (
    MARK,
    codes_path,
    fingerprint,
    import_faiss,
    read_foot,
    read_quantizer,
)
from delf_common.retrieval.index import Index

BLOCK_ROWS = 65536
CODE_BITS = 8
LEAST_TRAINING = 2**CODE_BITS  # descriptors, to learn 256 values of a code's byte
LARGEST_CELLS = 2**18
ITERATIONS = 10


def build_codes(path: Path, config: CodesConfig) -> dict[str, Any]:
    """Write the codes of an index beside it, from nothing.

    The same index and settings give the same bytes.

    Args:
        path: of the index.
        config: cells, bytes, seed.

    Returns:
        What the codes say of themselves.

    Raises:
        DelfError: the index has too few descriptors to learn from, or faiss is missing.
        UsageError: the bytes do not divide the dimension, or there are more cells than
            descriptors.
    """
    with Index(path) as index:
        info = choose_settings(index, config)
        quantizer = learn(index, info)
        code(quantizer, index, first=0)
        return write_codes(index, quantizer, info)


def extend_codes(path: Path, images: int) -> dict[str, Any]:
    """Code the images that an index got since its codes were written; learn nothing.

    Args:
        path: of the index, which begins with what was coded.
        images: how many of its images the codes hold.

    Raises:
        DelfError: the codes hold another number of descriptors.
    """
    with Index(path) as index:
        info = read_foot(codes_path(path))
        quantizer = read_quantizer(codes_path(path))
        if quantizer.ntotal != index.offsets[images]:
            raise DelfError(
                f"{codes_path(path)} codes {quantizer.ntotal} descriptors, not the "
                f"{index.offsets[images]} of the first {images} images"
            )
        code(quantizer, index, first=images)
        return write_codes(index, quantizer, info)


def choose_settings(index: Index, config: CodesConfig) -> dict[str, Any]:
    """Settle what is "auto", and check that the index allows it."""
    count, dimension = index.num_features, index.dimension
    if count < LEAST_TRAINING:
        raise DelfError(
            f"{index.path} has {count} descriptors; codes are learned from at least "
            f"{LEAST_TRAINING}, and so few are searched exactly in no time: leave "
            f"--codes pq away"
        )
    cells = auto_cells(count) if config.cells == "auto" else config.cells
    if cells > min(count, LARGEST_CELLS):
        limit = min(count, LARGEST_CELLS)
        raise UsageError(f"--cells {cells}: there can be at most {limit} here")
    divisors = [n for n in range(1, dimension + 1) if dimension % n == 0]
    code_bytes = config.code_bytes
    if code_bytes == "auto":
        code_bytes = max(n for n in divisors if n <= max(dimension // 2, 1))
    if code_bytes not in divisors:
        raise UsageError(
            f"--code_bytes {code_bytes} does not divide the {dimension} dimensions of "
            f"the descriptors; possible are {', '.join(map(str, divisors))}"
        )
    sampled = min(count, max(cells * config.descriptors_per_cell, LEAST_TRAINING))
    settings = dataclasses.asdict(config)
    chosen = {"cells": cells, "code_bytes": code_bytes, "learned_from": sampled}
    return settings | chosen


def auto_cells(count: int) -> int:
    """Power of 2 nearest to 4 * sqrt(count), so that cells grow as their content."""
    return int(min(2 ** round(math.log2(4 * math.sqrt(count))), count, LARGEST_CELLS))


def learn(index: Index, info: dict[str, Any]) -> Any:
    """Learn cells by spherical k-means and codes of what cells leave, from a draw."""
    faiss = import_faiss()
    dimension = index.dimension
    coarse = faiss.IndexFlatIP(dimension)
    quantizer = faiss.IndexIVFPQ(
        coarse,
        dimension,
        info["cells"],
        info["code_bytes"],
        CODE_BITS,
        faiss.METRIC_INNER_PRODUCT,
    )
    quantizer.by_residual = True
    for clustering in (quantizer.cp, quantizer.pq.cp):
        clustering.seed = info["codes_seed"]
        clustering.min_points_per_centroid = 1  # faiss only warns of fewer
    quantizer.cp.niter = ITERATIONS
    quantizer.train(draw(index, info["learned_from"], info["codes_seed"]))
    return quantizer


def draw(index: Index, count: int, seed: int) -> NDArray[np.float32]:
    """(count, D) float32 descriptors of the whole index, drawn without repeats."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(index.num_features, count, replace=False))
    parts = []
    for first, after, block in index.descriptor_blocks(BLOCK_ROWS):
        begin, end = np.searchsorted(rows, index.offsets[[first, after]])
        parts.append(block[rows[begin:end] - index.offsets[first]])
    return np.concatenate(parts)


def code(quantizer: Any, index: Index, first: int) -> None:
    """Code all descriptors from an image on; each bears the number of its image."""
    rows = index.num_features - int(index.offsets[first])
    with tqdm(total=rows, desc="code", unit="descriptor", disable=None) as bar:
        for begin, after, block in index.descriptor_blocks(BLOCK_ROWS, first):
            counts = np.diff(index.offsets[begin : after + 1])
            images = np.repeat(np.arange(begin, after), counts)
            if len(images):
                quantizer.add_with_ids(block, images)
            bar.update(len(images))


def write_codes(index: Index, quantizer: Any, info: dict[str, Any]) -> dict[str, Any]:
    """Write the file beside its name, then rename it."""
    faiss = import_faiss()
    info = info | {
        "images": len(index),
        "descriptors": index.num_features,
        "index_sha256": fingerprint(index),
        "faiss": faiss.__version__,
    }
    text = json.dumps(info, sort_keys=True).encode()
    with replacing(codes_path(index.path)) as temporary:
        faiss.write_index(quantizer, str(temporary))
        with temporary.open("ab") as file:
            file.write(text + len(text).to_bytes(8, "little") + MARK)
    return info
