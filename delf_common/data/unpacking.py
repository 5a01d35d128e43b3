# SPDX-License-Identifier: Apache-2.0
"""Unpack an archive so that no half-written file ever has its name.

All files first go to a hidden folder beside their place. When the last one is there,
each is renamed into place. After a kill it is done again, with the same result.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from delf_common.data.archives import Member, members, named_damage
from delf_common.data.sources import Part
from delf_common.errors import DelfError

COPY_BYTES = 2**20


def unpack(
    part: Part, archive: Path, folder: Path, check: Callable[[], None] = lambda: None
) -> int:
    """Unpack an archive as its part says; return the number of files.

    Args:
        part: kind of archive, and how its files are named.
        archive: the file.
        folder: where the files go.
        check: called before every file; may raise to stop.

    Raises:
        DelfError: a member is unsafe, two would get one name, or the archive is
            damaged (DamagedArchive). Nothing is in the folder then that was not there.
        OSError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".unpacking-{archive.name}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        names = write_members(part, archive, beside, check)
        for name in names:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (beside / name).replace(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return len(names)


def write_members(
    part: Part, archive: Path, beside: Path, check: Callable[[], None]
) -> list[PurePosixPath]:
    """Write every file that is wanted below a folder; return the names."""
    names: dict[PurePosixPath, None] = {}
    with named_damage(archive):
        for member in members(archive, part.kind):
            check()
            name = name_in_folder(part, member.path)
            if name is None:
                continue
            if name in names:
                raise DelfError(f"{archive}: two of its files would be {name}")
            names[name] = None
            write_member(member, beside / name)
    return list(names)


def name_in_folder(part: Part, path: PurePosixPath) -> PurePosixPath | None:
    """Return where a file goes below the folder; None if it is left out."""
    if path.name in part.leave_out:
        return None
    if part.flatten:
        return PurePosixPath(path.name)
    kept = path.parts[part.strip :]
    return PurePosixPath(*kept) if kept else None


def write_member(member: Member, path: Path) -> None:
    """Write one file; refuse one that cannot fit before a byte of it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.length > shutil.disk_usage(path.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with path.open("xb") as file:
        shutil.copyfileobj(member.content, file, COPY_BYTES)
