# SPDX-License-Identifier: Apache-2.0
"""A training set as built shards, read by record number."""

from __future__ import annotations

import bisect
import threading
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from delf_common.dataset.array_records import ArrayRecordReader
from delf_common.dataset.manifest import (
    MANIFEST,
    TRAIN,
    Manifest,
    Split,
    check_file,
    read_manifest,
)
from delf_common.dataset.mindrecord_reader import MindRecordReader
from delf_common.errors import DelfError
from delf_common.training.records import Record

REMEDY = "fetch it again, or build the shards again"


class ShardReader(Protocol):
    """Random access to one shard; safe to read from threads."""

    def __len__(self) -> int:
        """How many records the file itself says it has."""

    def __getitem__(self, index: int) -> Record:
        """Read one record."""


class ShardRecords:
    """A `RecordSource` over shards, in the order in which they were written.

    Shards are opened when they are first read.

    Args:
        folder: where they are.
        manifest: of the folder.
        name: of the split.
    """

    def __init__(self, folder: Path, manifest: Manifest, name: str) -> None:
        split = manifest.splits[name]
        self.num_classes = manifest.num_classes
        self.provenance: Mapping[str, str] = {
            "records": "shards",
            "first": str(folder / split.shards[0].files[0].name),
            "path": str(folder),
            "split": name,
            "plan": manifest.plan,
            **{f"source_{key}": value for key, value in manifest.source.items()},
        }
        self.labels: Sequence[int] = read_labels(folder, manifest, split)
        self._paths = [folder / shard.files[0].name for shard in split.shards]
        self._counts = [shard.records for shard in split.shards]
        self._ends = list(accumulate(self._counts))
        self._format = manifest.format
        self._readers: dict[int, ShardReader] = {}
        self._guard = threading.Lock()

    def __len__(self) -> int:
        """How many records there are."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Record:
        """Read one record.

        Raises:
            DelfError: its shard cannot be read or is damaged there.
            IndexError: there is no such record.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        place = index - self._ends[shard] + self._counts[shard]
        record = self._reader(shard)[place]
        if record.label != self.labels[index]:
            raise DelfError(
                f"{self._paths[shard]} record {place} has label {record.label}, the "
                f"set's labels say {self.labels[index]}: it is another "
                f"build's; {REMEDY}"
            )
        return record

    def _reader(self, shard: int) -> ShardReader:
        """Open a shard once, and compare its count with the manifest's."""
        with self._guard:
            if shard not in self._readers:
                path, count = self._paths[shard], self._counts[shard]
                reader = open_shard(path, self._format)
                if len(reader) != count:
                    raise DelfError(
                        f"{path} holds {len(reader)} records, {MANIFEST} says {count}; "
                        f"{REMEDY}"
                    )
                self._readers[shard] = reader
            return self._readers[shard]


def open_shard(path: Path, kind: str) -> ShardReader:
    """Open one shard, "array_record" or "mindrecord".

    Raises:
        DelfError: it is damaged, or of a format of which nothing is known.
    """
    if kind == "array_record":
        return ArrayRecordReader(path)
    if kind == "mindrecord":
        return MindRecordReader(path)
    raise DelfError(f"{path}: there is no format {kind!r}; build the shards again")


def open_shards(folder: str | Path, split: str = TRAIN) -> ShardRecords:
    """Open built shards.

    What is checked now: the manifest, that every file is there with its length, and the
    sha256 of the labels' file. What is checked later: the count of a shard when it is
    first read, and the hash of each record in an ArrayRecord when it is read. The
    sha256 of all bytes takes as long as reading them: `delf dataset inspect --verify`.

    Args:
        folder: where manifest.json is.
        split: "train" or "validation".

    Returns:
        The records in the order of the shards, which is a seeded shuffle.

    Raises:
        DelfError: the manifest or a file is missing, damaged, or of another length;
            there is no such split, or it is empty.
    """
    root = Path(folder)
    manifest = read_manifest(root)
    if split not in manifest.splits:
        raise DelfError(
            f"{root} has no {split} split, only {', '.join(manifest.splits)}; build it "
            "with --validation_split_size 0.2"
        )
    for shard in manifest.splits[split].shards:
        for entry in shard.files:
            check_file(root, entry, thorough=False)
    return ShardRecords(root, manifest, split)


def read_labels(folder: Path, manifest: Manifest, split: Split) -> array[int]:
    """Read the label of every record, and check all of them.

    Raises:
        DelfError: the file is damaged, does not fit the manifest, or has a label
            outside the classes.
    """
    path = folder / split.labels.name
    check_file(folder, split.labels, thorough=True)
    labels = np.load(path, allow_pickle=False)
    counted = sum(shard.records for shard in split.shards)
    if not len(labels) == counted == split.records or not counted:
        raise DelfError(
            f"{folder / MANIFEST}: {split.records} records, the shards have {counted}, "
            f"{path.name} has {len(labels)}; build the shards again"
        )
    if labels.min() < 0 or labels.max() >= manifest.num_classes:
        raise DelfError(
            f"{path}: labels {labels.min()} to {labels.max()} are not all in "
            f"0..{manifest.num_classes - 1}; build the shards again"
        )
    return array("i", labels.astype(np.intc).tobytes())
