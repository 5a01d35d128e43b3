# SPDX-License-Identifier: Apache-2.0
"""A folder of photographs into a folder of classes, each a folder of views."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from delf_common.errors import DelfError, ImageError
from delf_common.io.atomic import replacing
from delf_common.training.views import ViewConfig, render_view

Image = NDArray[np.uint8]
QUALITY = 95
OTHERS = 4


def render_folder(
    photos: Path,
    output: Path,
    views: int,
    seed: int,
    workers: int = 1,
    config: ViewConfig | None = None,
) -> int:
    """Write ``output/CLASS/NNN.jpg``: ``views`` views of each ``photos/CLASS.jpg``.

    View n of a photograph is drawn from (seed, the photograph's name, n), so the bytes
    are the same for any number of workers. Views that are there already are kept: a run
    that was cut off goes on where it was.

    Returns:
        Number of views written now.

    Raises:
        DelfError: no photograph there, or ``views`` or ``workers`` below 1.
        ImageError: a photograph cannot be read.
    """
    names = sorted(path.stem for path in photos.glob("*.jpg"))
    if not names:
        raise DelfError(
            f"{photos} holds no *.jpg; fetch them: tools/training_photos.py"
        )
    if views < 1 or workers < 1:
        raise DelfError(f"{views} views, {workers} workers: both must be at least 1")
    config = config or ViewConfig()
    job = partial(_render_class, photos, output, names, views, seed, config)
    if workers == 1:
        return sum(map(job, tqdm(names, disable=None)))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return sum(tqdm(pool.map(job, names), total=len(names), disable=None))


def _render_class(
    photos: Path,
    output: Path,
    names: list[str],
    views: int,
    seed: int,
    config: ViewConfig,
    name: str,
) -> int:
    cv2.setNumThreads(1)
    files = [output / name / f"{number:03d}.jpg" for number in range(views)]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    if not missing:
        return 0
    image = _read(photos / f"{name}.jpg")
    for number in missing:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        drawn = rng.choice(len(names), min(OTHERS, len(names)), replace=False)
        others = [_read_small(photos / f"{names[i]}.jpg") for i in drawn]
        strangers = [o for i, o in zip(drawn, others, strict=True) if names[i] != name]
        view = render_view(image, rng, strangers, config)
        with replacing(files[number]) as temporary:
            flags = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            cv2.imwrite(os.fspath(temporary), view[..., ::-1], flags)
    return len(missing)


def _read(path: Path) -> Image:
    """RGB (H, W, 3)."""
    pixels = cv2.imread(os.fspath(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ImageError(f"{path} cannot be read as a picture")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


@lru_cache(maxsize=256)
def _read_small(path: Path) -> Image:
    """At most 480 pixels wide or high: it only stands in front or around."""
    image = _read(path)
    scale = min(1.0, 480 / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
