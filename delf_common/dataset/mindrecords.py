# SPDX-License-Identifier: Apache-2.0
"""Records in MindRecord files: written by MindSpore, read by anybody.

A shard is a header of JSON behind its length, and pages of one size; where each record
lies stands in an SQLite file beside it. The schema is the originals': ``file_id``,
``label``, ``data``. There is no checksum for a record.
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from delf_common.errors import DelfError, ImageError
from delf_common.training.records import Record

SCHEMA = {
    "file_id": {"type": "string"},
    "label": {"type": "int64"},
    "data": {"type": "bytes"},
}
AT_ONCE = 10  # records handed to the library together
LENGTH = struct.Struct("<Q")
LARGEST = (1 << 25) - LENGTH.size  # what a page of 32 MiB can hold
WHERE = (
    "SELECT PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END, label_0, file_id_0 "
    "FROM INDEXES ORDER BY ROW_ID"
)
REMEDY = "fetch it again, or build the shards again"


class MindRecordShard:
    """A shard being written; use it in a ``with`` block.

    Args:
        path: of the file, in a folder of its own.
        names: of all shards of the set, which each of them lists, so that MindDataset
            finds all by one.
        number: which of them this is.

    Raises:
        DelfError: MindSpore is not installed.
    """

    def __init__(self, path: Path, names: Sequence[str], number: int) -> None:
        self.files = [path, path.with_name(f"{path.name}.db")]
        self._names, self._number = list(names), number
        self._rows: list[dict[str, Any]] = []
        self._writer = _import_writer()(str(path), 1)
        self._writer.add_schema(SCHEMA, "GLDv2")
        self._writer.add_index(["file_id", "label"])

    def __enter__(self) -> MindRecordShard:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is buffered, the index, and the names of all shards."""
        if error is None:
            self._flush()
            self._writer.commit()
            list_shards(self.files[0], self._names, self._number)
            for file in self.files:  # the library lets only their owner read them
                file.chmod(file.parent.stat().st_mode & 0o666)

    def add(self, record: Record) -> None:
        """Write a record.

        Raises:
            ImageError: the picture is larger than a page.
        """
        if len(record.image) > LARGEST:
            raise ImageError(
                f"{record.name}: {len(record.image)} bytes, over MindRecord's limit of "
                f"{LARGEST}; --format array_record has none"
            )
        self._rows.append(
            {"file_id": record.name, "label": record.label, "data": record.image}
        )
        if len(self._rows) == AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_raw_data(self._rows)
            self._rows = []


def _import_writer() -> Any:
    """Import MindSpore's writer."""
    try:
        from mindspore.mindrecord import (  # noqa: TID251 (nothing else writes it)
            FileWriter,
        )
    except ImportError as error:
        raise DelfError(
            f"--format mindrecord needs MindSpore ({error}): pip install "
            "'delf-retrieval[ms]', or build --format array_record, which both backends "
            "read"
        ) from None
    return FileWriter


def read_header(path: Path) -> dict[str, Any]:
    """Read a shard's header.

    Raises:
        ValueError: there is none.
    """
    with path.open("rb") as file:
        prefix = file.read(LENGTH.size)
        if len(prefix) < LENGTH.size:
            raise ValueError("no header")
        length = LENGTH.unpack(prefix)[0]
        header = json.loads(file.read(min(length, path.stat().st_size)))
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header


def list_shards(path: Path, names: Sequence[str], number: int) -> None:
    """Say in a shard's header which shards there are, and which of them it is.

    Each shard is written as the only one of its set, by a process of its own; this
    makes the header what the library writes for all shards together.
    """
    header = read_header(path)
    header["shard_addresses"] = list(names)
    header["shard_id"] = number
    for page in header["page"] or ():  # null for a shard without records
        page["shard_id"] = number
    text = json.dumps(header, separators=(",", ":")).encode()
    if LENGTH.size + len(text) > header["header_size"]:
        raise ValueError(f"a header of {len(text)} bytes for {len(names)} shards")
    with path.open("r+b") as file:
        file.write(LENGTH.pack(len(text)) + text)


class MindRecordReader:
    """Random access to a shard without MindSpore; safe to read from threads.

    Args:
        path: of the file; its index is ``PATH.db``.

    Raises:
        DelfError: the file or its index is damaged, or has another schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            header = read_header(path)
            rows = read_index(path.with_name(f"{path.name}.db"))
            self._names = [str(row[4]) for row in rows]
            numbers = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
            pages, begins, ends, self._labels = numbers.T
            self._begins = header["header_size"] + header["page_size"] * pages + begins
            self._lengths = ends - begins - LENGTH.size
            self._file = path.open("rb", buffering=0)
        except (OSError, ValueError, KeyError, TypeError, sqlite3.Error) as error:
            raise DelfError(
                f"{path} or its .db is damaged ({error}), or not of the schema "
                f"{', '.join(SCHEMA)}; {REMEDY}"
            ) from None

    def __len__(self) -> int:
        """How many records the index has."""
        return len(self._labels)

    def __getitem__(self, index: int) -> Record:
        """Read one record.

        Raises:
            DelfError: it is not where the index says.
        """
        length = int(self._lengths[index])
        begin = int(self._begins[index])
        content = os.pread(self._file.fileno(), LENGTH.size + length, begin)
        if content[: LENGTH.size] != LENGTH.pack(length) or (
            len(content) != LENGTH.size + length
        ):
            raise DelfError(f"{self.path} is damaged at record {index}; {REMEDY}")
        image = content[LENGTH.size :]
        return Record(image, int(self._labels[index]), self._names[index])


def read_index(path: Path) -> list[tuple[Any, ...]]:
    """Read where the records of a shard are.

    Raises:
        sqlite3.Error: there is no such file, or it is damaged or another's.
    """
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        return connection.execute(WHERE).fetchall()
