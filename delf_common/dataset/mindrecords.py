# SPDX-License-Identifier: Apache-2.0
"""Writes MindRecord files, by MindSpore, in the originals' schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from delf_common.dataset.mindrecord_reader import LENGTH, read_header
from delf_common.errors import DelfError, ImageError
from delf_common.training.records import Record

SCHEMA = {
    "file_id": {"type": "string"},
    "label": {"type": "int64"},
    "data": {"type": "bytes"},
}
AT_ONCE = 10  # records handed to the library together
LARGEST = (1 << 25) - LENGTH.size  # what a page of 32 MiB can hold


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
