# SPDX-License-Identifier: Apache-2.0
"""Photographs a second that the training pipeline delivers, by workers."""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from delf_common.io.image_list import list_images
from delf_common.training.cropping import draw_box
from delf_common.training.file_records import FileRecords
from delf_common.training.order import crop_generator
from delf_common.training.pipeline import BatchConfig, Batches

WORKERS = (0, 1, 2, 4)
PHOTOGRAPHS, SIZE = 96, (1024, 768)  # of the synthetic set; width, height
QUALITY = 90
PLAIN = "plain loop"


def run_pipeline_bench(folder: Path | None = None, repeats: int = 5) -> dict[str, Any]:
    """Time one pass over a set, every way in turn, in rounds.

    The plain loop reads, decodes, crops and resizes by Pillow, one photograph after
    another, and stacks batches. The same boxes are cropped out by all.

    Args:
        folder: photographs; None for seeded synthetic ones of 1024x768.
        repeats: rounds; medians are given. One round before them is not counted.

    Returns:
        Number and mean size of the photographs, and images a second by way.
    """
    with tempfile.TemporaryDirectory() as temporary:
        if folder is None:
            write_photographs(Path(temporary))
        source = open_any(folder or Path(temporary))
        config = BatchConfig(shuffle=False, repeat=False)
        ways: dict[str, Callable[[], int]] = {PLAIN: partial(_plain, source, config)}
        for workers in WORKERS:
            ways[f"workers {workers}"] = partial(_pass, source, config, workers)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for round_number in range(repeats + 1):
            for name, run in ways.items():
                begin = time.perf_counter()
                run()
                if round_number:
                    seconds[name].append(time.perf_counter() - begin)
        sizes = [len(source[index].image) for index in range(len(source))]
    return {
        "photographs": len(sizes),
        "kilobytes": statistics.mean(sizes) / 1000,
        "batch_size": config.batch_size,
        "image_size": config.image_size,
        "repeats": repeats,
        "images_per_second": {
            name: len(sizes) / statistics.median(times)
            for name, times in seconds.items()
        },
    }


def open_any(folder: Path) -> FileRecords:
    """All photographs of a folder as one class."""
    names = [entry.key for entry in list_images([str(folder)], folder)]
    return FileRecords(folder, names, [0] * len(names), 1, {"path": str(folder)})


def write_photographs(folder: Path) -> None:
    """Write seeded JPEGs with structure at every scale, and grain, as photographs."""
    for number in range(PHOTOGRAPHS):
        pixels = draw_photograph(np.random.default_rng(number))
        PillowImage.fromarray(pixels).save(folder / f"{number}.jpg", quality=QUALITY)


def draw_photograph(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Sum noise of every octave, as strong as it is coarse."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 128.0)
    for cells in (4, 8, 16, 32, 64, 128, 256, 512):
        noise = rng.normal(size=(cells * 3 // 4, cells, 3))
        pixels += 160 / cells**0.6 * cv2.resize(noise, SIZE)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _pass(source: FileRecords, config: BatchConfig, workers: int) -> int:
    """Run the pipeline once over all photographs; how many batches came."""
    with contextlib.closing(Batches(source, config, workers=workers)) as batches:
        return sum(1 for _ in batches)


def _plain(source: FileRecords, config: BatchConfig) -> int:
    """Do the same by Pillow in the simplest loop."""
    size, crops = (config.image_size,) * 2, []
    for index, name in enumerate(source.names):
        data = (source.root / name).read_bytes()
        picture = PillowImage.open(io.BytesIO(data)).convert("RGB")
        rng = crop_generator(config.seed, 0, index)
        top, left, tall, wide = draw_box(picture.height, picture.width, rng)
        part = picture.crop((left, top, left + wide, top + tall))
        crops.append(np.asarray(part.resize(size, PillowImage.Resampling.BILINEAR)))
        if len(crops) == config.batch_size or index == len(source) - 1:
            np.stack(crops)
            crops = []
    return -(-len(source) // config.batch_size)


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    head = (
        f"{result['photographs']} photographs of {result['kilobytes']:.0f} kB, batches "
        f"of {result['batch_size']} crops of {result['image_size']} px, median of "
        f"{result['repeats']}"
    )
    rates = result["images_per_second"]
    rows = [
        f"{name:<12} {rate:8.0f} images/s {rate / rates[PLAIN]:6.2f} x"
        for name, rate in rates.items()
    ]
    return "\n".join([head, *rows])
