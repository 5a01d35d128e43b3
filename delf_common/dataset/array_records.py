# SPDX-License-Identifier: Apache-2.0
"""Records in an ArrayRecord file: a line of JSON, and the picture's bytes behind it.

Every record is a chunk of its own, uncompressed (JPEGs do not shrink), with a hash that
the reader checks.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from delf_common.errors import DelfError
from delf_common.extras import need
from delf_common.training.records import Record

REMEDY = "fetch it again, or build the shards again"
WRITING = "group_size:1,uncompressed"
RANDOM_ACCESS = "readahead_buffer_size:0,max_parallelism:0"


def encode(record: Record) -> bytes:
    """Turn a record into what a shard holds of it."""
    head = json.dumps({"file_id": record.name, "label": record.label})
    return head.encode() + b"\n" + record.image


def decode(content: bytes) -> Record:
    """Turn what a shard holds back into a record.

    Raises:
        ValueError, KeyError: these are no such bytes.
    """
    head, newline, image = content.partition(b"\n")
    fields = json.loads(head)
    if not newline:
        raise ValueError("no line of JSON before the picture")
    return Record(image, int(fields["label"]), str(fields["file_id"]))


class ArrayRecordShard:
    """A shard being written; use it in a ``with`` block.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        need("array_record")
        from array_record.python.array_record_module import (  # type: ignore[import-untyped, unused-ignore]
            ArrayRecordWriter,
        )

        self.files = [path]
        self._writer = ArrayRecordWriter(str(path), WRITING)

    def __enter__(self) -> ArrayRecordShard:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is buffered."""
        self._writer.close()

    def add(self, record: Record) -> None:
        """Write a record."""
        self._writer.write(encode(record))


class ArrayRecordReader:
    """Random access to a shard; safe to read from threads.

    Args:
        path: of the file. (One that is cut off, or missing, opens with 0 records.)

    Raises:
        DelfError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._reader = _open(path)
            self._count = int(self._reader.num_records())
        except (RuntimeError, ValueError) as error:
            raise DelfError(f"{path} is damaged ({error}); {REMEDY}") from None

    def __len__(self) -> int:
        """How many records the file says it has."""
        return self._count

    def __getitem__(self, index: int) -> Record:
        """Read one record.

        Raises:
            DelfError: it is damaged.
        """
        try:
            return decode(self._reader.read([index])[0])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise DelfError(
                f"{self.path} is damaged at record {index} ({error}); {REMEDY}"
            ) from None


def _open(path: Path) -> Any:
    """Open a shard for random access."""
    need("array_record")
    from array_record.python.array_record_module import (
        ArrayRecordReader as Reader,
    )

    return Reader(str(path), RANDOM_ACCESS, file_reader_buffer_size=1 << 15)
