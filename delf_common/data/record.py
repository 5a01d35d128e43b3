# SPDX-License-Identifier: Apache-2.0
"""What of a folder is complete and verified: one small file, never half written."""

from __future__ import annotations

import dataclasses
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from delf_common.data.checksums import algorithm_of, checksum_of
from delf_common.errors import DelfError
from delf_common.io.atomic import write_text
from delf_common.io.lock import Lock

NAME = "delf_download.json"
LOCK = ".delf_download.lock"


@dataclass(frozen=True)
class Entry:
    """What is known of one file.

    Args:
        url: where it came from.
        length: bytes.
        checksum: "md5:..." or "sha256:...", computed while it arrived.
        published: whether the publisher states this checksum.
        modified: modification time in nanoseconds: a file that was touched since is
            read again before it is trusted.
        unpacked: files that came out of it; None if it was not unpacked.
    """

    url: str
    length: int
    checksum: str
    published: bool
    modified: int = 0
    unpacked: int | None = None


class Record:
    """The record of a folder, open for one process at a time; use it in ``with``.

    Raises:
        DelfError: another process works in the folder, or the record is damaged.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = Lock(folder / LOCK, "delf download")
        self._guard = threading.Lock()
        self._entries = read_entries(folder / NAME)

    def __enter__(self) -> Record:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let other processes in."""
        self._lock.close()

    def get(self, name: str) -> Entry | None:
        """Return what is known of a part."""
        with self._guard:
            return self._entries.get(name)

    def set(self, name: str, entry: Entry | None) -> None:
        """Note a part, or forget it; on disk when this returns."""
        with self._guard:
            if entry is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = entry
            files = {
                key: dataclasses.asdict(self._entries[key])
                for key in sorted(self._entries)
            }
            document = {"version": 1, "files": files}
            write_text(self.folder / NAME, json.dumps(document, indent=1) + "\n")

    def is_intact(self, name: str, path: Path, *, thorough: bool = False) -> bool:
        """Tell whether a noted file is still there as it was.

        Args:
            name: of the part.
            path: of the file.
            thorough: read it, even if length and time are as noted.
        """
        entry = self.get(name)
        if entry is None or not path.is_file():
            return False
        state = path.stat()
        if state.st_size != entry.length:
            return False
        if state.st_mtime_ns == entry.modified and not thorough:
            return True
        if checksum_of(path, algorithm_of(entry.checksum)).text() != entry.checksum:
            return False
        self.set(name, dataclasses.replace(entry, modified=state.st_mtime_ns))
        return True


def read_entries(path: Path) -> dict[str, Entry]:
    """Read a record; empty if there is none."""
    if not path.exists():
        return {}
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {name: Entry(**entry) for name, entry in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DelfError(
            f"{path} is damaged ({error}); remove it: files whose checksum is "
            f"published are then read and noted again, not fetched"
        ) from None
