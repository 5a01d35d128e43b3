# SPDX-License-Identifier: Apache-2.0
"""Top-1 accuracy of the classifiers on photographs that are not trained on."""

from __future__ import annotations

import numpy as np

from delf_common.training.batches import Streams
from delf_common.training.trainer import Metrics, Trainer, World

CLASSIFIERS = ("desc", "attn")


def validate(trainer: Trainer, streams: Streams, world: World) -> Metrics:
    """Measure on the whole validation set, or its first ``validation_batches``.

    Every process measures its share.

    Returns:
        "val_desc" and "val_attn", 0 to 1, for the classifiers that there are; {}
        without validation data.
    """
    counts = np.zeros(1 + len(CLASSIFIERS))
    found: set[str] = set()
    for inputs, labels in streams.validation():
        correct = trainer.count_correct(inputs, labels)
        found |= set(correct)
        counts += [len(labels), *(correct.get(name, 0) for name in CLASSIFIERS)]
    if not streams.validates:
        return {}
    total, *correct_counts = world.sum(counts)
    pairs = zip(CLASSIFIERS, correct_counts, strict=True)
    return {
        f"val_{name}": float(n / max(total, 1))
        for name, n in pairs
        if n or name in found
    }
