# SPDX-License-Identifier: Apache-2.0
"""Download many parts at once; at the end name what failed, and how to repeat it."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from delf_common.data.getting import Getter, Wishes
from delf_common.data.progress import Progress, in_units
from delf_common.data.record import Record
from delf_common.data.retrying import Stopped
from delf_common.data.sources import Part
from delf_common.errors import DelfError

SPARE_BYTES = 10**9  # of free space are left alone when a large job is planned


def download(
    parts: Sequence[Part],
    folder: Path,
    wishes: Wishes,
    jobs: int,
    command: Callable[[Sequence[str]], str],
) -> None:
    """Bring all parts to the folder; finish the others when one fails.

    Args:
        parts: what to download.
        folder: where to.
        wishes: of the caller.
        jobs: parts at once.
        command: makes the shell command that repeats the parts of the given names.

    Raises:
        DelfError: parts failed (lists each with its reason and its command), the disk
            is too small, or another process works in the folder.
    """
    with Record(folder) as record:
        check_space(parts, folder, record, wishes, jobs)
        failures = run(parts, folder, record, wishes, jobs)
    if failures:
        raise DelfError(report(parts, failures, command))


def run(
    parts: Sequence[Part], folder: Path, record: Record, wishes: Wishes, jobs: int
) -> dict[str, str]:
    """Get the parts; return the failed ones' reasons by name."""
    stop = threading.Event()
    failures: dict[str, str] = {}
    total = sum(part.size or 0 for part in parts)
    with Progress(total, len(parts)) as progress, ThreadPoolExecutor(jobs) as pool:
        getter = Getter(folder, record, wishes, progress, stop)
        waiting = {pool.submit(getter.get, part): part for part in parts}
        try:
            for future in as_completed(waiting):
                error = future.exception()
                if error is not None:
                    name = waiting[future].name
                    failures[name] = reason(error, stop)
                    progress.say(f"FAILED {name}: {failures[name]}")
        except BaseException:  # Ctrl-C: keep what is there, wait for no server
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def reason(error: BaseException, stop: threading.Event) -> str:
    """Say why a part failed; a full disk ends the whole job."""
    if isinstance(error, Stopped):
        return "not finished, as the job ended; what has arrived is kept"
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            stop.set()
            return "no space left on the disk; what has arrived is kept"
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if isinstance(error, DelfError):
        return str(error)
    stop.set()
    raise error


def check_space(
    parts: Sequence[Part], folder: Path, record: Record, wishes: Wishes, jobs: int
) -> None:
    """Raise DelfError unless what is missing fits on the disk, as far as is known."""
    needed = space_needed(parts, folder, record, wishes, jobs)
    free = shutil.disk_usage(folder).free
    spare = min(SPARE_BYTES, needed)
    if needed + spare <= free:
        return
    hint = (
        "choose a larger disk with --output_directory, or fewer archives with --first "
        "and --last"
    )
    if wishes.extract and not wishes.remove_archives:
        hint += ", or remove archives once they are unpacked with --remove_archives"
    raise DelfError(
        f"{folder} has {in_units(free)} free, but {in_units(needed)} are to come (and "
        f"{in_units(spare)} are to stay free): {hint}"
    )


def space_needed(
    parts: Sequence[Part], folder: Path, record: Record, wishes: Wishes, jobs: int
) -> int:
    """Return the bytes that are to come; what is unpacked counts as its archive."""
    archives = unpacked = largest = 0
    for part in parts:
        size, entry = part.size or 0, record.get(part.name)
        unpacks = wishes.extract and part.unpack is not None
        if entry and entry.unpacked is not None:
            continue
        path = folder / part.path
        partial = path.with_name(f".{path.name}.part")
        there = next((p.stat().st_size for p in (path, partial) if p.exists()), 0)
        archives += max(size - there, 0)
        if unpacks:
            unpacked += size
            largest = max(largest, size)
    if wishes.extract and wishes.remove_archives:
        return min(archives, jobs * largest) + unpacked
    return archives + unpacked


def report(
    parts: Sequence[Part],
    failures: dict[str, str],
    command: Callable[[Sequence[str]], str],
) -> str:
    """Return the list of failures, each with the command that repeats just it."""
    lines = [f"{len(failures)} of {len(parts)} files failed; the others are complete."]
    for part in parts:
        if part.name in failures:
            lines.append(f"  {part.name}: {failures[part.name]}")
            lines.append(f"    {command([part.name])}")
    return "\n".join(lines)
