# SPDX-License-Identifier: Apache-2.0
"""One process at a time in a folder."""

from __future__ import annotations

from pathlib import Path

from delf_common.errors import DelfError


class Lock:
    """A lock on a file, held until it is closed or the process ends.

    Args:
        path: of the file, which stays.
        command: what holds it, for the message.

    Raises:
        DelfError: another process holds it.
    """

    def __init__(self, path: Path, command: str) -> None:
        self._file = path.open("a")
        try:
            import fcntl
        except ImportError:  # Windows: two processes in one folder are not prevented
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise DelfError(
                f"another {command} works in {path.parent}; wait for it, or choose "
                f"another --output_directory"
            ) from None

    def close(self) -> None:
        """Let go."""
        self._file.close()
