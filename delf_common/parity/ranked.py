# SPDX-License-Identifier: Apache-2.0
"""Compares lists that were sorted by a score, where equal scores leave the order open.

Two backends' scores differ in their last bits, so that members of nearly equal score
change places, and at the end of a list that was cut another member comes in. That is no
difference; everything else is. faiss compares neighbours in the same way.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError

Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Agreement:
    """How far two sorted lists agree.

    Args:
        faults: what is different and may not be, in words; empty where they agree.
        firm: members whose place was compared.
        tied: of those, members that share their place with others of equal score.
        free: members at the cut, of which nothing is asked.
    """

    faults: tuple[str, ...]
    firm: int
    tied: int
    free: int


def compare_ranked(
    wanted: Sequence[Hashable],
    wanted_scores: Scores,
    given: Sequence[Hashable],
    given_scores: Scores,
    gap: float,
    cut: float = -np.inf,
) -> Agreement:
    """Compare members by groups of equal score.

    Args:
        wanted: members of the reference, best first, each once.
        wanted_scores: their scores, falling.
        given: members to judge.
        given_scores: their scores, falling.
        gap: how far two scores of one member may be apart; scores of the reference that
            are within twice of it of their neighbour's form a group.
        cut: score at which the lists end: a threshold, or the last score where a number
            of members ends them. In a group that reaches within twice the gap of it the
            order is free, and so are the members that near to it.

    Raises:
        DelfError: a score is NaN or infinite.
    """
    for scores in (wanted_scores, given_scores):
        if not np.isfinite(scores).all():
            raise DelfError("a score is NaN or infinite")
    faults: list[str] = []
    firm = tied = 0
    for first, last in group_scores(wanted_scores, 2 * gap):
        if wanted_scores[last - 1] <= cut + 2 * gap:
            break
        faults += _compare_group(
            slice(first, last), wanted, wanted_scores, given, given_scores, gap
        )
        firm = last
        tied += last - first if last - first > 1 else 0
    rest = dict(zip(wanted[firm:], wanted_scores[firm:].tolist(), strict=True))
    others = dict(zip(given[firm:], given_scores[firm:].tolist(), strict=True))
    faults += _compare_end(rest, others, gap, cut)
    return Agreement(tuple(faults), firm, tied, len(wanted) - firm)


def group_scores(scores: Scores, distance: float) -> list[tuple[int, int]]:
    """(first, last + 1) of each run of falling scores with no step above a distance."""
    steps = np.flatnonzero(-np.diff(scores.astype(np.float64)) > distance) + 1
    bounds = [0, *steps.tolist(), len(scores)]
    return [(a, b) for a, b in pairwise(bounds) if a < b]


def _compare_end(
    wanted: Mapping[Hashable, float],
    given: Mapping[Hashable, float],
    gap: float,
    cut: float,
) -> list[str]:
    """What differs among the members at the cut, whose order is free."""
    faults = []
    for member, score in wanted.items():
        if member in given and abs(given[member] - score) > gap:
            faults.append(f"scores of {member} are {given[member]:.6g}, {score:.6g}")
        if member not in given and score > cut + 2 * gap:
            faults.append(f"{member} is above the cut, and missing")
    return faults + [
        f"{member} is above the cut, and should not be"
        for member, score in given.items()
        if member not in wanted and score > cut + 3 * gap
    ]


def _compare_group(
    rows: slice,
    wanted: Sequence[Hashable],
    wanted_scores: Scores,
    given: Sequence[Hashable],
    given_scores: Scores,
    gap: float,
) -> list[str]:
    """What differs in one group, in words; nothing for none."""
    missing = set(wanted[rows]) - set(given[rows])
    if missing:
        places = f"{rows.start} to {rows.stop - 1}"
        return [f"{member} is not at places {places}" for member in missing]
    apart = np.abs(given_scores[rows].astype(np.float64) - wanted_scores[rows]).max()
    if apart > gap:
        return [f"scores at place {rows.start} are {apart:.2g} apart, {gap:.2g} may be"]
    return []
