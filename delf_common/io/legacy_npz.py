# SPDX-License-Identifier: Apache-2.0
"""The four ``.npz`` files per image of the MindSpore DELF.

``<name>.location.npz`` (N, 2) y, x; ``<name>.scale.npz`` (N,);
``<name>.feature.npz`` (N, D); ``<name>.score.npz`` (N,); each holds one array, under
``arr_0``.

Source: mindspore-ai/models research/cv/delf, src/extract_feature.py.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.atomic import replacing

KEY = "arr_0"


def npz_path(stem: Path, part: str) -> Path:
    """Path of one of the four files; dots in the name are part of the name."""
    return stem.with_name(f"{stem.name}.{part}.npz")


def read_legacy(stem: Path, image_size: tuple[int, int] = (0, 0)) -> Features:
    """Read the four files of an image.

    Args:
        stem: their common path, without ``.location.npz`` and so on.
        image_size: width and height of the picture, which the files do not know.

    Returns:
        The features in the files' order, keypoints as x, y.

    Raises:
        DelfError: a file is missing or damaged, or they do not belong together.
    """
    location = _load(npz_path(stem, "location"))
    count = len(location)
    parts = [_load(npz_path(stem, part)) for part in ("feature", "score", "scale")]
    descriptors, scores, scales = parts
    try:
        return Features(
            np.ascontiguousarray(location.reshape(count, 2)[:, ::-1]),
            descriptors if count else descriptors.reshape(0, _width(descriptors)),
            scores.reshape(count),
            scales.reshape(count),
            image_size,
        )
    except ValueError as error:
        raise DelfError(f"{stem}: its four .npz files do not fit ({error})") from None


def write_legacy(stem: Path, features: Features) -> None:
    """Write the four files of an image, each beside its name and then renamed."""
    arrays = {
        "location": features.keypoints[:, ::-1],
        "scale": features.scales,
        "feature": features.descriptors,
        "score": features.scores,
    }
    for part, array in arrays.items():
        with (
            replacing(npz_path(stem, part)) as temporary,
            temporary.open("wb") as file,
        ):
            np.savez(file, **{KEY: np.ascontiguousarray(array)})


def _width(descriptors: NDArray[np.float32]) -> int:
    """Width D of no descriptors: their own, or 0 where the file has a bare (0,)."""
    return descriptors.shape[1] if descriptors.ndim == 2 else 0


def _load(path: Path) -> NDArray[np.float32]:
    """Read the array of one file as float32."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[KEY], np.float32)
    except FileNotFoundError:
        raise DelfError(f"{path} is missing") from None
    except KeyError:
        raise DelfError(f"{path} has no array {KEY}") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DelfError(f"{path} is no .npz of numbers ({error})") from None
