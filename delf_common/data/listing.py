# SPDX-License-Identifier: Apache-2.0
"""What a download would fetch, and what came of it, without touching the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delf_common.data.progress import in_units
from delf_common.data.record import NAME, read_entries
from delf_common.data.sources import IMAGES, Part


def list_parts(parts: Sequence[Part], folder: Path) -> str:
    """Return one line for each part (state, size, checksum, address), and the sum.

    Sizes are those the publishers state, or of the file that is there; "unknown" where
    there is neither.
    """
    entries = read_entries(folder / NAME)
    lines, sizes = [], []
    for part in parts:
        path, entry = folder / part.path, entries.get(part.name)
        if entry and (path.exists() or entry.unpacked is not None):
            state = "complete"
        elif path.with_name(f".{path.name}.part").exists():
            state = "partly"
        else:
            state = "missing"
        sizes.append(entry.length if entry else part.size)
        size = in_units(sizes[-1])
        lines.append(f"{state:<8}  {size:>8}  {checked(part):<8}  {part.url}")
    return "\n".join([*lines, f"{total(sizes)}, into {folder}"])


def total(sizes: Sequence[int | None]) -> str:
    """Say how many files there are, and how large they are together."""
    known = [size for size in sizes if size is not None]
    words = [f"{len(known)} files, about {in_units(sum(known))}"] if known else []
    if len(known) < len(sizes):
        words.append(f"{len(sizes) - len(known)} files of unknown size")
    return ", and ".join(words)


def checked(part: Part) -> str:
    """Say where the part's checksum comes from."""
    if part.checksum or part.md5_url:
        return "md5"
    return "recorded"


def count_images(dataset: str, folder: Path) -> str:
    """Compare the images of a data set with how many are published.

    Returns:
        A line; "" for a data set of which no number is known.
    """
    if dataset not in IMAGES:
        return ""
    name, published = IMAGES[dataset]
    found = len(list((folder / name).glob("*.jpg")))
    words = "as published" if found == published else f"{published} are published"
    return f"{folder / name}: {found} images, {words}"
