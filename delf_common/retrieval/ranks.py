# SPDX-License-Identifier: Apache-2.0
"""From ranked names to ranks of database images, refusing what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.retrieval.names import NameTable, find_spelling
from delf_common.retrieval.protocols import Protocol
from delf_common.retrieval.queries import GroundTruth, Query


def known_names(ground_truth: GroundTruth, protocol: Protocol) -> tuple[str, ...]:
    """Return the database images, and where they are not listed, all that is named."""
    queries = ground_truth.queries
    if not ground_truth.names:
        return names_in_lists(queries)
    asked = [query.image for query in queries] if protocol.query_in_database else []
    return tuple(dict.fromkeys([*ground_truth.names, *asked]))


def names_in_lists(queries: Iterable[Query]) -> tuple[str, ...]:
    """Return every image that the queries or their lists name, once."""
    names: dict[str, None] = {}
    for query in queries:
        names[query.image] = None
        for members in query.lists.values():
            names.update(dict.fromkeys(members))
    return tuple(names)


def find_keys(
    ground_truth: GroundTruth, rankings: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return the key in ``rankings`` of each query's name, or raise."""
    homes = {query.image: query.name for query in ground_truth.queries}
    if len(homes) < len(ground_truth.queries):
        homes = {}  # one picture asks for two regions: only names tell them apart
    homes.update((query.name, query.name) for query in ground_truth.queries)
    keys: dict[str, str] = {}
    for key in rankings:
        spelling = find_spelling(key, homes)
        if spelling is not None and keys.setdefault(homes[spelling], key) != key:
            other = keys[homes[spelling]]
            raise DelfError(f"{other!r} and {key!r} are rankings of one query")
    missing = [q.name for q in ground_truth.queries if q.name not in keys]
    if missing:
        raise DelfError(
            f"{len(missing)} of {len(ground_truth.queries)} queries have no ranking: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        )
    return keys


def rank_images(
    query: str, ranking: Sequence[str], table: NameTable, closed: bool
) -> NDArray[np.int64]:
    """Return the zero-based rank of every known image, -1 where it is not ranked."""
    numbers = np.fromiter(map(table.__getitem__, ranking), np.int64, len(ranking))
    known = len(table.known)
    if closed and np.any(numbers >= known):
        stranger = ranking[int(np.argmax(numbers >= known))]
        raise DelfError(
            f"the ranking of {query} names {stranger!r}, which is not among the "
            f"{known} database images (distractors must be allowed expressly)"
        )
    twice = np.flatnonzero(np.bincount(numbers, minlength=1) > 1)
    if len(twice):
        first, second = np.flatnonzero(numbers == twice[0])[:2]
        raise DelfError(
            f"the ranking of {query} has one image twice: {ranking[first]!r} at "
            f"rank {first} and {ranking[second]!r} at rank {second}"
        )
    ranks = np.full(known, -1, np.int64)
    places = np.flatnonzero(numbers < known)
    ranks[numbers[places]] = places
    return ranks


def refuse_query(query: Query, ranking: Sequence[str]) -> None:
    """Raise if the query's own picture is ranked though it is not in the database."""
    own = (name for name in ranking if query.image in name)
    if any(find_spelling(name, {query.image}) for name in own):
        raise DelfError(
            f"the ranking of {query.name} has the query itself; in this benchmark the "
            "queries are not in the database"
        )


def refuse_strangers(
    ground_truth: GroundTruth, rankings: Iterable[Sequence[str]]
) -> None:
    """Say how the names differ, where nothing that was ranked is known.

    Rankings that are all empty, and ground truth without any image, pass.
    """
    names = ground_truth.names or names_in_lists(ground_truth.queries)
    ranked = [ranking[0] for ranking in rankings if len(ranking)]
    if ranked and names:
        raise DelfError(
            f"no ranked image occurs in {ground_truth.source}: the rankings have names "
            f"like {ranked[0]!r}, the ground truth like {names[0]!r}"
        )
