# SPDX-License-Identifier: Apache-2.0
"""What an interrupted or finished extraction left, and how to go on from there."""

from __future__ import annotations

import glob
from pathlib import Path

from delf_common.config import JobConfig
from delf_common.errors import DelfError
from delf_common.io.journal import Journal, read_header
from delf_common.io.merging import ADDS


def journal_path(output: Path, part: int) -> Path:
    """Journal of one device's process."""
    return output.with_name(f"{output.name}.journal.{part}")


def find_journals(output: Path) -> list[Path]:
    """Journals that lie beside an output, of this run or an earlier one."""
    return sorted(output.parent.glob(f"{glob.escape(output.name)}.journal.*"))


def prepare_journals(output: Path, job: JobConfig) -> set[str]:
    """Read what an interrupted run left, or remove it.

    Returns:
        Names of the pictures that are done.

    Raises:
        DelfError: there are journals, and the call does not say what to do with them.
    """
    left = find_journals(output)
    if left and not (job.resume or job.overwrite):
        raise DelfError(
            f"{left[0]} was left by an interrupted run: continue it with --resume, or "
            f"begin again with --overwrite"
        )
    if job.overwrite:
        for path in left:
            path.unlink()
        return set()
    return {name for path in left for name in Journal.recover(path)}


def find_earlier(output: Path, job: JobConfig) -> Path | None:
    """Return the finished file to add to, None to begin one.

    An output that an interrupted ``--overwrite`` was to replace is not added to.
    """
    if not (job.resume and output.exists()):
        return None
    headers = [read_header(path)[0] for path in find_journals(output)]
    anew = any(header is not None and header.get(ADDS) is False for header in headers)
    return None if anew else output
