# SPDX-License-Identifier: Apache-2.0
"""One picture on its way into a shard: read and checked, or left out with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from delf_common.dataset.checking import check_record
from delf_common.errors import DelfError, ImageError
from delf_common.training.records import Record

ABSENT = (
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)


@dataclass(frozen=True)
class Picture:
    """A picture to be stored.

    Args:
        path: of the file.
        label: its class.
        name: what to call it.
    """

    path: str
    label: int
    name: str


def read_picture(picture: Picture, check: bool) -> Record:
    """Read a picture's bytes.

    Raises:
        ImageError: there is no such file, it is empty, or does not decode.
        DelfError: it is there and cannot be read. (A disk in trouble is no reason to
            leave out its pictures.)
    """
    try:
        image = Path(picture.path).read_bytes()
    except ABSENT as error:
        raise ImageError(f"{picture.name}: {error.strerror}") from None
    except OSError as error:
        raise DelfError(
            f"{picture.path}: {error.strerror}; continue with --resume once it is "
            "readable"
        ) from None
    record = Record(image, picture.label, picture.name)
    if not record.image:
        raise ImageError(f"{picture.name}: the file is empty")
    if check:
        check_record(record)
    return record


def refuse_or_skip(
    picture: Picture, error: ImageError, strict: bool
) -> tuple[str, str, str]:
    """Return a bad picture's line of the report, or raise DelfError when strict."""
    reason = str(error).removeprefix(f"{picture.name}: ")
    if strict:
        raise DelfError(
            f"{picture.path}: {reason}; repair it or take it out, or leave out "
            "--strict to skip and report it"
        ) from None
    return picture.name, picture.path, reason
