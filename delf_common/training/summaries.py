# SPDX-License-Identifier: Apache-2.0
"""Event files that TensorBoard reads, written without any framework."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from delf_common.extras import need

LOW_ATTENTION = 0.1  # of the mean; a cell below it counts as ignored


class SummaryWriter:
    """Writes scalars and pictures by step.

    Args:
        folder: of the event files; a new file is begun in it.
    """

    def __init__(self, folder: Path) -> None:
        need("tensorboard")
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(folder))

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add named numbers."""
        self._add([{"tag": tag, "simple_value": values[tag]} for tag in values], step)

    def add_picture(self, tag: str, picture: NDArray[np.uint8], step: int) -> None:
        """Add an (H, W, 3) uint8 RGB picture."""
        stream = io.BytesIO()
        PillowImage.fromarray(picture).save(stream, "PNG")
        height, width = picture.shape[:2]
        encoded = stream.getvalue()
        image = {"height": height, "width": width, "encoded_image_string": encoded}
        self._add([{"tag": tag, "image": {**image, "colorspace": 3}}], step)

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._writer.close()

    def _add(self, values: list[dict[str, object]], step: int) -> None:
        import time

        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value) for value in values])
        event = Event(wall_time=time.time(), step=step, summary=summary)
        self._writer.add_event(event)


@contextlib.contextmanager
def open_summaries(folder: Path | None) -> Iterator[SummaryWriter | None]:
    """Open a writer for the time of a run; None for no folder."""
    if folder is None:
        yield None
        return
    writer = SummaryWriter(folder)
    try:
        yield writer
    finally:
        writer.close()


def attention_statistics(attention: NDArray[np.float32]) -> dict[str, float]:
    """Describe attention maps in numbers.

    Args:
        attention: (B, h, w), at least one cell.

    Returns:
        "attention/min", "mean", "max", "percentile_25", "_50", "_75", and "sparsity":
        the share of cells below a tenth of the mean.
    """
    low, middle, high = np.percentile(attention, (25, 50, 75))
    mean = float(attention.mean())
    return {
        "attention/min": float(attention.min()),
        "attention/mean": mean,
        "attention/max": float(attention.max()),
        "attention/percentile_25": float(low),
        "attention/percentile_50": float(middle),
        "attention/percentile_75": float(high),
        "attention/sparsity": float((attention < LOW_ATTENTION * mean).mean()),
    }
