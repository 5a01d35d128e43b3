# SPDX-License-Identifier: Apache-2.0
"""A batch of pictures on its way into a journal, in two steps that can overlap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

from tqdm import tqdm

from delf_common.errors import ImageError
from delf_common.extraction.batches import Decoded
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.seen import Seen
from delf_common.extraction.stages import JOURNAL, Timed
from delf_common.io.journal import Journal


def see(
    extractor: Extractor, batch: Sequence[Decoded], strict: bool, timed: Timed
) -> Callable[[Journal], None]:
    """Run the network on a batch; the rest is a call that does not need it.

    Returns:
        Writes the features, or the error of a broken picture, into a journal.

    Raises:
        ImageError: the picture is broken and ``strict`` is set.
    """
    images = [picture.image for picture in batch if picture.image is not None]
    if not images:
        if strict:
            raise ImageError(f"{batch[0].error} (stopped by --strict)")
        return partial(record_broken, batch[0])
    keys = [picture.key for picture in batch]  # the images themselves can go
    seen = extractor.look(images, timed)
    return partial(record_features, extractor, keys, seen, timed)


def record_features(
    extractor: Extractor,
    keys: Sequence[str],
    seen: Seen,
    timed: Timed,
    journal: Journal,
) -> None:
    """Select and describe keypoints of one batch, and write them."""
    features = extractor.describe(seen, timed)
    with timed(JOURNAL):
        for key, one in zip(keys, features, strict=True):
            journal.append(key, one)


def record_broken(picture: Decoded, journal: Journal) -> None:
    """Write why there is no picture, and say so."""
    tqdm.write(f"skipped: {picture.error}", file=sys.stderr)
    journal.append(picture.key, picture.error)
