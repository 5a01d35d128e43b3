# SPDX-License-Identifier: Apache-2.0
"""Write a file beside its name, then rename: readers never see half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from delf_common.errors import DelfError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to ``path`` on success.

    On an exception the temporary file is removed and ``path`` stays as it was.
    Missing parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def refuse_existing(path: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Raise unless ``path`` is free, or the caller said what to do with what is there.

    Raises:
        DelfError: the file exists and neither flag is given.
    """
    if path.exists() and not (overwrite or resume):
        raise DelfError(
            f"{path} already exists; replace it with --overwrite, or name another file"
        )
