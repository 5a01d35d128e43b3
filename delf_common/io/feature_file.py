# SPDX-License-Identifier: Apache-2.0
"""Features of many images in one HDF5 file, in hloc's layout.

A group for each image, named by its key ("/" nests), with the datasets ``keypoints``
(N, 2) float32 x, y; ``descriptors`` (D, N); ``scores`` (N,); ``scales`` (N,);
``image_size`` (2,) int32 width, height. A picture that could not be read has a group
without datasets and the attribute ``error``, which hloc's readers pass over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from delf_common.errors import DelfError
from delf_common.features import Features

FORMAT = "delf-features 1"
LONGEST_ERROR = 1000  # characters; an attribute has no room for more than 64 KiB
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
        self._names: set[str] = set()
        self._errors: dict[str, str] = {}
        try:
            self.info = self._read_info()
            self._file.visititems(self._note)
        except DelfError:
            self._file.close()
            raise

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

    def _read_info(self) -> dict[str, Any]:
        """Read the file's attributes: weights, settings, descriptor type."""
        found = self._file.attrs.get("format")
        if found != FORMAT:
            raise DelfError(f"{self.path} has format {found!r}, not {FORMAT!r}")
        try:
            return dict(json.loads(self._file.attrs["info"]))
        except (KeyError, ValueError, TypeError) as error:
            raise DelfError(
                f"{self.path}: its attributes are damaged ({error})"
            ) from None

    def _note(self, name: str, item: Any) -> None:
        """Collect images with features, and those with an error."""
        if isinstance(item, h5py.Dataset):
            if name.endswith("/keypoints"):
                self._names.add(name.removesuffix("/keypoints"))
        elif "error" in item.attrs:
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
        if name not in self._names:
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
    """Write why a picture has no features, in characters that HDF5 can hold."""
    text = error.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    make_group(file, name).attrs["error"] = text[:LONGEST_ERROR]


def make_group(file: h5py.File, name: str) -> h5py.Group:
    """Make the group of an image, which may also be a folder of others.

    Raises:
        DelfError: the name cannot be stored (see `refuse_names`), or is there already.
    """
    refuse_names([name])
    try:
        group = file.require_group(name)
    except (ValueError, TypeError):
        raise DelfError(f"{name!r} cannot be stored: a dataset has its name") from None
    if "error" in group.attrs or any(own in group for own in DATASETS):
        raise DelfError(
            f"{name!r} cannot be stored: it is there twice, or has a folder with a "
            f"dataset's name"
        )
    return group


def refuse_names(names: Iterable[str]) -> None:
    """Refuse names of pictures that one file cannot hold, or not beside each other.

    "a" and "a/b" go together. "keypoints" does not go at all, and "a/keypoints/b" not
    beside "a", where a's dataset has that name; so with the other datasets.

    Raises:
        DelfError: names the picture.
    """
    known = set(names)
    for name in sorted(known):
        parts = name.split("/")
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            if part in DATASETS and (last or "/".join(parts[:i]) in known):
                raise DelfError(
                    f"{name!r} cannot be stored: {part} is the name of a dataset; "
                    f"rename the picture or its folder"
                )
