# SPDX-License-Identifier: Apache-2.0
"""Batches as a first script would make them, for the loops that bench train times."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delf_common.training.config import TrainConfig
from delf_common.training.cropping import draw_box
from delf_common.training.records import RecordSource


def read_batches(
    source: RecordSource, config: TrainConfig
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Shuffled batches (B, S, S, 3) and (B,), without end."""
    rng = np.random.default_rng(config.seed)
    size = (config.image_size,) * 2
    while True:
        chosen = rng.integers(len(source), size=config.batch_size)
        crops, labels = [], []
        for index in chosen:
            record = source[int(index)]
            picture = Image.open(io.BytesIO(record.image)).convert("RGB")
            top, left, tall, wide = draw_box(picture.height, picture.width, rng)
            part = picture.crop((left, top, left + wide, top + tall))
            crops.append(np.asarray(part.resize(size, Image.Resampling.BILINEAR)))
            labels.append(record.label)
        yield np.stack(crops), np.array(labels, np.int64)
