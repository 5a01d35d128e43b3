# SPDX-License-Identifier: Apache-2.0
"""Part of every class for validation, the rest for training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.training.file_records import RecordView
from delf_common.training.records import RecordSource


def split_records(
    source: RecordSource, fraction: float = 0.2, seed: int = 0
) -> tuple[RecordView, RecordView]:
    """Split a set by label, the same way for the same seed on every platform.

    Of a class with n images the integer part of ``fraction`` * n, but at least one, go
    to validation, and at least one stays for training: a class with one image keeps it
    for training. (The TensorFlow and MindSpore builders give it to validation, so that
    such a class is never trained.)

    Args:
        source: the whole set.
        fraction: part of every class for validation, above 0 and below 1.
        seed: which part.

    Returns:
        Training and validation, each in the order of the source.

    Raises:
        DelfError: the fraction is out of range, or no class has two images.
    """
    if not 0 < fraction < 1:
        raise DelfError(f"validation fraction {fraction}: must be above 0 and below 1")
    labels = np.asarray(source.labels, np.int64)
    # Sorting by label and then by raw random bits draws from every class at once, and
    # raw bits are the same in every NumPy (its permutations are not promised to be).
    bits = np.random.PCG64(seed).random_raw(len(labels))
    order = np.lexsort((bits, labels))
    counts = np.bincount(labels)
    taken = np.minimum(np.maximum((fraction * counts).astype(np.int64), 1), counts - 1)
    begins = np.cumsum(counts) - counts
    places = np.arange(len(labels)) - begins[labels[order]]
    held_out = np.zeros(len(labels), bool)
    held_out[order] = places < taken[labels[order]]
    if not held_out.any():
        raise DelfError(
            "no class has two images, so that none can be spared for validation; give "
            "more images of a class, or validate on another set"
        )
    return _view(source, ~held_out, "training", fraction, seed), _view(
        source, held_out, "validation", fraction, seed
    )


def _view(
    source: RecordSource,
    chosen: NDArray[np.bool_],
    part: str,
    fraction: float,
    seed: int,
) -> RecordView:
    """One part of the split."""
    note = f"{part}, {fraction} of every class for validation, seed {seed}"
    provenance = {**source.provenance, "split": note}
    indices = [int(index) for index in np.flatnonzero(chosen)]
    return RecordView(source, indices, source.num_classes, provenance)
