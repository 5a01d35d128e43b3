# SPDX-License-Identifier: Apache-2.0
"""Images a second of building shards, and records a second of reading them back."""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from delf_common.bench.pipeline import write_photographs
from delf_common.bench.timing import time_in_turn
from delf_common.dataset.array_records import ArrayRecordShard
from delf_common.dataset.build import build_dataset
from delf_common.dataset.config import BuildConfig, BuildJob
from delf_common.host import count_cores
from delf_common.io.images import read_image
from delf_common.training.open_records import open_records
from delf_common.training.pipeline import iterate
from delf_common.training.records import Record, RecordSource

PROCESSES = [count for count in (1, 2, 4, 8, 16) if count <= count_cores()]
THREADS = (0, 1, 2, 4)
COPIES = 40  # of each synthetic photograph: starting processes is part of the time
AHEAD = 64  # records read ahead
PLAIN, DECODING = "plain loop", "plain loop, decoding"
PIXELS = 200_000_000


def run_dataset_bench(folder: Path | None = None, repeats: int = 5) -> dict[str, Any]:
    """Time every way of building and of reading in turn, in rounds.

    The plain loop reads each file and writes it to one ArrayRecord file, in one
    process; the other decodes each picture by Pillow before, as the build does by its
    own check. A build also hashes its shards and reads their counts back.

    Args:
        folder: a training set to build from; None for seeded synthetic photographs of
            1024x768.
        repeats: rounds; medians are given. One round before them is not counted.

    Returns:
        Number and mean size of the pictures, images a second by way of building,
        records a second by format and workers.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        pictures = folder or write_copies(place / "photographs")
        source = open_records(pictures)
        building = time_in_turn(ways_of_building(pictures, source, place), repeats)
        reading = time_in_turn(ways_of_reading(source, place), repeats)
        sizes = [len(source[index].image) for index in range(len(source))]
    return {
        "photographs": len(sizes),
        "kilobytes": statistics.mean(sizes) / 1000,
        "repeats": repeats,
        "built_per_second": {way: len(sizes) / t for way, t in building.items()},
        "read_per_second": {way: len(sizes) / t for way, t in reading.items()},
    }


def write_copies(folder: Path) -> Path:
    """Write photographs of two classes, each as many files (hard links)."""
    originals = folder / "0"
    originals.mkdir(parents=True)
    write_photographs(originals)
    (folder / "1").mkdir()
    for path in sorted(originals.iterdir()):
        for copy in range(1, COPIES):
            os.link(path, folder / "1" / f"{path.stem}-{copy}.jpg")
    return folder


def formats() -> list[str]:
    """Formats that can be written here."""
    found = importlib.util.find_spec("mindspore") is not None
    return ["array_record", "mindrecord"] if found else ["array_record"]


def ways_of_building(
    pictures: Path, source: RecordSource, place: Path
) -> dict[str, Callable[[], object]]:
    """Both plain loops, then the build by format, check and workers."""
    ways: dict[str, Callable[[], object]] = {
        PLAIN: partial(_plain, source, place / "plain", decoding=False),
        DECODING: partial(_plain, source, place / "plain", decoding=True),
    }
    for kind in formats():
        for check in ("none", "decode"):
            for workers in PROCESSES:
                config = BuildConfig(
                    dataset_path=str(pictures),
                    output_directory=str(place / kind),
                    num_shards=8,
                    validation_split_size=0.0,
                    format=kind,  # type: ignore[arg-type]
                    check=check,
                )
                job = BuildJob(workers=workers, overwrite=True)
                way = f"{kind}, check {check}, workers {workers}"
                ways[way] = partial(build_dataset, config, job)
    return ways


def _plain(source: RecordSource, output: Path, decoding: bool) -> None:
    """Read every file and write it, one after another."""
    with ArrayRecordShard(output) as shard:
        for index in range(len(source)):
            record = source[index]
            if decoding:
                read_image(record.image, max_pixels=PIXELS)
            shard.add(record)


def ways_of_reading(
    source: RecordSource, place: Path
) -> dict[str, Callable[[], object]]:
    """Every record once in a random order, by threads; MindDataset's own besides."""
    sources = {"files": source}
    sources.update((kind, open_records(place / kind)) for kind in formats())
    ways: dict[str, Callable[[], object]] = {}
    for name, records in sources.items():
        for workers in THREADS:
            ways[f"{name}, workers {workers}"] = partial(_read, records, workers)
    if "mindrecord" in sources:
        for workers in PROCESSES:  # its threads are at most the processors
            way = f"MindDataset, workers {workers}"
            ways[way] = partial(_read_by_mindspore, place / "mindrecord", workers)
    return ways


def _read(records: RecordSource, workers: int) -> int:
    """Read all records through the pipeline's threads; their bytes."""
    order = np.random.default_rng(0).permutation(len(records)).tolist()

    def load(place: int) -> Record:
        return records[order[place]]

    everything = iterate(range(len(records)), load, workers, AHEAD)  # type: ignore[arg-type]
    return sum(len(record.image) for record in everything)


def _read_by_mindspore(folder: Path, workers: int) -> int:
    """Read all records by MindDataset, shuffled by it; their bytes."""
    from mindspore.dataset import MindDataset  # noqa: TID251 (what is measured)

    dataset = MindDataset(
        str(folder / "train.mindrecord000"),
        columns_list=["data", "label"],
        num_parallel_workers=workers,
        shuffle=True,
    )
    rows = dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)
    return sum(data.nbytes for data, _ in rows)


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    head = (
        f"{result['photographs']} photographs of {result['kilobytes']:.0f} kB, median "
        f"of {result['repeats']}"
    )
    built, read = result["built_per_second"], result["read_per_second"]
    rows = [
        f"build  {way:<42} {rate:8.0f} images/s {rate / built[PLAIN]:6.2f} x"
        for way, rate in built.items()
    ]
    first = next(iter(read.values()))
    rows += [
        f"read   {way:<42} {rate:8.0f} records/s {rate / first:5.2f} x"
        for way, rate in read.items()
    ]
    return "\n".join([head, *rows])
