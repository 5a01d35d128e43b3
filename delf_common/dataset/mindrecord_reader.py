# SPDX-License-Identifier: Apache-2.0
"""Reads MindRecord files without MindSpore.

A shard is a header of JSON behind its length, and pages of one size; where each record
lies stands in an SQLite file beside it. There is no checksum for a record.
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from delf_common.errors import DelfError
from delf_common.training.records import Record

LENGTH = struct.Struct("<Q")
WHERE = (
    "SELECT PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END, label_0, file_id_0 "
    "FROM INDEXES ORDER BY ROW_ID"
)
REMEDY = "fetch it again, or build the shards again"


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
                f"file_id, label, data; {REMEDY}"
            ) from None

    @property
    def labels(self) -> list[int]:
        """Label of every record, as the index has it."""
        labels: list[int] = self._labels.tolist()
        return labels

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


def shard_names(path: Path) -> list[str]:
    """Names of all shards of the set that a shard is of.

    Raises:
        DelfError: the file is no MindRecord shard.
    """
    try:
        return [Path(name).name for name in read_header(path)["shard_addresses"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DelfError(f"{path} is no MindRecord shard ({error}); {REMEDY}") from None


def read_index(path: Path) -> list[tuple[Any, ...]]:
    """Read where the records of a shard are.

    Raises:
        sqlite3.Error: there is no such file, or it is damaged or another's.
    """
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        return connection.execute(WHERE).fetchall()


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
