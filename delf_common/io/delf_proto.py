# SPDX-License-Identifier: Apache-2.0
"""TensorFlow DELF's ``.delf`` and ``.datum`` files, without the protobuf package.

Only what these two formats need of protobuf's wire format is here: a message is a run
of fields, each a tag (number and wire type) and a value; see `wire_fields`. Both are
proto2, so a zero that was set is written.

Source: tensorflow/models research/delf, protos/feature.proto and protos/datum.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.atomic import replacing

VARINT, BYTES, FIXED32 = 0, 2, 5
FIXED_SIZES = {1: 8, FIXED32: 4}
Datum = NDArray[np.float32] | NDArray[np.uint32]
Value = int | bytes


def read_delf(path: Path, image_size: tuple[int, int] = (0, 0)) -> Features:
    """Read a ``.delf`` or ``.delg_local`` file.

    Args:
        path: a serialised DelfFeatures message.
        image_size: width and height of the picture, which the file does not know.

    Returns:
        The features in the file's order; its (y, x) have become x, y, its strengths
        scores. Orientations, which no published DELF uses, are dropped. An empty file
        is zero keypoints of dimension 0.

    Raises:
        DelfError: the file is missing, truncated, or holds something else.
    """
    with _errors_name(path):
        return decode_delf(path.read_bytes(), image_size)


def write_delf(path: Path, features: Features) -> None:
    """Write a ``.delf`` file: orientation 0, image size not kept."""
    _write(path, encode_delf(features))


def read_datum(path: Path) -> Datum:
    """Read an array from a ``.datum`` file; fails as `read_delf` does."""
    with _errors_name(path):
        return decode_datum(path.read_bytes())


def write_datum(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array as `encode_datum` does."""
    _write(path, encode_datum(array))


def read_datum_pair(path: Path) -> tuple[Datum, Datum]:
    """Read two arrays from one file; fails as `read_delf` does."""
    with _errors_name(path):
        fields = group_fields(path.read_bytes())
        return decode_datum(message(fields, 1)), decode_datum(message(fields, 2))


def write_datum_pair(
    path: Path, first: NDArray[np.generic], second: NDArray[np.generic]
) -> None:
    """Write two arrays as one DatumPairProto."""
    one, two = encode_datum(first), encode_datum(second)
    _write(path, bytes_field(1, one) + bytes_field(2, two))


def encode_delf(features: Features) -> bytes:
    """Turn features into a DelfFeatures message; zero keypoints are zero bytes."""
    orientations = np.zeros_like(features.scores)
    columns = (features.keypoints, features.scales, orientations, features.scores)
    messages = []
    for descriptor, row in zip(
        features.descriptors, np.column_stack(columns), strict=True
    ):
        floats = b"".join(float_field(i, value) for i, value in enumerate(row, start=2))
        messages.append(bytes_field(1, encode_datum(descriptor)) + floats)
    return b"".join(bytes_field(1, part) for part in messages)


def decode_delf(data: bytes, image_size: tuple[int, int] = (0, 0)) -> Features:
    """Turn a DelfFeatures message into features; see `read_delf`."""
    descriptors, numbers = [], []
    for feature in group_fields(data).get(1, []):
        fields = group_fields(as_bytes(feature))
        descriptors.append(decode_datum(message(fields, 1)).ravel())
        numbers.append([_float(fields, number) for number in (2, 3, 4, 6)])
    if not numbers:
        return Features.empty(0, image_size)
    lengths = {len(descriptor) for descriptor in descriptors}
    if len(lengths) > 1:
        raise DelfError(f"descriptors of different lengths: {sorted(lengths)}")
    table = np.array(numbers, np.float32)
    rows = np.stack(descriptors).astype(np.float32)
    return Features(table[:, :2].copy(), rows, table[:, 3], table[:, 2], image_size)


def encode_datum(array: NDArray[np.generic]) -> bytes:
    """Turn an array into a DatumProto message, row-major.

    Floats of any width become float32, unsigned integers uint32.

    Raises:
        DelfError: another type, or an integer of 2**32 or more.
    """
    if array.dtype.kind == "f":
        number, values = 2, array.astype("<f4").tobytes()
    elif array.dtype.kind == "u":
        if array.size and int(array.max()) >= 2**32:
            raise DelfError(f"{array.max()} does not fit a datum's 32-bit integers")
        number, values = 3, b"".join(map(varint, array.ravel().tolist()))
    else:
        raise DelfError(f"a datum holds floats or unsigned integers, not {array.dtype}")
    shape = bytes_field(1, b"".join(map(varint, array.shape)))
    return bytes_field(1, shape) + bytes_field(number, bytes_field(1, values))


def decode_datum(data: bytes) -> Datum:
    """Turn a DatumProto message into a float32 or uint32 array.

    Raises:
        DelfError: the message is damaged, or its shape does not fit its values.
    """
    fields = group_fields(data)
    shape = integers(group_fields(message(fields, 1)).get(1, []))
    values: Datum
    if 3 in fields:
        numbers = integers(group_fields(message(fields, 3)).get(1, []))
        if numbers and max(numbers) >= 2**32:
            raise DelfError(f"{max(numbers)} is no 32-bit integer")
        values = np.array(numbers, np.uint32)
    else:
        values = _floats(message(group_fields(message(fields, 2)), 1))
    try:
        return values.reshape(shape)
    except (ValueError, OverflowError):
        size = values.size
        raise DelfError(f"a datum of shape {shape} has {size} values") from None


def varint(value: int) -> bytes:
    """Encode a number below 2**64, 7 bits a byte, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Decode a number; return it and where it ends."""
    value = 0
    for count, byte in enumerate(data[start : start + 10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value & (2**64 - 1), start + count + 1
    raise DelfError(f"not this kind of protobuf: byte {start} begins no number")


def bytes_field(number: int, content: bytes) -> bytes:
    """Encode a field of bytes: a message, or packed numbers."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def float_field(number: int, value: float) -> bytes:
    """Encode a field of one float32."""
    return varint(number << 3 | FIXED32) + struct.pack("<f", value)


def wire_fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: int for a varint, else the bytes.

    Raises:
        DelfError: the message ends inside a field, or is no protobuf.
    """
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or kind not in (VARINT, BYTES, *FIXED_SIZES):
            raise DelfError(f"not this kind of protobuf: tag {tag} before byte {at}")
        size = FIXED_SIZES.get(kind, 0)
        if kind in (VARINT, BYTES):
            size, at = read_varint(data, at)
        if kind == VARINT:
            yield number, size
            continue
        if at + size > len(data):
            missing = at + size - len(data)
            raise DelfError(f"truncated: field {number} lacks {missing} bytes")
        yield number, data[at : at + size]
        at += size


def group_fields(data: bytes) -> dict[int, list[Value]]:
    """Values of each field number, in their order; unknown fields do no harm."""
    fields: dict[int, list[Value]] = {}
    for number, value in wire_fields(data):
        fields.setdefault(number, []).append(value)
    return fields


def as_bytes(value: Value) -> bytes:
    """Check that a field's value is bytes: a message, text, or packed numbers."""
    if isinstance(value, int):
        raise DelfError("not this kind of protobuf: a number in a message's place")
    return value


def message(fields: dict[int, list[Value]], number: int) -> bytes:
    """An embedded message, or floats; joining the bytes merges repetitions."""
    return b"".join(map(as_bytes, fields.get(number, [])))


def _float(fields: dict[int, list[Value]], number: int) -> float:
    """The last value of a float field, 0 if it is missing."""
    values = _floats(as_bytes(fields.get(number, [b"\0\0\0\0"])[-1]))
    if len(values) != 1:
        raise DelfError(f"not this kind of protobuf: field {number} is no float32")
    return float(values[0])


def _floats(data: bytes) -> NDArray[np.float32]:
    """Packed floats; unpacked ones, joined, are the same bytes."""
    if len(data) % 4:
        raise DelfError(f"{len(data)} bytes are no whole number of float32")
    return np.frombuffer(data, "<f4").astype(np.float32)


def integers(values: Iterable[Value]) -> list[int]:
    """Repeated integers, packed or not."""
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = read_varint(value, at)
            numbers.append(number)
    return numbers


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Put the file's name into every error."""
    try:
        yield
    except OSError as error:
        raise DelfError(f"{path}: {error.strerror or error}") from None
    except DelfError as error:
        raise DelfError(f"{path}: {error}") from None


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)
