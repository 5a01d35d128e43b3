# SPDX-License-Identifier: Apache-2.0
"""Reads and writes MindSpore's ``.ckpt`` files without MindSpore.

A ``.ckpt`` is a protobuf message: a run of values, each a parameter's name and a tensor
(dims, type, raw bytes). A large tensor comes in several values of the same name, whose
bytes follow each other. Nothing in it is code.

Source: the message types of mindspore/train/checkpoint.proto, MindSpore 2.10.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing
from delf_common.io.delf_proto import (
    Value,
    as_bytes,
    bytes_field,
    group_fields,
    integers,
    varint,
    wire_fields,
)
from delf_common.weights.bfloat16 import from_bfloat16

DIMS, TYPE, CONTENT = 1, 2, 3  # field numbers of a tensor
TYPES = {
    "Float16": "<f2",
    "Float32": "<f4",
    "Float64": "<f8",
    "BFloat16": "<u2",
    "Bool": "?",
    "Int8": "<i1",
    "Int16": "<i2",
    "Int32": "<i4",
    "Int64": "<i8",
    "UInt8": "<u1",
    "UInt16": "<u2",
    "UInt32": "<u4",
    "UInt64": "<u8",
}
TEXT = "str"
CHECKSUM_MARK = b"crc_num"  # then 10 bytes, where the file was saved with crc_check


def read_ckpt(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read every tensor of a ``.ckpt`` file.

    Args:
        path: the file; encrypted ones cannot be read.

    Returns:
        Parameter name -> array; bfloat16 becomes float32, values of type text are left
        out.

    Raises:
        DelfError: the file is missing, damaged, or no such file.
    """
    path = Path(path)
    try:
        data = _checked(path.read_bytes())
        parts: dict[str, list[dict[int, list[Value]]]] = {}
        for number, value in wire_fields(data):
            fields = group_fields(as_bytes(value)) if number == 1 else {}
            name = as_bytes(fields[1][-1]).decode("utf-8")
            if 2 in fields:
                parts.setdefault(name, []).append(group_fields(as_bytes(fields[2][-1])))
        if not parts:
            raise DelfError("it holds no tensors")
        found = {name: _array(name, tensors) for name, tensors in parts.items()}
    except (DelfError, KeyError, UnicodeDecodeError, ValueError, OSError) as error:
        raise DelfError(
            f"{path} is not a readable MindSpore checkpoint: {error}"
        ) from None
    return {name: array for name, array in found.items() if array is not None}


def write_ckpt(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a ``.ckpt`` file that `mindspore.load_checkpoint` reads.

    Args:
        path: the file, replaced if it exists.
        arrays: parameter name -> float32, float16 or uint8 array.
    """
    kinds = {np.dtype(text): name for name, text in TYPES.items() if name != "BFloat16"}
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        for name, array in arrays.items():
            dims = b"".join(varint(DIMS << 3) + varint(side) for side in array.shape)
            tensor = dims + bytes_field(TYPE, kinds[array.dtype].encode())
            tensor += bytes_field(CONTENT, np.ascontiguousarray(array).tobytes())
            value = bytes_field(1, name.encode("utf-8")) + bytes_field(2, tensor)
            file.write(bytes_field(1, value))


def _checked(data: bytes) -> bytes:
    """Drop the checksum at the end, after comparing it."""
    if data[-17:-10] != CHECKSUM_MARK:
        return data
    data, wanted = data[:-17], int.from_bytes(data[-10:], "big")
    if zlib.crc32(data) != wanted:
        raise DelfError("its checksum does not fit its content")
    return data


def _array(name: str, tensors: list[dict[int, list[Value]]]) -> NDArray[Any] | None:
    """Join the parts of one tensor; None for text."""
    kind = as_bytes(tensors[0][TYPE][-1]).decode("utf-8")
    if kind == TEXT:
        return None
    if kind not in TYPES:
        raise DelfError(f"{name} has the unknown type {kind}")
    content = b"".join(as_bytes(tensor[CONTENT][-1]) for tensor in tensors)
    shape = tuple(integers(tensors[0].get(DIMS, [])))
    flat = np.frombuffer(content, TYPES[kind])
    if shape == (0,) and flat.size == 1:  # how a scalar is written
        shape = ()
    array = from_bfloat16(flat) if kind == "BFloat16" else flat
    if array.size != int(np.prod(shape, dtype=np.int64)):
        raise DelfError(f"{name} has {array.size} values, and the shape {shape}")
    return array.reshape(shape)
