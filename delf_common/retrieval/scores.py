# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation, and what is needed to quote them."""

from __future__ import annotations

from dataclasses import dataclass

from delf_common.retrieval.protocols import Protocol


@dataclass(frozen=True)
class QueryScore:
    """Figures of one query, 0 to 1; all NaN where it has no positives.

    Args:
        query: its name.
        num_positives: how many there were to find.
        num_found: how many of them were in the ranking.
        average_precision: as in metrics.py.
        precisions: one for each k of the protocol.
        recalls: one for each k of the protocol.
    """

    query: str
    num_positives: int
    num_found: int
    average_precision: float
    precisions: tuple[float, ...]
    recalls: tuple[float, ...]


@dataclass(frozen=True)
class SetupScore:
    """Means over the queries that have positives, 0 to 1; NaN where none has.

    Args:
        name: of the setup: "all", or "easy", "medium", "hard".
        mean_average_precision: mAP.
        mean_precisions: mP@k for each k of the protocol.
        mean_recalls: mR@k for each k of the protocol.
        queries: the scores of every query, also of those without positives.
    """

    name: str
    mean_average_precision: float
    mean_precisions: tuple[float, ...]
    mean_recalls: tuple[float, ...]
    queries: tuple[QueryScore, ...]

    @property
    def num_counted(self) -> int:
        """Return the number of queries that have positives."""
        return sum(query.num_positives > 0 for query in self.queries)


@dataclass(frozen=True)
class Evaluation:
    """All figures of some rankings, with what is needed to quote them.

    Args:
        protocol: by which was counted.
        cropped: whether the queries were cropped; None where that is not known.
        setups: one score for each of the protocol's setups.
    """

    protocol: Protocol
    cropped: bool | None
    setups: tuple[SetupScore, ...]
