# SPDX-License-Identifier: Apache-2.0
"""What a training set is: encoded photographs with a label and a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One labelled photograph.

    Args:
        image: the encoded picture (JPEG, PNG, ...), byte for byte as it was stored.
        label: dense class number, 0 or above.
        name: what to call it in a message: a GLDv2 id, or a path below the root.
    """

    image: bytes
    label: int
    name: str


class RecordSource(Protocol):
    """Random access to the records of a training set; safe to read from threads.

    A source knows every label when it is opened, without decoding a picture, and has
    checked that all lie in 0 ... ``num_classes`` - 1.
    """

    @property
    def num_classes(self) -> int:
        """How many classes there are."""

    @property
    def labels(self) -> Sequence[int]:
        """The label of every record, in order."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where the records come from, for the metadata of what is trained on them."""

    def __len__(self) -> int:
        """How many records there are."""

    def __getitem__(self, index: int) -> Record:
        """Read one record; ``index`` counts from 0."""
