# SPDX-License-Identifier: Apache-2.0
"""Which record is which sample of the endless stream, and who takes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# First words of the seeds, which keep order and crops apart; SeedSequence fills short
# seeds up with zeros, so that without them [seed, epoch] were [seed, epoch, record 0].
ORDER_SEED, CROP_SEED, SHARD_SEED = 1, 2, 3


@lru_cache(maxsize=3)
def order_of_epoch(records: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """Order of the records in an epoch: a stable sort by raw bits of PCG64.

    Raw bits are the same in every NumPy; its permutations are not promised to be. All
    records are shuffled together: a second an epoch for the four million of GLDv2.
    """
    sequence = np.random.SeedSequence([ORDER_SEED, seed, epoch])
    return np.argsort(np.random.PCG64(sequence).random_raw(records), kind="stable")


def crop_generator(seed: int, epoch: int, record: int) -> np.random.Generator:
    """Chance for one record in one epoch, whoever crops it and when."""
    sequence = np.random.SeedSequence([CROP_SEED, seed, epoch, record])
    return np.random.Generator(np.random.PCG64(sequence))


@dataclass(frozen=True)
class Share:
    """One process's part of the stream.

    Batch k of all processes is samples k * B * world and on; process r takes the r-th B
    of them.

    Args:
        batch_size: B, samples of this process in a batch.
        rank: r, which process this is.
        world: how many there are.
    """

    batch_size: int
    rank: int = 0
    world: int = 1

    def sample(self, place: int) -> int:
        """Sample of all processes' stream by its place in this process's."""
        batch, row = divmod(place, self.batch_size)
        return (batch * self.world + self.rank) * self.batch_size + row

    def count(self, samples: int) -> int:
        """How many of the first ``samples`` of the stream are this process's."""
        batches, rest = divmod(samples, self.batch_size * self.world)
        last = min(max(rest - self.rank * self.batch_size, 0), self.batch_size)
        return batches * self.batch_size + last
