# SPDX-License-Identifier: Apache-2.0
"""Training batches through MindSpore's own MindDataset, as the MindSpore DELF's.

Order and crops come from MindSpore's generators: a resumed run goes on at the same
place of the order, and crops other pixels than the run that was killed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mindspore.dataset as ds
import numpy as np
from mindspore.dataset import vision

from delf_common.errors import DelfError, UsageError
from delf_common.training.batches import Streams
from delf_common.training.config import TrainConfig
from delf_common.training.pipeline import Batch
from delf_common.training.trainer import Inputs, Labels, World

BUFFER = 100  # samples that are shuffled together, behind MindDataset's own shuffle
ATTEMPTS = 100  # boxes that are drawn before the whole photograph is taken


class MindStreams(Streams):
    """Streams whose training batches MindDataset reads; the rest is shared."""

    def go_to(self, done: int) -> None:
        """Let the next batch be the one after ``done`` batches.

        Raises:
            UsageError: the data are no MindRecord shards.
        """
        self.close()
        origin = self.source.provenance
        shard = origin.get("first", origin.get("path", ""))
        if ".mindrecord" not in Path(shard).name:
            raise UsageError(
                f"--pipeline minddataset reads MindRecord shards, and "
                f"{self.config.traindata_path} holds none; use --pipeline shared"
            )
        self.batches = MindBatches(shard, self.config, self.world, done)

    def next(self) -> tuple[Inputs, Labels]:
        """Return the images (B, S, S, 3) uint8 and labels (B,) int64 of a step."""
        batch = next(self.batches)
        return batch.images, batch.labels


class MindBatches:
    """An endless iterator of batches that MindDataset reads, decodes and crops.

    Args:
        shard: any file of the set, which names the others.
        config: batch size, crops, seed, threads.
        world: the processes that train together; each reads every size-th record.
        start: batches that are passed over, at the price of reading them.
    """

    def __init__(
        self, shard: str, config: TrainConfig, world: World, start: int
    ) -> None:
        ds.config.set_seed(config.seed)
        threads = max(config.workers, 1)
        data = ds.MindDataset(
            shard,
            ["data", "label"],
            num_parallel_workers=threads,
            num_shards=world.size,
            shard_id=world.rank,
        )
        for operation in (vision.Decode(), crop_operation(config)):
            data = data.map(operation, "data", num_parallel_workers=threads)
        data = data.repeat().shuffle(BUFFER).batch(config.batch_size, True)
        self._rows = (data.skip(start) if start else data).create_tuple_iterator(
            num_epochs=1, output_numpy=True
        )

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises:
            DelfError: a shard or a picture in it is damaged.
        """
        try:
            images, labels = next(self._rows)
        except RuntimeError as error:
            raise DelfError(
                f"MindDataset: {first_line(error)}; --pipeline shared names the record "
                "and goes on without it"
            ) from None
        return Batch(images, np.asarray(labels, np.int64), ())


def crop_operation(config: TrainConfig) -> Any:
    """The MindSpore DELF's random crop, or the whole photograph."""
    size = config.image_size
    way = vision.Inter.AREA if config.resize == "area" else vision.Inter.LINEAR
    if config.crop == "fixed":
        return vision.Resize((size, size), vision.Inter.LINEAR)
    return vision.RandomResizedCrop(size, interpolation=way, max_attempts=ATTEMPTS)


def first_line(error: Exception) -> str:
    """What a C++ error says before its traces."""
    return next((line for line in str(error).splitlines() if line.strip()), "failed")
