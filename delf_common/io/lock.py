# SPDX-License-Identifier: Apache-2.0
"""One process at a time in a folder, or on an output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from delf_common.errors import DelfError


class Lock:
    """A lock on a file, held until it is closed or the process ends.

    Args:
        path: of the file, which stays.
        command: what holds it, for the message.
        busy: the message, if it is not that of a folder's lock.

    Raises:
        DelfError: another process holds it.
    """

    def __init__(self, path: Path, command: str, busy: str = "") -> None:
        self._file = path.open("a")
        try:
            import fcntl
        except ImportError:  # Windows: two processes in one folder are not prevented
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise DelfError(
                busy
                or f"another {command} works in {path.parent}; wait for it, or choose "
                f"another --output_directory"
            ) from None
        except OSError:  # a file system without locks: not prevented either
            return

    def holds(self, path: Path) -> bool:
        """Tell whether the file is still the one of this name."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go."""
        self._file.close()


@contextmanager
def locked_output(output: Path, command: str) -> Iterator[None]:
    """Let no other process write an output; the file of the lock goes at the end.

    Args:
        output: the file to be written; its folder is made.
        command: what holds it, for the message.

    Raises:
        DelfError: another process writes it.
    """
    path = output.with_name(f"{output.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    busy = f"another {command} writes {output}; wait for it, or choose another --output"
    lock = Lock(path, command, busy)
    if not lock.holds(path):  # whoever had it ended just now, and took the file along
        lock.close()
        raise DelfError(busy)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps open files; the next run takes it over
            path.unlink()
        lock.close()
