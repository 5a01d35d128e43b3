# SPDX-License-Identifier: Apache-2.0
"""What a download would fetch: addresses and sizes, without touching the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delf_common.data.progress import in_units
from delf_common.data.record import NAME, read_entries
from delf_common.data.sources import Part


def list_parts(parts: Sequence[Part], folder: Path) -> str:
    """Return one line for each part (state, size, checksum, address), and the sum.

    Sizes are those the publishers state; "unknown" where they state none.
    """
    entries = read_entries(folder / NAME)
    lines = []
    for part in parts:
        path = folder / part.path
        if part.name in entries and (
            path.exists() or entries[part.name].unpacked is not None
        ):
            state = "complete"
        elif path.with_name(f".{path.name}.part").exists():
            state = "partly"
        else:
            state = "missing"
        size = in_units(part.size)
        lines.append(f"{state:<8}  {size:>8}  {checked(part):<8}  {part.url}")
    known = [part.size for part in parts if part.size is not None]
    total = f"{len(known)} files, about {in_units(sum(known))}"
    if len(known) < len(parts):
        total += f", and {len(parts) - len(known)} files of unknown size"
    return "\n".join([*lines, f"{total}, into {folder}"])


def checked(part: Part) -> str:
    """Say where the part's checksum comes from."""
    if part.checksum or part.md5_url:
        return "md5"
    return "recorded"
