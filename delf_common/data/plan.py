# SPDX-License-Identifier: Apache-2.0
"""Which files of a data set a call asks for."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from urllib.parse import urlsplit

from delf_common.data.sources import GLDV2_TABLES, GLDV2_TARS, Part, parts_of
from delf_common.errors import UsageError

SPLITS = (*GLDV2_TARS, "csv", "ground_truth")
FOUR_TABLES = [name for name, (to, _) in GLDV2_TABLES.items() if to == "train"]


def choose_parts(
    dataset: str,
    *,
    splits: Sequence[str] = ("train", "csv"),
    first: int | None = None,
    last: int | None = None,
    only: Sequence[str] = (),
    mirror: str | None = None,
) -> list[Part]:
    """List the files to download.

    Args:
        dataset: one of ``sources.DATASETS``.
        splits: of GLDv2: train, index, test (their archives and tables), csv (the four
            tables of train), ground_truth.
        first: lowest archive number of GLDv2, from 0.
        last: highest archive number of GLDv2.
        only: names of files; nothing else is listed, and the rest is ignored.
        mirror: address that is put before every host: MIRROR/HOST/PATH.

    Raises:
        UsageError: an unknown name or split, or a number outside the split.
    """
    parts = parts_of(dataset)
    if only:
        parts = named(parts, only)
    elif dataset == "gldv2":
        parts = gldv2_parts(parts, splits, first, last)
    else:
        if first is not None or last is not None:
            raise UsageError(
                f"--first and --last number GLDv2's archives, not {dataset}'s"
            )
        parts = [part for part in parts if not part.optional]
    return [mirrored(part, mirror) for part in parts] if mirror else parts


def named(parts: list[Part], only: Sequence[str]) -> list[Part]:
    """Return the parts with these names, in the order of the data set."""
    names = [part.name for part in parts]
    for name in only:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"--only {name}: no such file; {hint}--dry_run lists the names"
            )
    return [part for part in parts if part.name in only]


def gldv2_parts(
    parts: list[Part], splits: Sequence[str], first: int | None, last: int | None
) -> list[Part]:
    """Return the tables of the splits, then their archives from first to last."""
    for split in splits:
        if split not in SPLITS:
            raise UsageError(f"--splits {split}: choose from {', '.join(SPLITS)}")
    archives: list[str] = []
    for split in splits:
        if split in GLDV2_TARS:
            archives += gldv2_range(split, first, last)
    tables = set(FOUR_TABLES) if "csv" in splits else set()
    tables |= {f"{split}.csv" for split in splits if split in GLDV2_TARS}
    wanted = tables | set(archives)
    return [
        part
        for part in parts
        if part.name in wanted
        or ("ground_truth" in splits and part.path.startswith("ground_truth/"))
    ]


def gldv2_range(split: str, first: int | None, last: int | None) -> list[str]:
    """Return the names of a split's archives from ``first`` to ``last``."""
    highest = GLDV2_TARS[split] - 1
    low = 0 if first is None else first
    high = highest if last is None else last
    if not 0 <= low <= high <= highest:
        raise UsageError(
            f"--first {low} --last {high}: the archives of {split} have the numbers 0 "
            f"to {highest}"
        )
    return [f"{split}/images_{number:03d}.tar" for number in range(low, high + 1)]


def mirrored(part: Part, mirror: str) -> Part:
    """Return the part as a mirror has it: host and path below the mirror's address."""

    def move(url: str) -> str:
        address = urlsplit(url)
        return f"{mirror.rstrip('/')}/{address.netloc}{address.path}"

    return dataclasses.replace(
        part, url=move(part.url), md5_url=move(part.md5_url) if part.md5_url else None
    )
