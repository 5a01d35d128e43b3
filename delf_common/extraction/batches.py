# SPDX-License-Identifier: Apache-2.0
"""Decode pictures ahead of the network, and group those of one shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from delf_common.errors import ImageError
from delf_common.extraction.stages import DECODE, Timed, untimed
from delf_common.io.image_list import ImageEntry
from delf_common.io.images import read_image
from delf_common.protocols import Image


@dataclass(frozen=True)
class Decoded:
    """A picture, or why there is none."""

    key: str
    image: Image | None
    error: str = ""


def decode(entry: ImageEntry, max_pixels: int, timed: Timed = untimed) -> Decoded:
    """Read one picture; a broken one becomes its error text."""
    try:
        with timed(DECODE):
            return Decoded(entry.key, read_image(entry.path, max_pixels=max_pixels))
    except ImageError as error:
        return Decoded(entry.key, None, str(error))


def decode_ahead(
    entries: Sequence[ImageEntry],
    max_pixels: int,
    workers: int,
    ahead: int,
    timed: Timed = untimed,
) -> Iterator[Decoded]:
    """Decode in threads (Pillow releases the interpreter), and give the input order.

    Args:
        entries: what to read.
        max_pixels: limit of one picture.
        workers: decoding threads; 0 decodes in the caller's.
        ahead: most pictures decoded before they are asked for; bounds the memory.
        timed: told of every picture's decoding.
    """
    if workers == 0:
        yield from (decode(entry, max_pixels, timed) for entry in entries)
        return
    waiting: deque[Future[Decoded]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for entry in entries:
                waiting.append(pool.submit(decode, entry, max_pixels, timed))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def group_by_shape(
    pictures: Iterable[Decoded], batch_size: int
) -> Iterator[list[Decoded]]:
    """Collect pictures of one shape into batches.

    At most ``4 * batch_size`` pictures wait; then the fullest group goes as it is.
    Broken pictures pass through as a batch of their own.

    Args:
        pictures: in any order.
        batch_size: most pictures in a batch.
    """
    groups: dict[tuple[int, ...], list[Decoded]] = {}
    for picture in pictures:
        if picture.image is None:
            yield [picture]
            continue
        group = groups.setdefault(picture.image.shape, [])
        group.append(picture)
        full = len(group) == batch_size
        if full or sum(map(len, groups.values())) >= 4 * batch_size:
            fullest = max(groups.items(), key=lambda item: len(item[1]))[0]
            yield groups.pop(picture.image.shape if full else fullest)
    yield from groups.values()
