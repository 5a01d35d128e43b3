# SPDX-License-Identifier: Apache-2.0
"""Batches for training, the same bytes for every backend and any number of workers.

A sample's number in the endless stream says all about it: which record it is, and how
it is cropped. So a run can begin at any batch, and threads may work in any order.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError, UsageError
from delf_common.extras import need
from delf_common.training.order import Share
from delf_common.training.records import RecordSource
from delf_common.training.samples import BatchConfig, Sample, Sampler

__all__ = ["Batch", "BatchConfig", "Batches"]

logger = logging.getLogger(__name__)
BUFFERED = 2  # batches that are decoded ahead


class Batch(NamedTuple):
    """Photographs of one step.

    Args:
        images: (B, S, S, 3) uint8 RGB.
        labels: (B,) int64.
        names: of the records.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]


class Batches:
    """An iterator of batches for one of the processes that train together.

    Batch k of all processes together is the samples from k * B * world on; process r
    takes the r-th B of them. Thus one process with batch B * world sees what ``world``
    processes with B see. At the end of a stream that does not repeat, a process for
    which no sample is left ends one batch earlier.

    Args:
        source: the records.
        config: what the batches are made of.
        rank: which process this is.
        world: how many there are.
        workers: threads that decode; 0 decodes in the caller's.
        start: first batch; those before it cost nothing.

    Raises:
        DelfError: the source is empty.
        UsageError: rank, world, workers or start is out of range.

    Attributes:
        position: batches delivered since the stream began, which is the whole state.
        bad_records: names of the records that did not decode, as they were met in the
            delivered batches of this process.
    """

    def __init__(
        self,
        source: RecordSource,
        config: BatchConfig,
        *,
        rank: int = 0,
        world: int = 1,
        workers: int = 2,
        start: int = 0,
    ) -> None:
        if len(source) == 0:
            raise DelfError("the training set is empty")
        if not 0 <= rank < world:
            raise UsageError(f"rank {rank}: must be 0 to {world - 1} (world {world})")
        if workers < 0:
            raise UsageError(f"workers {workers}: must be 0 or above")
        self.config = config
        self.position = start
        self.bad_records: list[str] = []
        self._share = Share(config.batch_size, rank, world)
        self._sampler = Sampler(source, config)
        self._iterator = self._open(len(source), workers)

    def __iter__(self) -> Iterator[Batch]:
        """Return the iterator itself."""
        return self

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises:
            StopIteration: at the end of a stream that does not repeat.
            DelfError: more records than the limit do not decode, or the source cannot
                be read. The stream is closed then.
            ValueError: the stream is closed.
        """
        try:
            samples = list(islice(self._iterator, self.config.batch_size))
            self._note_bad(samples)
        except BaseException:
            self.close()  # grain would go on behind the sample that failed
            raise
        if not samples:
            raise StopIteration
        self.position += 1
        images = np.stack([sample.image for sample in samples])
        labels = np.array([sample.label for sample in samples], np.int64)
        return Batch(images, labels, tuple(sample.name for sample in samples))

    def close(self) -> None:
        """Stop the threads; no batch can be had afterwards."""
        self._iterator.close()

    def records_of(self, batch: int) -> list[int]:
        """Indices of the records in this process's part of a batch."""
        size = self.config.batch_size
        places = range(batch * size, (batch + 1) * size)
        return [self._sampler.record_index(self._share.sample(p)) for p in places]

    def _open(self, records: int, workers: int) -> Any:
        """Iterator of grain over the samples from ``position`` on."""
        size = self.config.batch_size
        begin = self.position * size
        end = sys.maxsize if self.config.repeat else self._share.count(records)
        batches = -(-records // (size * self._share.world))
        last = sys.maxsize // size if self.config.repeat else batches
        if not 0 <= self.position <= last:
            raise UsageError(f"start {self.position}: must be 0 to {last}")
        return iterate(
            range(begin, max(begin, end)),
            lambda place: self._sampler.load(self._share.sample(place)),
            workers,
            BUFFERED * size,
        )

    def _note_bad(self, samples: list[Sample]) -> None:
        """Log each bad record once; raise DelfError past the limit."""
        for sample in samples:
            for name, reason in sample.bad.items():
                if name not in self.bad_records:
                    self.bad_records.append(name)
                    logger.warning("%s; the next record stands in", reason)
            limit = self.config.bad_record_limit
            if len(self.bad_records) > limit:
                listed = "\n  ".join(self.bad_records)
                raise DelfError(
                    f"{len(self.bad_records)} records do not decode, over the "
                    f"bad_record_limit of {limit}; remove them from the training set, "
                    f"or raise the limit:\n  {listed}"
                )
            if not sample.image.size:
                raise DelfError(
                    "no record of the training set decodes: " + ", ".join(sample.bad)
                )


def iterate(
    places: range, load: Callable[[int], Sample], workers: int, buffered: int
) -> Any:
    """Iterate over ``load`` of each place in order, by grain's threads.

    An error in a thread is raised where its sample would have been returned.
    """
    grain = _import_grain()
    samples = grain.MapDataset.range(places.start, places.stop).map(load)
    options = grain.ReadOptions(
        num_threads=workers, prefetch_buffer_size=buffered if workers else 0
    )
    return iter(samples.to_iter_dataset(options))


def _import_grain() -> Any:
    """Import grain: it takes a second, and warns by a handler of its own of no JAX."""
    need("grain")
    from absl import logging as absl_logging

    talkative, handlers = absl_logging.get_absl_logger(), logging.root.handlers
    level, before = talkative.level, list(handlers)
    talkative.setLevel(logging.ERROR)
    try:
        import grain  # type: ignore[import-untyped, unused-ignore]
    finally:
        talkative.setLevel(level)
        handlers[:] = before
    return grain
