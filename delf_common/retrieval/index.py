# SPDX-License-Identifier: Apache-2.0
"""The features of a whole collection in one HDF5 file, laid out for searching."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.atomic import replacing
from delf_common.retrieval.columns import COLUMNS, append_images, make_columns

if TYPE_CHECKING:
    from delf_common.retrieval.codes import Codes

FORMAT = "delf-index 1"


class Index:
    """A collection opened for reading; descriptors stay in the file until asked for.

    Image i owns the rows ``offsets[i]`` to ``offsets[i + 1]`` of every column, so an
    image may have any number of features, none included.

    Args:
        path: written by `write_index`.

    Raises:
        DelfError: the file is not an index.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open_index(self.path)
        self.names: list[str] = list(self._file["names"].asstr()[()])
        self.offsets: NDArray[np.int64] = self._file["offsets"][()]
        self.image_sizes: NDArray[np.int32] = self._file["image_sizes"][()]
        self.info: dict[str, Any] = json.loads(self._file.attrs["info"])
        self._position = {name: i for i, name in enumerate(self.names)}

    def __enter__(self) -> Index:
        """Return itself; the file closes at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        """Tell whether an image of this name is in the index."""
        return name in self._position

    @property
    def dimension(self) -> int:
        """Width D of a descriptor."""
        return int(self._file["descriptors"].shape[1])

    @property
    def num_features(self) -> int:
        """Rows of all images together."""
        return int(self.offsets[-1])

    @cached_property
    def codes(self) -> Codes:
        """Open the codes beside the index, once.

        Raises:
            DelfError: there are none, or they cannot be used; see `Codes`.
        """
        from delf_common.retrieval.codes import Codes

        return Codes(self)

    def features(self, image: int | str) -> Features:
        """Read one image's features, by position or by name.

        Raises:
            DelfError: no image has this name.
        """
        if isinstance(image, str):
            if image not in self._position:
                raise DelfError(f"{self.path} holds no image {image!r}")
            image = self._position[image]
        rows = slice(int(self.offsets[image]), int(self.offsets[image + 1]))
        arrays = [self._file[name][rows].astype(np.float32) for name in COLUMNS]
        width, height = self.image_sizes[image]
        keypoints, descriptors, scores, scales = arrays
        size = (int(width), int(height))
        return Features(keypoints, descriptors, scores, scales, size)

    def descriptors(self, first: int, after: int) -> NDArray[np.float32]:
        """Read the rows from ``first`` to before ``after``: (rows, D) float32."""
        return np.asarray(self._file["descriptors"][first:after], np.float32)

    def descriptor_blocks(
        self, block_rows: int, first: int = 0
    ) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """Read the descriptors in blocks that end where an image ends.

        Args:
            block_rows: most rows in a block; an image with more is a block of its own.
            first: image to begin with.

        Yields:
            First image, image after the last, and their (rows, D) float32 descriptors.
        """
        while first < len(self):
            limit = self.offsets[first] + block_rows
            after = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            after = max(after, first + 1)
            rows = self.descriptors(int(self.offsets[first]), int(self.offsets[after]))
            yield first, after, rows
            first = after


def open_index(path: Path) -> h5py.File:
    """Open the HDF5 file and check that it is an index.

    Raises:
        DelfError: it is something else, or cannot be read.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise DelfError(
            f"{path}: there is no such index; make it: delf index"
        ) from None
    except OSError as error:
        raise DelfError(f"{path} is not an index (not HDF5: {error})") from None
    found = file.attrs.get("format")
    if found != FORMAT:
        file.close()
        raise DelfError(f"{path} has format {found!r}, not {FORMAT!r}; see delf index")
    return file


def write_index(
    path: Path,
    images: Iterable[tuple[str, Features]],
    info: dict[str, Any],
    dimension: int,
    dtype: str = "float16",
) -> int:
    """Write an index beside its name, then rename it.

    Args:
        path: the index; an existing one is replaced.
        images: name and features of each, read one at a time.
        info: weights, settings and the images' root, for JSON.
        dimension: D of the descriptors.
        dtype: of the stored descriptors, "float16" or "float32".

    Returns:
        How many images it holds.

    Raises:
        DelfError: two images have one name.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        make_columns(file, dimension, dtype)
        file.attrs["format"] = FORMAT
        file.attrs["info"] = json.dumps(info, sort_keys=True)
        return append_images(file, [], [], [], images)


def extend_index(path: Path, images: Iterable[tuple[str, Features]]) -> int:
    """Add images to an index: a copy of its file grows, and takes its name at the end.

    Descriptors get the type that the index has.

    Args:
        path: the index.
        images: name and features of each that is new, read one at a time.

    Returns:
        How many images it holds now.

    Raises:
        DelfError: two images have one name.
    """
    with Index(path) as old:
        names = list(old.names)
        counts = np.diff(old.offsets).tolist()
        sizes: list[tuple[int, int]] = [(int(w), int(h)) for w, h in old.image_sizes]
    with replacing(path) as temporary:
        shutil.copyfile(path, temporary)
        with h5py.File(temporary, "r+") as file:
            for table in ("names", "offsets", "image_sizes"):
                del file[table]
            return append_images(file, names, counts, sizes, images)
