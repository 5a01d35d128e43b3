# SPDX-License-Identifier: Apache-2.0
"""Ask an index every query of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

from delf_common.config import MatchConfig, SearchConfig, VerifyConfig
from delf_common.errors import DelfError, UsageError
from delf_common.extraction.extractor import Extractor
from delf_common.features import Features
from delf_common.io.image_list import find_named
from delf_common.io.images import crop_region, read_image
from delf_common.retrieval.index import Index
from delf_common.retrieval.names import find_spelling
from delf_common.retrieval.protocols import Protocol
from delf_common.retrieval.queries import GroundTruth, Query
from delf_common.retrieval.search import Result, search


def rank_queries(
    index: Index,
    ground_truth: GroundTruth,
    protocol: Protocol,
    image_root: Path | None,
    make_extractor: Callable[[], Extractor],
    match_config: MatchConfig,
    verify_config: VerifyConfig,
    config: SearchConfig,
) -> dict[str, list[Result]]:
    """Search the index for every query.

    A query that the protocol does not crop and that is itself in the index is asked
    with its features there; every other one is read from ``image_root``, cropped if the
    protocol says so, and extracted.

    Args:
        index: the database.
        ground_truth: the queries.
        protocol: whether queries are cropped.
        image_root: folder of the queries' pictures, None if all are in the index.
        make_extractor: called once, and only if a query must be extracted.
        match_config: as for `search`.
        verify_config: as for `search`.
        config: as for `search`.

    Returns:
        For each query's name the images of the index, best first.

    Raises:
        UsageError: a query must be extracted and there is no ``image_root``.
        DelfError: a query's picture is not found or cannot be read.
    """
    spellings = index_spellings(index.names)
    extractor: Extractor | None = None
    answers: dict[str, list[Result]] = {}
    for query in tqdm(ground_truth.queries, desc="search", unit="query", disable=None):
        cropped = protocol.crop and query.region is not None
        if not cropped and query.image in spellings:
            features = index.features(spellings[query.image])
        else:
            extractor = extractor or make_extractor()
            features = extract_query(query, cropped, image_root, extractor)
        answers[query.name] = search(
            index, features, match_config, verify_config, config
        )
    return answers


def index_spellings(names: Iterable[str]) -> dict[str, str]:
    """Map every spelling of a name (in full, without folder, without suffix) to it."""
    spellings: dict[str, str] = {}
    for name in names:
        base = name.rpartition("/")[2]
        for form in (base.rpartition(".")[0], base, name):
            spellings[form] = name
    return spellings


def extract_query(
    query: Query, cropped: bool, image_root: Path | None, extractor: Extractor
) -> Features:
    """Read, crop and extract one query."""
    if image_root is None:
        raise UsageError(
            f"the query {query.name} must be extracted from its picture; say where the "
            f"pictures are: --images FOLDER"
        )
    path = find_picture(image_root, query.image)
    image = read_image(path, max_pixels=extractor.config.max_image_pixels)
    if cropped and query.region is not None:
        image = crop_region(image, query.region)
    return extractor.extract_batch([image])[0]


def find_picture(root: Path, name: str) -> Path:
    """Find a picture by the name that the ground truth uses, in a folder or below it.

    Raises:
        DelfError: it is not there.
    """
    direct = find_named(root, name)
    if direct is not None:
        return direct
    for path in sorted(root.rglob("*")):
        if find_spelling(path.name, {name}) and path.is_file():
            return path
    raise DelfError(f"{root} holds no picture called {name}; see --images")
