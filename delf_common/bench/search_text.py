# SPDX-License-Identifier: Apache-2.0
"""What the figures of the search bench say: lines through them, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

EXACT, CODES, FLAT = "exact", "codes", "faiss flat"


def fit_line(rows: Sequence[dict[str, Any]], way: str) -> dict[str, float]:
    """Fit seconds = start + slope * descriptors; the slope is given for a million."""
    rows = [row for row in rows if way in row["seconds"]]
    points = [(row["descriptors"], row["seconds"][way]) for row in rows]
    counts, seconds = np.array(points).T
    slope, start = np.polyfit(counts / 1e6, seconds, 1)
    return {"start": float(start), "seconds_a_million": float(slope)}


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    lines = [
        f"a query of {result['query_descriptors']} descriptors, distance below "
        f"{result['threshold']}, {result['probes']} probes; processor seconds (all "
        f"threads), medians of "
        f"{result['repeats']} rounds and {result['queries']} queries",
        f"{'images':>8}{'descriptors':>12}{'cells':>7}{'exact':>9}{'flat':>9}"
        f"{'codes':>9}{'times':>7}{'top 100':>9}{'place':>13}{'bytes':>7}"
        f"{'build':>8}{'add':>7}",
    ]
    for row in result["rows"]:
        seconds, recall = row["seconds"], row["recall"]
        building = row["build_seconds"]
        flat = f"{seconds[FLAT]:9.3f}" if FLAT in seconds else f"{'-':>9}"
        place = f"{recall['place_codes']:.2f} of {recall['place_exact']:.2f}"
        lines.append(
            f"{row['images']:8d}{row['descriptors']:12d}{row['cells']:7d}"
            f"{seconds[EXACT]:9.3f}{flat}{seconds[CODES]:9.4f}"
            f"{seconds[EXACT] / seconds[CODES]:7.0f}{recall['top']:9.3f}{place:>13}"
            f"{row['file_bytes_a_descriptor']['codes']:7.1f}{building['codes']:8.1f}"
            f"{building['add_image'] + building['add_codes']:7.2f}"
        )
    for way, fit in result.get("fits", {}).items():
        lines.append(
            f"{way}: {fit['start']:.4f} s + {fit['seconds_a_million']:.4f} s for each "
            f"million descriptors"
        )
    return "\n".join(lines)
