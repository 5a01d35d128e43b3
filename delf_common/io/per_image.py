# SPDX-License-Identifier: Apache-2.0
"""Folders with a feature file per image: TensorFlow's ``.delf``, the original's npz.

The files know neither the photograph's size nor the suffix of its name; where the
photographs are at hand, the name comes from them (for the size see photo_sizes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.delf_proto import read_delf, write_delf
from delf_common.io.feature_set import FeatureSet
from delf_common.io.image_list import IMAGE_SUFFIXES, find_named
from delf_common.io.legacy_npz import read_legacy, write_legacy
from delf_common.io.matches_file import Pair
from delf_common.matching.matcher import ImageMatch


@dataclass(frozen=True)
class FolderFormat:
    """How one image's features are stored.

    Args:
        suffixes: a file that ends so stands for an image; the first is written.
        read: from the path without the suffix, and the suffix.
        write: to the path without the suffix.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path, str], Features]
    write: Callable[[Path, Features], None]


DELF = FolderFormat(
    (".delf", ".delg_local"),
    lambda stem, suffix: read_delf(Path(f"{stem}{suffix}")),
    lambda stem, features: write_delf(Path(f"{stem}.delf"), features),
)
NPZ = FolderFormat(
    (".location.npz",),
    lambda stem, _: read_legacy(stem),
    write_legacy,
)


@dataclass(frozen=True)
class FolderSet:
    """A folder of such files.

    Args:
        form: how they are stored.
        files: path without suffix, and the suffix, by name of the image.
    """

    form: FolderFormat
    files: dict[str, tuple[Path, str]]

    def names(self) -> list[str]:
        """Images that have features, sorted."""
        return sorted(self.files)

    def read(self, name: str) -> Features:
        """Features of one image, its size (0, 0)."""
        return self.form.read(*self.files[name])

    def pairs(self) -> list[Pair]:
        """No pairs: these formats have no matches."""
        return []

    def match(self, pair: Pair) -> ImageMatch:
        """Fail: there are no pairs."""
        raise DelfError(f"there are no matches of {pair[0]} and {pair[1]}")


@contextmanager
def open_folder(
    folder: Path, form: FolderFormat, image_root: Path | None = None
) -> Iterator[FolderSet]:
    """Open a folder, its sub-folders included.

    Args:
        folder: where the files are.
        form: how they are stored.
        image_root: the photographs' folder, with the same sub-folders; or None.

    Raises:
        DelfError: there are no such files, two of one image, or no photograph of one.
    """
    files: dict[str, tuple[Path, str]] = {}
    for suffix in form.suffixes:
        for path in sorted(folder.rglob(f"*{suffix}")):
            stem = Path(str(path).removesuffix(suffix))
            name = stem.relative_to(folder).as_posix()
            if image_root is not None:
                photograph = find_named(image_root, name)
                if photograph is None:
                    raise DelfError(f"{path}: {image_root} has no photograph {name}")
                name = photograph.relative_to(image_root).as_posix()
            if name in files:
                raise DelfError(f"{folder} has the features of {name} twice")
            files[name] = (stem, suffix)
    if not files:
        raise DelfError(f"{folder} has no {' or '.join(form.suffixes)} files")
    yield FolderSet(form, files)


def write_folder(source: FeatureSet, folder: Path, form: FolderFormat) -> None:
    """Write a file for each image, each beside its name and then renamed.

    The name is the photograph's without its suffix, as TensorFlow's and the original's
    scripts look for it.

    Raises:
        DelfError: two photographs differ by the suffix only.
    """
    stems: dict[str, str] = {}
    for name in source.names():
        twin = stems.setdefault(without_suffix(name), name)
        if twin != name:
            raise DelfError(f"{twin} and {name} would be one file; rename one")
    for stem, name in stems.items():
        path = folder / stem
        path.parent.mkdir(parents=True, exist_ok=True)
        form.write(path, source.read(name))


def without_suffix(name: str) -> str:
    """Name without a picture's suffix; other dots are part of the name."""
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name
