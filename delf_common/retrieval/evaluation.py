# SPDX-License-Identifier: Apache-2.0
"""Score rankings against ground truth by a protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from delf_common.retrieval.metrics import (
    average_precision,
    junk_adjusted_ranks,
    mean_of_defined,
    precision_at,
    recall_at,
)
from delf_common.retrieval.names import NameTable
from delf_common.retrieval.protocols import QUERY, Protocol, Setup, check_fit
from delf_common.retrieval.queries import GroundTruth, Query
from delf_common.retrieval.ranks import (
    find_keys,
    known_names,
    rank_images,
    refuse_query,
    refuse_strangers,
)
from delf_common.retrieval.scores import Evaluation, QueryScore, SetupScore


def evaluate_rankings(
    ground_truth: GroundTruth,
    rankings: Mapping[str, Sequence[str]],
    protocol: Protocol,
    *,
    cropped: bool | None = None,
    distractors: bool = False,
) -> Evaluation:
    """Score rankings.

    Args:
        ground_truth: of the kind the protocol needs.
        rankings: for each query, by name or picture, the database images from best to
            worst; may be cut short or empty. Folders and suffixes that the ground truth
            leaves off may be there (names.py). Further keys are ignored.
        protocol: the rules.
        cropped: whether the queries were cropped, for the report; None if not known.
        distractors: names unknown to the ground truth are wrong answers (such as the
            million distractors) and not a mistake.

    Raises:
        UsageError: the protocol needs other ground truth.
        DelfError: a query has no ranking, or a ranking has a name twice, or one that is
            not in the database; or no ranked name at all occurs in the ground truth.
    """
    check_fit(protocol, ground_truth)
    table = NameTable(known_names(ground_truth, protocol))
    closed = bool(ground_truth.names) and not distractors
    keys = find_keys(ground_truth, rankings)
    ranks = []
    for query in ground_truth.queries:
        ranking = rankings[keys[query.name]]
        if not protocol.query_in_database:
            refuse_query(query, ranking)
        ranks.append(rank_images(query.name, ranking, table, closed))
    if not any(np.any(row >= 0) for row in ranks):
        refuse_strangers(ground_truth, [rankings[key] for key in keys.values()])
    setups = (
        score_setup(setup, protocol, ground_truth.queries, ranks, table)
        for setup in protocol.setups
    )
    return Evaluation(protocol, cropped, tuple(setups))


def score_setup(
    setup: Setup,
    protocol: Protocol,
    queries: Sequence[Query],
    ranks: Sequence[NDArray[np.int64]],
    table: NameTable,
) -> SetupScore:
    """Score every query by one setup, and take the means."""
    scores = tuple(
        score_query(setup, protocol, query, row, table)
        for query, row in zip(queries, ranks, strict=True)
    )
    columns = range(len(protocol.ks))
    return SetupScore(
        setup.name,
        mean_of_defined(score.average_precision for score in scores),
        tuple(mean_of_defined(s.precisions[i] for s in scores) for i in columns),
        tuple(mean_of_defined(s.recalls[i] for s in scores) for i in columns),
        scores,
    )


def score_query(
    setup: Setup,
    protocol: Protocol,
    query: Query,
    ranks: NDArray[np.int64],
    table: NameTable,
) -> QueryScore:
    """Score one query; ``ranks`` are those of `rank_images`."""
    positives = [table[name] for name in members(query, setup.positives)]
    if protocol.absent == "skipped":
        positives = [number for number in positives if ranks[number] >= 0]
    # The repeat counts: the zoo's list has the query twice where good names it too.
    if setup.if_single is not None and len(positives) == 1:
        return score_query(setup.if_single, protocol, query, ranks, table)
    junk = {table[name] for name in members(query, setup.junk)}
    # An image in both is ignored but still missing, as in VGG's compute_ap program.
    found = ranked(set(positives) - junk, ranks)
    adjusted = junk_adjusted_ranks(found, ranked(junk, ranks))
    count = len(set(positives))
    return QueryScore(
        query.name,
        count,
        len(found),
        average_precision(adjusted, count),
        tuple(precision_at(adjusted, protocol.ks, count).tolist()),
        tuple(recall_at(adjusted, protocol.ks, count).tolist()),
    )


def members(query: Query, labels: Iterable[str]) -> list[str]:
    """Return the images of several lists, one after the other."""
    lists = {**query.lists, QUERY: (query.image,)}
    return [name for label in labels for name in lists[label]]


def ranked(numbers: Iterable[int], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ranks of those images that have one."""
    chosen = ranks[np.fromiter(numbers, np.int64)]
    return chosen[chosen >= 0]
