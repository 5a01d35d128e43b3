# SPDX-License-Identifier: Apache-2.0
"""Features of many images in one HDF5 file, in hloc's layout.

A group for each image, named by its key ("/" nests), with the datasets ``keypoints``
(N, 2) float32 x, y; ``descriptors`` (D, N); ``scores`` (N,); ``scales`` (N,);
``image_size`` (2,) int32 width, height. A picture that could not be read has a group
without datasets and the attribute ``error``, which hloc's readers pass over.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from delf_common.errors import DelfError
from delf_common.features import Features

FORMAT = "delf-features 1"
DATASETS = ("keypoints", "descriptors", "scores", "scales", "image_size")


class FeatureReader:
    """A feature file opened for reading; use it in a ``with`` block.

    Args:
        path: written by ``delf extract``.

    Raises:
        DelfError: the file is missing, or not a feature file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except FileNotFoundError:
            raise DelfError(f"{path}: there is no such feature file") from None
        except OSError as error:
            raise DelfError(f"{path} is not HDF5, or damaged ({error})") from None
        found = self._file.attrs.get("format")
        if found != FORMAT:
            self._file.close()
            raise DelfError(f"{path} has format {found!r}, not {FORMAT!r}")
        self.info: dict[str, Any] = json.loads(self._file.attrs["info"])
        self._names: list[str] = []
        self._errors: dict[str, str] = {}
        self._file.visititems(self._note)

    def __enter__(self) -> FeatureReader:
        """Return itself; the file closes at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def _note(self, name: str, item: Any) -> None:
        """Collect images with features, and those with an error."""
        if isinstance(item, h5py.Dataset) and name.endswith("/keypoints"):
            self._names.append(name.removesuffix("/keypoints"))
        if "error" in item.attrs:
            self._errors[name] = str(item.attrs["error"])

    @property
    def dimension(self) -> int:
        """Width D of a descriptor."""
        return int(self.info["dimension"])

    @property
    def descriptor_dtype(self) -> str:
        """Type of the stored descriptors, "float16" or "float32"."""
        return str(self.info["descriptor_dtype"])

    def names(self) -> list[str]:
        """Images that have features (perhaps zero of them), sorted."""
        return sorted(self._names)

    def errors(self) -> dict[str, str]:
        """Why pictures could not be read, by name."""
        return dict(sorted(self._errors.items()))

    def read(self, name: str) -> Features:
        """Read one image.

        Raises:
            DelfError: the file has no features of this image, or they are damaged.
        """
        if name not in self._file or "keypoints" not in self._file[name]:
            why = self._errors.get(name, "see delf extract")
            raise DelfError(f"{self.path} has no features of {name!r}: {why}")
        group = self._file[name]
        try:
            values = {key: group[key][()] for key in DATASETS}
            width, height = values["image_size"].tolist()
            return Features(
                values["keypoints"].astype(np.float32),
                np.ascontiguousarray(values["descriptors"].T, np.float32),
                values["scores"].astype(np.float32),
                values["scales"].astype(np.float32),
                (width, height),
            )
        except (KeyError, ValueError, OSError) as error:
            raise DelfError(f"{self.path}: {name} is damaged ({error})") from None


def add_features(file: h5py.File, name: str, features: Features, dtype: str) -> None:
    """Write one image's group.

    Raises:
        DelfError: the name is one that the file cannot hold beside the others.
    """
    group = make_group(file, name)
    group["keypoints"] = features.keypoints
    group["descriptors"] = np.ascontiguousarray(features.descriptors.T).astype(dtype)
    group["scores"] = features.scores
    group["scales"] = features.scales
    group["image_size"] = np.array(features.image_size, np.int32)


def add_error(file: h5py.File, name: str, error: str) -> None:
    """Write why a picture has no features."""
    make_group(file, name).attrs["error"] = error


def make_group(file: h5py.File, name: str) -> h5py.Group:
    """Make the group of an image.

    Raises:
        DelfError: a name is also a folder of another, or is that of a dataset.
    """
    if name in file or name.rpartition("/")[2] in DATASETS:
        raise DelfError(
            f"{name!r} cannot be stored: it is also a folder of another picture, or the "
            f"name of a dataset; rename the file"
        )
    try:
        return file.create_group(name)
    except ValueError as error:
        raise DelfError(f"{name!r} cannot be stored ({error})") from None
