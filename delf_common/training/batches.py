# SPDX-License-Identifier: Apache-2.0
"""The batches of a run: to train on, to validate with, and a few to look at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delf_common.training.config import TrainConfig
from delf_common.training.feature_cache import CachedFeatures, Features
from delf_common.training.open_records import open_records
from delf_common.training.pipeline import BatchConfig, Batches
from delf_common.training.records import RecordSource
from delf_common.training.split import split_records
from delf_common.training.trainer import Inputs, Labels, World

SAMPLES = 4  # photographs whose attention is drawn


class Streams:
    """Batches of this process.

    Args:
        config: of the run.
        world: the processes that train together.
        source: records to train on.
        held_out: records to validate on, None for no validation.
    """

    def __init__(
        self,
        config: TrainConfig,
        world: World,
        source: RecordSource,
        held_out: RecordSource | None,
    ) -> None:
        self.config = config
        self.world = world
        self.source = source
        self.held_out = held_out
        self.num_classes = config.num_classes or source.num_classes
        self.training: Batches | None = None
        self.cached: CachedFeatures | None = None
        self._samples: NDArray[np.uint8] | None = None

    @property
    def validates(self) -> bool:
        """Whether there is anything to validate with."""
        return self.held_out is not None

    def go_to(self, done: int) -> None:
        """Let the next batch be the one after ``done`` batches."""
        self.close()
        config = self.config
        settings = BatchConfig(
            batch_size=config.batch_size,
            image_size=config.image_size,
            seed=config.seed,
            crop=config.crop,
            resize=config.resize,
            flip=config.flip,
            color_jitter=config.color_jitter,
            bad_record_limit=config.bad_record_limit,
        )
        self.training = self._batches(self.source, settings, done)

    def next(self) -> tuple[Inputs, Labels]:
        """Return the inputs and labels (B,) int64 of the next step.

        Inputs are images (B, S, S, 3) uint8, or after `cache` their features.

        Raises:
            DelfError: too many records do not decode.
        """
        if self.training is None:
            raise RuntimeError("go_to comes before next")
        if self.cached is None:
            batch = next(self.training)
            return batch.images, batch.labels
        records = self.training.records_of(self.training.position)
        self.training.position += 1
        return self.cached.features[records], self.cached.labels[records]

    def cache(self, features: Callable[[NDArray[np.uint8]], Features]) -> None:
        """Compute the features of every photograph once; `next` returns them.

        Args:
            features: (B, S, S, 3) uint8 to (B, C, h, w) float32.
        """
        with contextlib.closing(self._one_pass(self.source, alone=True)) as batches:
            self.cached = CachedFeatures(batches, features, len(self.source))

    def validation(self) -> Iterator[tuple[NDArray[np.uint8], Labels]]:
        """Whole photographs, once each, this process's share of them."""
        if self.held_out is None:
            return
        with contextlib.closing(self._one_pass(self.held_out)) as batches:
            for count, batch in enumerate(batches):
                if count == self.config.validation_batches:
                    return
                yield batch.images, batch.labels

    @property
    def samples(self) -> NDArray[np.uint8]:
        """A few photographs (N, S, S, 3), always the same ones."""
        if self._samples is None:
            with contextlib.closing(self._one_pass(self.held_out or self.source)) as b:
                self._samples = next(iter(b)).images[:SAMPLES]
        return self._samples

    def close(self) -> None:
        """Stop the threads that decode."""
        if self.training is not None:
            self.training.close()
            self.training = None

    def _one_pass(self, source: RecordSource, alone: bool = False) -> Batches:
        settings = BatchConfig(
            batch_size=self.config.batch_size,
            image_size=self.config.image_size,
            seed=self.config.seed,
            crop="fixed",
            shuffle=False,
            repeat=False,
            bad_record_limit=self.config.bad_record_limit,
        )
        return self._batches(source, settings, alone=alone)

    def _batches(
        self,
        source: RecordSource,
        settings: BatchConfig,
        start: int = 0,
        alone: bool = False,
    ) -> Batches:
        rank, size = (0, 1) if alone else (self.world.rank, self.world.size)
        workers = self.config.workers
        return Batches(
            source, settings, rank=rank, world=size, workers=workers, start=start
        )


class StreamsFactory(Protocol):
    """Makes the streams of a run; `Streams` itself, or a backend's own."""

    def __call__(
        self,
        config: TrainConfig,
        world: World,
        source: RecordSource,
        held_out: RecordSource | None,
    ) -> Streams:
        """See `Streams`."""


@contextlib.contextmanager
def open_streams(
    config: TrainConfig, world: World, make: StreamsFactory = Streams
) -> Iterator[Streams]:
    """Open the data of a run; closes its threads at the end.

    Args:
        config: of the run.
        world: the processes that train together.
        make: makes the streams.

    Raises:
        DelfError: the data are missing, damaged or wrongly labelled.
    """
    source = open_records(config.traindata_path, config.num_classes)
    held_out: RecordSource | None = None
    if config.validation_path:
        classes = config.num_classes or source.num_classes
        held_out = open_records(config.validation_path, classes)
    elif config.validation_split:
        source, held_out = split_records(source, config.validation_split, config.seed)
    streams = make(config, world, source, held_out)
    try:
        yield streams
    finally:
        streams.close()
