# SPDX-License-Identifier: Apache-2.0
"""A file that is still arriving: its bytes, its checksum, and which file it is part of.

``.NAME.part`` holds the bytes, ``.NAME.part.json`` what the server said of the whole:
address, length, ETag, date. Only bytes of the same whole are ever joined.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from delf_common.data.checksums import Checksum, checksum_of
from delf_common.io.atomic import write_text


@dataclass(frozen=True)
class Whole:
    """What identifies the file that bytes belong to.

    Args:
        url: the address asked.
        total: length in bytes; None when the server does not say.
        etag: a strong ETag, or "".
        modified: the Last-Modified date, or "".
    """

    url: str
    total: int | None
    etag: str = ""
    modified: str = ""

    @property
    def validator(self) -> str:
        """What If-Range may hold: the ETag, or else the date, or ""."""
        return self.etag or self.modified

    def may_be(self, other: Whole) -> bool:
        """Tell whether nothing speaks against both being the same file."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return all(
            a == b or a in (None, "") or b in (None, "")
            for a, b in zip(mine, theirs, strict=True)
        )


class PartialFile:
    """The bytes so far; use it in a ``with`` block.

    Opening it reads what an earlier run left, once, to rebuild the checksum.

    Args:
        target: name of the finished file.
        algorithm: of the checksum.
    """

    def __init__(self, target: Path, algorithm: str) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self.target = target
        self.algorithm = algorithm
        self.whole = self._read_whole()
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.whole is None:
            self.path.unlink(missing_ok=True)
        self.checksum = Checksum(algorithm)
        self.length = 0
        if self.path.exists():
            self.checksum = checksum_of(self.path, algorithm)
            self.length = self.path.stat().st_size
        self._file: BinaryIO = self.path.open("ab", buffering=0)

    def __enter__(self) -> PartialFile:
        """Return itself; the bytes stay on disk at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; forget an empty one."""
        self._file.close()
        if self.path.exists() and not self.path.stat().st_size:
            self.path.unlink()
            self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def _read_whole(self) -> Whole | None:
        try:
            return Whole(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def start(self, whole: Whole) -> None:
        """Drop all bytes, and note which file the next ones belong to."""
        self._file.truncate(0)
        self.checksum = Checksum(self.algorithm)
        self.length = 0
        write_text(self._note, json.dumps(dataclasses.asdict(whole)) + "\n")
        self.whole = whole

    def append(self, data: bytes) -> None:
        """Write bytes and add them to the checksum."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.checksum.update(data)
        self.length += len(data)

    def head(self, count: int) -> bytes:
        """Return the first bytes."""
        with self.path.open("rb") as file:
            return file.read(count)

    def sync(self) -> None:
        """Return when the bytes are on the disk."""
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Give the file its name; there is no partial file after it."""
        self._file.close()
        self.path.replace(self.target)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Drop all bytes, as they are not those that were asked for."""
        self._file.truncate(0)
        self.checksum = Checksum(self.algorithm)
        self.length = 0
        self.whole = None
        self._note.unlink(missing_ok=True)
