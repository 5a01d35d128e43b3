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

from delf_common.training.records import Record

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


def open_reader(path: Path) -> Any:
    """Open a shard for random access; its ``read`` may be called from threads.

    Raises:
        RuntimeError, ValueError: it is damaged. (A file cut off, or one that is not
            there, opens with 0 records: compare the count.)
    """
    from array_record.python.array_record_module import (
        ArrayRecordReader,
    )

    return ArrayRecordReader(str(path), RANDOM_ACCESS, file_reader_buffer_size=1 << 15)
