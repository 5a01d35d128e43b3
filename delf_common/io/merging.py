# SPDX-License-Identifier: Apache-2.0
"""Journals of an extraction become one feature file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing
from delf_common.io.feature_file import (
    FORMAT,
    FeatureReader,
    add_error,
    add_features,
)
from delf_common.io.journal import (
    Entry,
    locate,
    read_at,
    read_header,
    refuse_other_header,
)


class EarlierFile:
    """A finished feature file to take over images from, or nothing (path None)."""

    def __init__(self, path: Path | None) -> None:
        self._reader = FeatureReader(path) if path is not None else None

    def __enter__(self) -> EarlierFile:
        """Return itself; the file closes at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.__exit__(kind, error, trace)

    def header(self) -> dict[str, Any]:
        """What made the numbers; {} for nothing."""
        info = dict(self._reader.info) if self._reader is not None else {}
        info.pop("descriptor_dtype", None)
        return info

    def names(self) -> list[str]:
        """Images with features or an error."""
        if self._reader is None:
            return []
        return [*self._reader.names(), *self._reader.errors()]

    def read(self, name: str) -> Entry:
        """Features or error of an image.

        Raises:
            DelfError: it is not there.
        """
        if self._reader is None:
            raise DelfError(f"{name!r} is in no journal; run the job again")
        errors = self._reader.errors()
        return errors[name] if name in errors else self._reader.read(name)


def write_feature_file(
    output: Path,
    order: Sequence[str],
    journals: Sequence[Path],
    dtype: str,
    earlier: Path | None = None,
) -> dict[str, str]:
    """Merge journals into one feature file, beside its name, then renamed.

    The bytes depend on the contents and the order alone, not on which journal holds a
    picture or when it got there.

    Args:
        output: the HDF5 file.
        order: names of all pictures; those of ``earlier`` that are not among them come
            first.
        journals: of one or several processes, all with the same header.
        dtype: of the stored descriptors, "float16" or "float32".
        earlier: a finished feature file whose images are taken over.

    Returns:
        Errors by name.

    Raises:
        DelfError: journals or the earlier file were made with different settings, or a
            picture is nowhere.
    """
    headers = [header for header, _ in map(read_header, journals) if header is not None]
    with EarlierFile(earlier) as before:
        header = headers[0] if headers else before.header()
        for path, other in zip(journals, headers, strict=False):
            refuse_other_header(path, header, other)
        if earlier is not None:
            refuse_other_header(earlier, before.header(), header)
        where = {n: (p, offset) for p in journals for n, offset in locate(p)}
        names = list(dict.fromkeys([*before.names(), *order]))
        info = {**header, "descriptor_dtype": dtype}
        errors: dict[str, str] = {}
        with replacing(output) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["info"] = json.dumps(info, sort_keys=True)
            for name in names:
                entry = read_at(*where[name]) if name in where else before.read(name)
                if isinstance(entry, str):
                    add_error(file, name, entry)
                    errors[name] = entry
                else:
                    add_features(file, name, entry, dtype)
    return errors
