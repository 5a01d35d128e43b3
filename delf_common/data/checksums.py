# SPDX-License-Identifier: Apache-2.0
"""Checksums as "md5:..." or "sha256:...", of files and as publishers write them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from delf_common.errors import DelfError

BLOCK = 2**20
DIGITS = {"md5": 32, "sha256": 64}


class Checksum:
    """A checksum that grows with the bytes.

    Args:
        algorithm: "md5" or "sha256".
    """

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._state = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._state.update(data)

    def text(self) -> str:
        """Return "algorithm:hex digits"."""
        return f"{self.algorithm}:{self._state.hexdigest()}"


def algorithm_of(expected: str | None) -> str:
    """Return the algorithm of an expected checksum; sha256 where none is known."""
    return expected.partition(":")[0] if expected else "sha256"


def checksum_of(path: Path, algorithm: str) -> Checksum:
    """Read a file and return its checksum."""
    checksum = Checksum(algorithm)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            checksum.update(block)
    return checksum


def parse_md5(content: bytes, url: str) -> str:
    """Return "md5:..." from a published file, whose first field is the md5.

    Raises:
        DelfError: the first field is not 32 hexadecimal digits.
    """
    fields = content.split(None, 1)
    first = fields[0].decode("latin1").lower() if fields else ""
    if not re.fullmatch(r"[0-9a-f]{32}", first):
        raise DelfError(
            f"{url} does not begin with an md5 of 32 hexadecimal digits but with "
            f"{first[:40]!r}; try again later, or take the file without a published "
            f"checksum: --allow_unverified"
        )
    return f"md5:{first}"
