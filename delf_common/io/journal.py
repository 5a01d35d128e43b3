# SPDX-License-Identifier: Apache-2.0
"""What a long extraction has done so far, safe against a kill at any moment.

An HDF5 file is damaged by a kill in the middle of a write. So features first go to a
journal: a file that only grows, a record for each picture, each with its length and
checksum. At the end the journals become one HDF5 file, in input order.

A record is 4 bytes length, 4 bytes CRC-32 (both little-endian), then the payload: a
line of JSON, and the arrays' bytes behind it. The first record is the header.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.settings import changed_settings

PREFIX = struct.Struct("<II")
ARRAYS = ("keypoints", "descriptors", "scores", "scales")
Entry = Features | str


class Journal:
    """A journal opened for adding; use it in a ``with`` block.

    Args:
        path: made if it is missing; a torn last record is cut off.
        header: what makes the numbers: weights, settings.

    Raises:
        DelfError: the journal was begun with another header (names what differs).
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        begun, end = read_header(path) if path.exists() else (None, 0)
        if begun is not None:
            refuse_other_header(path, begun, json.loads(json.dumps(header)))
            end = max(_ends(path), default=end)
        self._file = path.open("r+b" if path.exists() else "wb")
        self._file.truncate(end)
        self._file.seek(end)
        if begun is None:
            self._write(json.dumps(header).encode())

    def __enter__(self) -> Journal:
        """Return itself; the file closes at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def append(self, name: str, entry: Entry) -> None:
        """Add an image's features, or the error of a broken picture."""
        self._write(encode(name, entry))

    def _write(self, payload: bytes) -> None:
        self._file.write(PREFIX.pack(len(payload), zlib.crc32(payload)) + payload)
        self._file.flush()

    @staticmethod
    def recover(path: Path) -> set[str]:
        """Names of the pictures in a journal that have features, perhaps zero of them.

        None for a torn or empty journal; broken pictures are to be tried again.
        """
        return {head["name"] for _, head in heads(path) if "error" not in head}


def encode(name: str, entry: Entry) -> bytes:
    """Turn one picture's entry into a payload."""
    if isinstance(entry, str):
        return json.dumps({"name": name, "error": entry}).encode()
    shape = [int(side) for side in (*entry.descriptors.shape, *entry.image_size)]
    head = json.dumps({"name": name, "shape": shape}).encode()
    arrays = (getattr(entry, array).astype("<f4").tobytes() for array in ARRAYS)
    return head + b"\n" + b"".join(arrays)


def decode(payload: bytes) -> tuple[str, Entry]:
    """Turn a payload back into a name and its entry."""
    head, _, body = payload.partition(b"\n")
    fields = json.loads(head)
    if "error" in fields:
        return fields["name"], str(fields["error"])
    count, width, image_width, image_height = fields["shape"]
    numbers = np.frombuffer(body, "<f4").astype(np.float32)
    ends = np.cumsum([count * 2, count * width, count])
    keypoints, descriptors, scores, scales = np.split(numbers, ends)
    return fields["name"], Features(
        keypoints.reshape(count, 2),
        descriptors.reshape(count, width),
        scores,
        scales,
        (image_width, image_height),
    )


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and payload of every whole record, the header first."""
    with path.open("rb") as file:
        size, offset = path.stat().st_size, 0
        while offset + PREFIX.size <= size:
            length, checksum = PREFIX.unpack(file.read(PREFIX.size))
            end = offset + PREFIX.size + length
            if not length or end > size:
                return
            payload = file.read(length)
            if zlib.crc32(payload) != checksum:
                return
            yield offset, payload
            offset = end


def _ends(path: Path) -> Iterator[int]:
    """Where each whole record ends."""
    return (offset + PREFIX.size + len(payload) for offset, payload in records(path))


def read_header(path: Path) -> tuple[dict[str, Any] | None, int]:
    """Return the header and where it ends; None and 0 if it is torn."""
    for offset, payload in records(path):
        header: dict[str, Any] = json.loads(payload)
        return header, offset + PREFIX.size + len(payload)
    return None, 0


def heads(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Offset and JSON line of every picture's record."""
    for number, (offset, payload) in enumerate(records(path)):
        if number:
            yield offset, json.loads(payload.partition(b"\n")[0])


def locate(path: Path) -> Iterator[tuple[str, int]]:
    """Name and offset of every picture's record."""
    return ((head["name"], offset) for offset, head in heads(path))


def refuse_other_header(
    path: Path, begun: dict[str, Any], header: dict[str, Any]
) -> None:
    """Raise DelfError where two headers differ, with what differs."""
    differences = [
        f"{name} was {was!r}, is {now!r}"
        for name, (was, now) in changed_settings(begun, header, header).items()
    ]
    if differences:
        raise DelfError(
            f"{path} was begun with other settings: {'; '.join(differences)}. Resume "
            f"with the same ones, or begin again with --overwrite"
        )


def read_at(path: Path, offset: int) -> Entry:
    """Read one picture's record."""
    with path.open("rb") as file:
        file.seek(offset)
        length, _ = PREFIX.unpack(file.read(PREFIX.size))
        return decode(file.read(length))[1]
