# SPDX-License-Identifier: Apache-2.0
"""Judges a comparison of backends, and lays it out for people and machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from delf_common.parity.limits import LIMITS, limit_of
from delf_common.parity.running import Comparison
from delf_common.weights.differences import Difference

Row = dict[str, Any]
SHOWN = 10  # faults of the keypoints that are listed


def judge(found: Comparison, tolerance: float | None) -> list[Row]:
    """One row for each stage, in the network's order.

    Args:
        found: one backend beside the reference.
        tolerance: of every stage, None for each stage's own limit.

    Returns:
        stage, largest difference over the largest value, limit, whether it is within,
        the level where it was seen; keypoints have their faults and counts besides.
    """
    rows = []
    for stage in LIMITS:
        seen = [one for one in found.stages if one.output == stage]
        if seen:
            rows.append(_stage_row(max(seen, key=lambda one: one.relative), tolerance))
    features = found.features
    limit = limit_of("keypoints", tolerance)
    row = _row("keypoints", features.scores, limit)
    row |= dataclasses.asdict(features.keypoints) | {"common": features.common}
    row["within"] &= not features.keypoints.faults
    row["fault_count"] = len(features.keypoints.faults)
    row["faults"] = features.keypoints.faults[:SHOWN]
    rows.append(row)
    limit = limit_of("descriptors", tolerance)
    rows.append(_row("descriptors", features.descriptors, limit))
    return rows


def _stage_row(worst: Difference, tolerance: float | None) -> Row:
    limit = limit_of(worst.output, tolerance)
    return _row(worst.output, worst.relative, limit) | {"level": worst.size}


def _row(stage: str, seen: float, limit: float) -> Row:
    return {"stage": stage, "difference": seen, "limit": limit, "within": seen <= limit}


def first_fault(rows: list[Row]) -> str | None:
    """Name of the lowest stage past its limit, None where all are within."""
    return next((row["stage"] for row in rows if not row["within"]), None)


def format_report(reference: str, judged: Mapping[str, list[Row]]) -> str:
    """Lay the rows of every backend out, with a verdict for each."""
    lines = []
    for name, rows in judged.items():
        lines.append(f"{name} beside {reference}")
        lines.append(f"  {'stage':<12}{'difference':>11}{'limit':>9}  worst level")
        lines += [_format_row(row) for row in rows]
        lines.append(f"  {verdict(reference, name, rows)}")
    return "\n".join(lines)


def _format_row(row: Row) -> str:
    text = f"  {row['stage']:<12}{row['difference']:>11.1e}{row['limit']:>9.0e}  "
    if "level" in row:
        text += f"{row['level'][0]}x{row['level'][1]}"
    if "firm" in row:
        total = row["firm"] + row["free"]
        text += f"{row['common']} of {total} in both"
        text += f", {row['tied']} of equal score, {row['free']} at the cut"
    if not row["within"]:
        text += "  TOO LARGE"
    return "\n".join([text.rstrip(), *_format_faults(row)])


def _format_faults(row: Row) -> list[str]:
    faults, count = row.get("faults", ())[:3], row.get("fault_count", 0)
    rest = [f"    and {count - len(faults)} more"] if count > len(faults) else []
    return [f"    {fault}" for fault in faults] + rest


def verdict(reference: str, name: str, rows: list[Row]) -> str:
    """Say in a line whether a backend agrees, and where it parts if not."""
    stage = first_fault(rows)
    if stage is None:
        return f"{name} agrees with {reference}"
    return f"{name} does NOT agree with {reference}: they part at {stage}"
