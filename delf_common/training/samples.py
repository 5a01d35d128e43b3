# SPDX-License-Identifier: Apache-2.0
"""One sample of a batch: decoded, cropped, and replaced if its record is bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import ImageError, UsageError
from delf_common.training.cropping import (
    METHODS,
    Image,
    Resize,
    flip_half,
    jitter_colors,
    random_crop,
    whole_photograph,
)
from delf_common.training.decoding import decode_record
from delf_common.training.order import crop_generator, order_of_epoch
from delf_common.training.records import RecordSource

Crop = Literal["random", "fixed"]


@dataclass(frozen=True)
class BatchConfig:
    """What the batches are made of.

    Args:
        batch_size: photographs of this process.
        image_size: side of the square crops, in pixels.
        seed: of the order and the crops.
        crop: "random", or "fixed" for the whole photograph, the same every epoch,
            without flip or jitter and always bilinear.
        resize: of random crops, "area" or "bilinear".
        flip: mirror half of the photographs.
        color_jitter: strength, 0 for none, at most 1.
        shuffle: a new order in every epoch; False keeps the source's order.
        repeat: go on for ever; False gives each record once, the last batch may be
            short.
        bad_record_limit: records that may fail to decode; one more stops the stream.
    """

    batch_size: int = 32
    image_size: int = 321
    seed: int = 0
    crop: Crop = "random"
    resize: Resize = "area"
    flip: bool = False
    color_jitter: float = 0.0
    shuffle: bool = True
    repeat: bool = True
    bad_record_limit: int = 100

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        for name, least in {
            "batch_size": 1,
            "image_size": 1,
            "seed": 0,
            "bad_record_limit": 0,
        }.items():
            value = getattr(self, name)
            if value < least:
                raise UsageError(f"{name} {value}: must be {least} or above")
        if not 0 <= self.color_jitter <= 1:
            raise UsageError(f"color_jitter {self.color_jitter}: must be 0 to 1")
        if self.crop not in ("random", "fixed"):
            raise UsageError(f"crop {self.crop!r}: must be 'random' or 'fixed'")
        if self.resize not in METHODS:
            raise UsageError(f"resize {self.resize!r}: must be 'area' or 'bilinear'")


class Sample(NamedTuple):
    """One photograph of a batch.

    Args:
        image: (S, S, 3) uint8; empty if no record could be decoded in its place.
        label: class of the record shown.
        name: of the record shown.
        bad: messages by name of the records that did not decode before it.
    """

    image: NDArray[np.uint8]
    label: int
    name: str
    bad: dict[str, str]


class Sampler:
    """Samples of the endless stream by their numbers; safe in threads.

    A number says all about a sample: which record it is and how it is cropped.

    Args:
        source: the records.
        config: what the samples are made of.
    """

    def __init__(self, source: RecordSource, config: BatchConfig) -> None:
        self.source = source
        self.config = config

    def record_index(self, sample: int) -> int:
        """Record that a sample is."""
        records = len(self.source)
        epoch, place = divmod(sample, records)
        if not self.config.shuffle:
            return place
        return int(order_of_epoch(records, self.config.seed, epoch)[place])

    def load(self, sample: int) -> Sample:
        """Decode and crop a sample.

        In place of a record that does not decode the next that does stands in, with its
        own label, cropped by the chance of the first. The search ends past
        ``bad_record_limit``.
        """
        records = len(self.source)
        first, epoch = self.record_index(sample), sample // records
        bad: dict[str, str] = {}
        for step in range(min(records, self.config.bad_record_limit + 1)):
            record = self.source[(first + step) % records]
            try:
                image = decode_record(record)
            except ImageError as error:
                bad[record.name] = str(error)
                continue
            return Sample(
                self._crop(image, epoch, first), record.label, record.name, bad
            )
        return Sample(np.zeros((0, 0, 3), np.uint8), -1, "", bad)

    def _crop(self, image: Image, epoch: int, record: int) -> Image:
        """Crop as the configuration says."""
        config = self.config
        if config.crop == "fixed":
            return whole_photograph(image, config.image_size)
        rng = crop_generator(config.seed, epoch, record)
        crop = random_crop(image, config.image_size, config.resize, rng)
        if config.flip:
            crop = flip_half(crop, rng)
        if config.color_jitter:
            crop = jitter_colors(crop, config.color_jitter, rng)
        return crop
