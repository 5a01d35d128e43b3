# SPDX-License-Identifier: Apache-2.0
"""What the attention looks like while it is trained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delf_common.extraction.heatmap import draw_attention
from delf_common.training.batches import Streams
from delf_common.training.summaries import attention_statistics
from delf_common.training.trainer import Metrics, Trainer

Pictures = dict[str, NDArray[np.uint8]]


def summary_pictures(trainer: Trainer, streams: Streams) -> tuple[Metrics, Pictures]:
    """Statistics of the attention on a few photographs, and its maps drawn over them.

    Returns:
        Numbers by tag, and (S, S, 3) pictures by tag.
    """
    images = streams.samples
    attention = trainer.attention(images)
    pictures = {
        f"attention/{i}": draw_attention(image, cells)
        for i, (image, cells) in enumerate(zip(images, attention, strict=True))
    }
    return attention_statistics(attention), pictures
