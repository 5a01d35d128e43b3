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

ADDS = "adds_to_earlier_file"  # in a journal's header; an --overwrite does not


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
        return dict(self._reader.info) if self._reader is not None else {}

    def names(self) -> list[str]:
        """Images with features or an error."""
        if self._reader is None:
            return []
        return sorted([*self._reader.names(), *self._reader.errors()])

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
        order: names of the pictures; those of ``earlier`` that are not among them come
            first, sorted.
        journals: of one or several processes, all with the same header.
        dtype: of the stored descriptors, "float16" or "float32".
        earlier: a finished feature file whose images are taken over.

    Returns:
        Errors by name.

    Raises:
        DelfError: journals or the earlier file were made with different settings, or a
            picture is nowhere.
    """
    header = common_header(journals)
    with EarlierFile(earlier) as before:
        header = header or before.header()
        refuse_mixture(journals, earlier, header, dtype)
        info = {**header, "descriptor_dtype": dtype}
        info.pop(ADDS, None)
        where = {n: (p, offset) for p in journals for n, offset in locate(p)}
        new = set(order)
        names = [*(n for n in before.names() if n not in new), *dict.fromkeys(order)]
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


def common_header(journals: Sequence[Path]) -> dict[str, Any] | None:
    """Header of the first journal that has one."""
    for path in journals:
        header, _ = read_header(path)
        if header is not None:
            return header
    return None


def refuse_mixture(
    journals: Sequence[Path], earlier: Path | None, header: dict[str, Any], dtype: str
) -> None:
    """Refuse to put together what different settings made.

    Args:
        journals: those whose header is torn do no harm.
        earlier: a finished feature file, or None.
        header: what makes the numbers of this run.
        dtype: of the descriptors to be stored; float16 is not to become float32.

    Raises:
        DelfError: names the file and what differs.
    """
    plain = json.loads(json.dumps(header))
    for path in journals:
        begun, _ = read_header(path)
        if begun is not None:
            refuse_other_header(path, begun, plain)
    if earlier is None:
        return
    with FeatureReader(earlier) as reader:
        plain.pop(ADDS, None)
        refuse_other_header(earlier, reader.info, {**plain, "descriptor_dtype": dtype})
