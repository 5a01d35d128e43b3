# SPDX-License-Identifier: Apache-2.0
"""Reads TensorFlow's variables (``.index`` and ``.data-00000-of-00001``) alone.

The index is a sorted table in LevelDB's format: blocks of keys and values, an index
block that points to them, a footer that points to the index block. Each value is a
protobuf message that says where in the data files a tensor lies. Nothing is executed,
and TensorFlow is not needed.

Source: the formats in tensorflow/core/lib/io/table_format.txt and
tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.delf_proto import (
    Value,
    as_bytes,
    group_fields,
    message,
    read_varint,
)
from delf_common.weights.bfloat16 import from_bfloat16

FOOTER = 48  # two block handles, padded to 40 bytes, and the magic number
MAGIC = 0xDB4775248B80FB57
STRING, BFLOAT16 = 7, 14
TYPES = {  # number in tensorflow/core/framework/types.proto -> NumPy's name
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "<u1",
    6: "<i1",
    9: "<i8",
    10: "?",
    BFLOAT16: "<u2",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies.

    Args:
        kind: number of its type.
        shape: of the tensor.
        shard: number of its data file.
        offset: in bytes.
        size: in bytes.
    """

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


class Bundle:
    """The tensors of one checkpoint or SavedModel.

    Args:
        prefix: path without ``.index``.

    Raises:
        DelfError: a file is missing or damaged.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self._shards: dict[int, NDArray[np.uint8]] = {}
        index = prefix.with_name(prefix.name + ".index")
        try:
            table = dict(read_table(index.read_bytes()))
            self._count = _number(group_fields(table.pop(b"")), 1, 1)
            self.entries = {
                key.decode("utf-8"): _entry(key, value) for key, value in table.items()
            }
        except (OSError, KeyError, struct.error, IndexError, UnicodeDecodeError) as e:
            raise DelfError(
                f"{index} is not a readable TensorFlow index: {e}"
            ) from None
        except DelfError as error:
            raise DelfError(f"{index}: {error}") from None

    def array(self, name: str) -> NDArray[Any]:
        """Read one tensor of numbers; bfloat16 becomes float32."""
        entry = self.entries[name]
        if entry.kind not in TYPES:
            raise DelfError(f"{self.prefix}: {name} has the unknown type {entry.kind}")
        flat = np.frombuffer(self._bytes(name), TYPES[entry.kind])
        if flat.size != int(np.prod(entry.shape, dtype=np.int64)):
            raise DelfError(
                f"{self.prefix}: {name} has {flat.size} values, shape {entry.shape}"
            )
        values = from_bfloat16(flat) if entry.kind == BFLOAT16 else flat
        return values.reshape(entry.shape)

    def text(self, name: str) -> bytes:
        """Read a tensor of one string: its length, a checksum, its bytes."""
        data = self._bytes(name)
        length, start = read_varint(data, 0)
        return data[start + 4 : start + 4 + length]

    def is_text(self, name: str) -> bool:
        """Whether this tensor holds strings."""
        return self.entries[name].kind == STRING

    def data_files(self) -> list[Path]:
        """Paths of the data files, which all must be there."""
        return [self._data_file(number) for number in range(self._count)]

    def _data_file(self, number: int) -> Path:
        name = f"{self.prefix.name}.data-{number:05d}-of-{self._count:05d}"
        return self.prefix.with_name(name)

    def _bytes(self, name: str) -> bytes:
        entry = self.entries[name]
        shard = self._shard(entry.shard)
        if entry.offset + entry.size > len(shard):
            raise DelfError(f"{self.prefix}: {name} lies past the end of its data file")
        return shard[entry.offset : entry.offset + entry.size].tobytes()

    def _shard(self, number: int) -> NDArray[np.uint8]:
        if number not in self._shards:
            path = self._data_file(number)
            try:
                self._shards[number] = np.memmap(path, np.uint8, "r")
            except (OSError, ValueError) as error:
                raise DelfError(f"{path} cannot be read: {error}") from None
        return self._shards[number]


def read_table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table in LevelDB's format, in its order.

    Raises:
        DelfError: the file is no such table, is cut, or is compressed.
    """
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise DelfError("this is no TensorFlow index (its last bytes are others)")
    footer = data[-FOOTER:]
    _, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    for _, value in _read_block(data, index):
        handle, _ = _handle(value, 0)
        yield from _read_block(data, handle)


def _handle(data: bytes, start: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the handle ends."""
    offset, at = read_varint(data, start)
    size, at = read_varint(data, at)
    return (offset, size), at


def _read_block(data: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block; each key is written as what differs from the one before."""
    offset, size = handle
    if offset + size + 5 > len(data):
        raise DelfError("the index is cut: a block lies past its end")
    if data[offset + size]:
        raise DelfError("the index is compressed, which TensorFlow itself never writes")
    block = data[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = size - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        new, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + new]
        yield key, block[at + new : at + new + length]
        at += new + length


def _entry(key: bytes, value: bytes) -> Entry:
    fields = group_fields(value)
    if 7 in fields:
        raise DelfError(f"{key.decode()} is stored in slices, which are not supported")
    shape = group_fields(message(fields, 2)).get(2, [])
    sides = [_number(group_fields(as_bytes(dim)), 1, 0) for dim in shape]
    numbers = [_number(fields, number, 0) for number in (1, 3, 4, 5)]
    return Entry(numbers[0], tuple(sides), *numbers[1:])


def _number(fields: dict[int, list[Value]], number: int, default: int) -> int:
    value = fields.get(number, [default])[-1]
    if not isinstance(value, int):
        raise DelfError("bytes stand in a number's place")
    return value
