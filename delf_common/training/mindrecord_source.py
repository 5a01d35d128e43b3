# SPDX-License-Identifier: Apache-2.0
"""MindRecord shards that the originals' builder wrote, which know no manifest."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from delf_common.dataset.finishing import RELABELING
from delf_common.dataset.mindrecord_reader import MindRecordReader, shard_names
from delf_common.errors import DelfError
from delf_common.training.csv_text import read_columns
from delf_common.training.labels import count_classes
from delf_common.training.records import Record


class MindRecords:
    """A `RecordSource` over all shards that the header of one of them lists.

    Nothing tells whether a picture is as it was built: shards of
    ``delf build-dataset`` have a manifest with checksums, and are opened by it.

    Args:
        path: one of the shards, as the model zoo's ``traindata_path``.
        num_classes: classes of the classifier. None: the rows of relabeling.csv beside
            the shards, or else one above the largest label.

    Raises:
        DelfError: a shard is missing or damaged, or a label is outside the classes.
    """

    def __init__(self, path: Path, num_classes: int | None = None) -> None:
        folder = path.parent
        self._readers = [MindRecordReader(folder / name) for name in shard_names(path)]
        self._ends = list(accumulate(len(reader) for reader in self._readers))
        labels = array("q")
        for reader in self._readers:
            labels.extend(reader.labels)
        self.labels: Sequence[int] = labels
        table = folder / RELABELING
        if num_classes is None and table.is_file():
            num_classes = len(list(read_columns(table, ["new_label", "old_label"])))
        self.num_classes = count_classes(labels, num_classes, self._describe)
        self.provenance: Mapping[str, str] = {
            "records": "mindrecord",
            "path": str(path),
            "shards": str(len(self._readers)),
        }

    def __len__(self) -> int:
        """How many records there are."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Record:
        """Read one record.

        Raises:
            DelfError: its shard is damaged there.
            IndexError: there is no such record.
        """
        shard, place = self._place(index)
        return self._readers[shard][place]

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        return shard, index - self._ends[shard] + len(self._readers[shard])

    def _describe(self, index: int) -> str:
        shard, place = self._place(index)
        return f"{self._readers[shard].path} record {place}"


def first_shard(folder: Path) -> Path | None:
    """Find the shard that stands for a folder of them: of training, if there is one.

    Raises:
        DelfError: there are shards of several sets, and none is of training.
    """
    firsts = sorted(folder.glob("*.mindrecord*0"))
    training = [path for path in firsts if path.name.startswith("train")]
    if len(firsts) > 1 and not training:
        names = ", ".join(path.name for path in firsts)
        raise DelfError(f"{folder} has shards of several sets; name one of {names}")
    return next(iter(training or firsts), None)
