# SPDX-License-Identifier: Apache-2.0
"""An evaluation as a table for people and as JSON; every figure says how it was got."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from delf_common.retrieval.scores import Evaluation, QueryScore, SetupScore


def describe_cropping(evaluation: Evaluation) -> str:
    """Return whether the queries were cropped, in words, and whether they should be."""
    should = evaluation.protocol.crop
    words = {True: "cropped", False: "whole", None: "cropping not stated"}
    said = words[evaluation.cropped]
    return said if evaluation.cropped == should else f"{said} (rule: {words[should]})"


def table(evaluation: Evaluation, *, per_query: bool = False) -> str:
    """Return a table in percent: a row for each setup, then for each query if asked.

    A figure that no query defines is "nan", and a last line says why.
    """
    ks = evaluation.protocol.ks
    columns = [f"mP@{k}" for k in ks] + [f"mR@{k}" for k in ks]
    head = ["protocol", "queries are", "counted", "mAP", *columns]
    rows = [setup_row(evaluation, setup) for setup in evaluation.setups]
    parts = [
        f"{evaluation.protocol.name}: {evaluation.protocol.summary}; percent",
        aligned([head, *rows], words=2),
    ]
    if per_query:
        columns = [f"P@{k}" for k in ks] + [f"R@{k}" for k in ks]
        head = ["protocol", "queries are", "query", "found", "AP", *columns]
        rows = [
            query_row(evaluation, setup, query)
            for setup in evaluation.setups
            for query in setup.queries
        ]
        parts += ["", aligned([head, *rows], words=3)]
    return "\n".join([*parts, *notes(evaluation)])


def setup_row(evaluation: Evaluation, setup: SetupScore) -> list[str]:
    """Return the cells of one setup."""
    return [
        *labels(evaluation, setup),
        f"{setup.num_counted} of {len(setup.queries)}",
        percent(setup.mean_average_precision),
        *map(percent, setup.mean_precisions),
        *map(percent, setup.mean_recalls),
    ]


def query_row(
    evaluation: Evaluation, setup: SetupScore, query: QueryScore
) -> list[str]:
    """Return the cells of one query."""
    return [
        *labels(evaluation, setup),
        query.query,
        f"{query.num_found} of {query.num_positives}",
        percent(query.average_precision),
        *map(percent, query.precisions),
        *map(percent, query.recalls),
    ]


def labels(evaluation: Evaluation, setup: SetupScore) -> list[str]:
    """Return protocol with setup, and cropping."""
    name = evaluation.protocol.name
    full = name if setup.name == "all" else f"{name} {setup.name}"
    return [full, describe_cropping(evaluation)]


def notes(evaluation: Evaluation) -> list[str]:
    """Return a line for each setup in which no query has positives."""
    return [
        f"{setup.name}: no query has positives, so there is no mean"
        for setup in evaluation.setups
        if not setup.num_counted
    ]


def percent(value: float) -> str:
    """Return percent with two decimals; "nan" for what is not defined."""
    return f"{100 * value:.2f}"


def aligned(rows: Sequence[Sequence[str]], words: int) -> str:
    """Return rows as lines; the first ``words`` columns flush left, the rest right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def to_json(evaluation: Evaluation, *, per_query: bool = False) -> dict[str, Any]:
    """Return plain data for ``json.dumps``: fractions of 1; null where undefined."""
    protocol = evaluation.protocol
    return {
        "protocol": protocol.name,
        "query_cropped": evaluation.cropped,
        "protocol_crops_query": protocol.crop,
        "k": list(protocol.ks),
        "setups": {
            setup.name: setup_json(setup, per_query) for setup in evaluation.setups
        },
    }


def setup_json(setup: SetupScore, per_query: bool) -> dict[str, Any]:
    """Return the figures of one setup."""
    content: dict[str, Any] = {
        "queries": len(setup.queries),
        "queries_with_positives": setup.num_counted,
        "mAP": defined(setup.mean_average_precision),
        "mP@k": defined_list(setup.mean_precisions),
        "mR@k": defined_list(setup.mean_recalls),
    }
    if per_query:
        content["per_query"] = {q.query: query_json(q) for q in setup.queries}
    return content


def query_json(query: QueryScore) -> dict[str, Any]:
    """Return the figures of one query."""
    return {
        "positives": query.num_positives,
        "found": query.num_found,
        "AP": defined(query.average_precision),
        "P@k": defined_list(query.precisions),
        "R@k": defined_list(query.recalls),
    }


def defined(value: float) -> float | None:
    """Return the value, or None for NaN, which JSON does not have."""
    return None if math.isnan(value) else value


def defined_list(values: Iterable[float]) -> list[float | None]:
    """Return the values with None for NaN."""
    return [defined(value) for value in values]
