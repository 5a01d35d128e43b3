# SPDX-License-Identifier: Apache-2.0
"""Which record goes into which shard: settled before a picture is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from delf_common.dataset.config import BuildConfig
from delf_common.dataset.manifest import TRAIN, VALIDATION
from delf_common.training.file_records import FileRecords
from delf_common.training.order import SHARD_SEED
from delf_common.training.split import split_records

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class SplitPlan:
    """The records of a split in the order of its shards.

    Args:
        name: "train" or "validation".
        order: (N,) indices of the source's records.
        num_shards: 1 to N.
    """

    name: str
    order: Indices
    num_shards: int

    def shards(self) -> Iterator[Indices]:
        """Yield the records of each shard; borders by whole parts of N / shards."""
        borders = np.arange(self.num_shards + 1) * len(self.order) // self.num_shards
        for begin, end in pairwise(borders):
            yield self.order[begin:end]


def plan_splits(source: FileRecords, config: BuildConfig) -> list[SplitPlan]:
    """Split by label, and shuffle every split as a whole.

    Raises:
        DelfError: no class has two images to split.
    """
    if config.split_rule == "original":
        orders = split_as_original(
            source.labels, config.validation_split_size, config.seed
        )
    else:
        orders = split_and_shuffle(source, config.validation_split_size, config.seed)
    return [
        SplitPlan(name, order, min(config.num_shards, len(order)))
        for name, order in zip((TRAIN, VALIDATION), orders, strict=True)
        if len(order)
    ]


def split_and_shuffle(
    source: FileRecords, fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Leave every class an image for training; see `split_records`.

    Returns:
        Training and validation records, each (N,) in a seeded order.
    """
    if not fraction:
        return shuffle(np.arange(len(source)), seed, 0), np.empty(0, np.intp)
    training, validation = split_records(source, fraction, seed)
    return (
        shuffle(np.asarray(training.indices), seed, 0),
        shuffle(np.asarray(validation.indices), seed, 1),
    )


def shuffle(indices: Indices, seed: int, part: int) -> Indices:
    """Sort by raw bits of PCG64, which are the same in every NumPy."""
    sequence = np.random.SeedSequence([SHARD_SEED, seed, part])
    bits = np.random.PCG64(sequence).random_raw(len(indices))
    return indices[np.argsort(bits, kind="stable")]


def split_as_original(
    labels: Sequence[int], fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Split by the rule of TensorFlow's and MindSpore's builders.

    One generator shuffles the records of each label in turn, labels ascending; the
    first max(1, whole part of ``fraction`` * n) go to validation, so that a class with
    one image is never trained. The same generator then shuffles validation, and
    training.

    Returns:
        Training and validation records, (N,) each.

    Source: tensorflow/models research/delf build_image_dataset.py (delf_spec.md D.2).
    """
    sequence = np.random.SeedSequence(seed)
    rng = np.random.RandomState(np.random.MT19937(sequence))
    by_label = np.argsort(np.asarray(labels), kind="stable")
    parts: tuple[list[Indices], list[Indices]] = ([], [])
    for rows in np.split(by_label, np.cumsum(np.bincount(labels))[:-1]):
        rng.shuffle(rows)
        taken = max(1, int(fraction * len(rows))) if fraction else 0
        parts[0].append(rows[taken:])
        parts[1].append(rows[:taken])
    training, validation = (np.concatenate(part) for part in parts)
    rng.shuffle(validation)
    rng.shuffle(training)
    return training, validation


def fingerprint(source: FileRecords, plans: Sequence[SplitPlan]) -> str:
    """Sha256 of every shard's names and labels: whether a build is still the same."""
    digest = hashlib.sha256()
    for plan in plans:
        for number, indices in enumerate(plan.shards()):
            digest.update(f"{plan.name} {number} of {plan.num_shards}\n".encode())
            for index in indices.tolist():
                line = f"{source.labels[index]} {source.names[index]}\n"
                digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()
