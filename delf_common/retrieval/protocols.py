# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' protocols as data: what counts, what is ignored, what is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from delf_common.errors import UsageError
from delf_common.retrieval.queries import GroundTruth, Kind

QUERY = "query"  # beside a query's lists: the query's own picture


@dataclass(frozen=True)
class Setup:
    """One way of counting; a protocol has one, or one each for easy, medium, hard.

    Args:
        name: as printed.
        positives: lists whose images are to be found.
        junk: lists whose images are taken out of the ranking. Images in neither are
            wrong answers.
        if_single: the setup to count by instead where ``positives`` has just one entry.
    """

    name: str
    positives: tuple[str, ...]
    junk: tuple[str, ...]
    if_single: Setup | None = None


@dataclass(frozen=True)
class Protocol:
    """A benchmark's rules.

    Args:
        name: as given to ``--protocol``.
        kind: of the ground truth it reads.
        setups: the ways of counting, in the order of printing.
        crop: whether queries are cropped to their region before extraction.
        ks: the k of mP@k and mR@k.
        absent: positives that are not in the ranking are "missed", or "skipped" as if
            the ground truth did not have them.
        query_in_database: False where a query in a ranking is a mistake.
        summary: one line about the rules, for reports.
    """

    name: str
    kind: Kind
    setups: tuple[Setup, ...]
    crop: bool
    ks: tuple[int, ...]
    absent: Literal["missed", "skipped"]
    query_in_database: bool
    summary: str


CLASSIC = Protocol(
    name="classic",
    kind="classic",
    setups=(Setup("all", ("good", "ok"), ("junk",)),),
    crop=True,
    ks=(1, 5, 10),
    absent="missed",
    query_in_database=True,
    summary="good and ok positive, the query's picture among them; junk ignored",
)

REVISITED = Protocol(
    name="revisited",
    kind="revisited",
    setups=(
        Setup("easy", ("easy",), ("junk", "hard")),
        Setup("medium", ("easy", "hard"), ("junk",)),
        Setup("hard", ("hard",), ("junk", "easy")),
    ),
    crop=True,
    ks=(1, 5, 10),
    absent="missed",
    query_in_database=False,
    summary="easy, medium and hard positives; junk ignored; database without queries",
)

ZOO_HARD = Setup("hard", ("ok",), ("junk", QUERY, "good"))

# mindspore-ai/models research/cv/delf/src/dataset.py: the query's own picture counts as
# found; its "easy" falls back to ok images where no good one is in the folder.
MINDSPORE_ZOO = Protocol(
    name="mindspore-zoo",
    kind="classic",
    setups=(
        Setup("easy", (QUERY, "good"), ("junk", "ok"), if_single=ZOO_HARD),
        Setup("medium", (QUERY, "good", "ok"), ("junk",)),
        ZOO_HARD,
    ),
    crop=False,
    ks=(10, 20, 30, 40, 50, 60, 70, 80, 90),
    absent="skipped",
    query_in_database=True,
    summary="as the model zoo's script counted; not comparable with other protocols",
)

MINIBENCH = Protocol(
    name="minibench",
    kind="minibench",
    setups=(Setup("all", ("positives",), ("junk", QUERY)),),
    crop=False,
    ks=(1, 5, 10),
    absent="missed",
    query_in_database=True,
    summary="leave one out: the query's own picture and junk are ignored",
)

PROTOCOLS = {p.name: p for p in (CLASSIC, REVISITED, MINDSPORE_ZOO, MINIBENCH)}


def find_protocol(name: str | None, ground_truth: GroundTruth) -> Protocol:
    """Return the protocol of that name; None takes the first that fits.

    Raises:
        UsageError: there is no such protocol, or it needs other ground truth.
    """
    fitting = [p for p in PROTOCOLS.values() if p.kind == ground_truth.kind]
    if name is None:
        return fitting[0]
    if name not in PROTOCOLS:
        raise UsageError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    check_fit(PROTOCOLS[name], ground_truth)
    return PROTOCOLS[name]


def check_fit(protocol: Protocol, ground_truth: GroundTruth) -> None:
    """Raise UsageError unless the ground truth has the lists the protocol counts."""
    if protocol.kind != ground_truth.kind:
        fitting = [p.name for p in PROTOCOLS.values() if p.kind == ground_truth.kind]
        raise UsageError(
            f"protocol {protocol.name} needs {protocol.kind} ground truth, but "
            f"{ground_truth.source} is {ground_truth.kind}; use {' or '.join(fitting)}"
        )
