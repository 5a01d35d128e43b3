# SPDX-License-Identifier: Apache-2.0
"""The job of ``delf extract`` over a folder: where its time goes, and its memory."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from delf_common.extraction.job import ExtractionJob, run_job
from delf_common.extraction.stages import JOURNAL, NETWORK
from delf_common.extras import need
from delf_common.host import peak_memory, resident_memory
from delf_common.io.image_list import ImageEntry

MEMORY_EVERY = 100  # images
WARM_UP = 0.2  # of the images, before memory is asked to stay as it is
JPEG_QUALITY = 95


class StageClock:
    """Seconds of each stage, over all threads, and memory as images are written.

    A stage's processor seconds are those of the thread that is in it, without the
    threads that its libraries start.
    """

    def __init__(self) -> None:
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.processor: defaultdict[str, float] = defaultdict(float)
        self.memory: list[tuple[int, float]] = []  # images, MiB
        self.images = 0
        self._guard = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block."""
        wall, processor = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            with self._guard:
                self.wall[name] += time.perf_counter() - wall
                self.processor[name] += time.thread_time() - processor
            if name == JOURNAL:
                self._count()

    def _count(self) -> None:
        self.images += 1
        if self.images % MEMORY_EVERY == 0:
            self.memory.append((self.images, resident_memory()))


def run_job_bench(job: ExtractionJob, count: int) -> dict[str, Any]:
    """Run the job over its photographs, repeated under other names.

    Args:
        job: with the photographs; on one device, a picture in a batch.
        count: images in all.

    Returns:
        Wall seconds; wall and processor seconds of each stage; the share of the wall
        time that the network ran, from the call of ``dense()`` to its return (on a CPU
        results are ready then); memory.
    """
    originals = list(job.entries)
    entries = [
        ImageEntry(f"{i:06d}.jpg", originals[i % len(originals)].path)
        for i in range(count)
    ]
    clock = StageClock()
    before, begin = time.process_time(), time.perf_counter()
    summary = run_job(replace(job, entries=entries), clock.stage)
    wall, processor = time.perf_counter() - begin, time.process_time() - before
    return {
        "images": count,
        "broken": len(summary.errors),
        "image": describe_size(originals[0].path),
        "weights": job.weights,
        "backend": job.backend,
        "workers": job.job.workers,
        "wall_seconds": wall,
        "processor_seconds": processor,
        "stages": {
            name: {"wall": clock.wall[name], "processor": clock.processor[name]}
            for name in clock.wall
        },
        "network_share": clock.wall[NETWORK] / wall,
        "peak_memory_mib": max([peak_memory(), *(mib for _, mib in clock.memory)]),
        "memory_mib": clock.memory,
        "growth_kib_an_image": fit_growth(clock.memory),
    }


def fit_growth(memory: Sequence[tuple[int, float]]) -> float | None:
    """KiB more for each image, by a line through what was seen after the warm-up.

    Returns:
        None where fewer than two points are left.
    """
    points = [(n, mib) for n, mib in memory if n > WARM_UP * memory[-1][0]]
    if len(points) < 2:
        return None
    images, mib = np.array(points, np.float64).T
    return float(np.polyfit(images, mib, 1)[0] * 1024)


def save_photographs(folder: Path, longer: int) -> list[ImageEntry]:
    """Save scikit-image's coffee, astronaut and cat as 4:3 JPEGs.

    Args:
        folder: for the files.
        longer: side in pixels.
    """
    need("skimage")
    from skimage import data

    entries = []
    for name in ("coffee", "astronaut", "chelsea"):
        size = (longer, longer * 3 // 4)
        pixels = cv2.resize(np.asarray(getattr(data, name)()), size)
        path = folder / f"{name}.jpg"
        PillowImage.fromarray(pixels).save(path, quality=JPEG_QUALITY)
        entries.append(ImageEntry(path.name, path))
    return entries


def describe_size(path: Path) -> str:
    """Width x height of a file."""
    with PillowImage.open(path) as picture:
        return f"{picture.width}x{picture.height}"


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    wall = result["wall_seconds"]
    lines = [
        f"{result['images']} images, the first {result['image']}, {result['weights']} "
        f"on {result['backend']}, {result['workers']} workers: {wall:.1f} s, "
        f"{result['processor_seconds']:.1f} s of processor time",
        f"{'stage':<22}{'seconds':>10}{'of the wall time':>18}{'its thread busy':>17}",
    ]
    for name, seconds in result["stages"].items():
        lines.append(
            f"{name:<22}{seconds['wall']:10.2f}{100 * seconds['wall'] / wall:16.1f} %"
            f"{seconds['processor']:17.2f}"
        )
    growth = result["growth_kib_an_image"]
    lines.append(
        f"{result['peak_memory_mib']:.0f} MiB peak"
        + ("" if growth is None else f", {growth:+.1f} KiB for each image more")
    )
    lines += [f"after {n} images {mib:.0f} MiB" for n, mib in result["memory_mib"]]
    return "\n".join(lines)
