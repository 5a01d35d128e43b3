# SPDX-License-Identifier: Apache-2.0
"""Records that are picture files in a folder, and views of some records of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from delf_common.errors import DelfError
from delf_common.training.records import Record, RecordSource


@dataclass(frozen=True)
class FileRecords:
    """A `RecordSource` that reads one picture file for each record.

    Args:
        root: folder that the files lie below.
        names: what to call each record.
        labels: dense class number of each record, checked.
        num_classes: how many classes there are.
        provenance: where the records come from.
        locate: the file of a name, relative to ``root``.
        class_names: names of the classes in the order of their labels, if they have
            any.
    """

    root: Path
    names: Sequence[str]
    labels: Sequence[int]
    num_classes: int
    provenance: Mapping[str, str]
    locate: Callable[[str], str] = str
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Record:
        """Read a file.

        Raises:
            DelfError: it cannot be read. (One that reads but does not decode is for the
                pipeline to replace; a file that vanished may come back, and replacing
                it would make the run impossible to repeat.)
        """
        name = self.names[index]
        path = self.root / self.locate(name)
        try:
            return Record(path.read_bytes(), self.labels[index], name)
        except OSError as error:
            raise DelfError(f"{path}: {error.strerror or error}") from None


@dataclass(frozen=True)
class RecordView:
    """Some records of another source, in an order of their own.

    Args:
        source: where the records are.
        indices: which of them.
        num_classes: how many classes there are, as in the source.
        provenance: where the records come from, and what part of it this is.
    """

    source: RecordSource
    indices: Sequence[int]
    num_classes: int
    provenance: Mapping[str, str]

    @property
    def labels(self) -> Sequence[int]:
        """The label of every record of this view."""
        labels = self.source.labels
        return [labels[index] for index in self.indices]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Record:
        """Read one record."""
        return self.source[self.indices[index]]


def refuse_missing(paths: Sequence[Path], describe: Callable[[int], str]) -> None:
    """Check that every file exists; each folder is listed once, no file is touched.

    Args:
        paths: the files.
        describe: where record i is named.

    Raises:
        DelfError: some are missing; says how many, and names the first.
    """
    folders: dict[Path, set[str]] = {}
    missing = []
    for index, path in enumerate(paths):
        folder = path.parent
        if folder not in folders:
            folders[folder] = _list_names(folder)
        if path.name not in folders[folder]:
            missing.append(index)
    if missing:
        first = missing[0]
        raise DelfError(
            f"{len(missing)} of {len(paths)} pictures are missing, the first at "
            f"{describe(first)}: there is no file {paths[first]}"
        )


def _list_names(folder: Path) -> set[str]:
    """Names in a folder; none where there is no such folder."""
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError:
        return set()
