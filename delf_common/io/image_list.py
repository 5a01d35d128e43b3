# SPDX-License-Identifier: Apache-2.0
"""Which pictures a command means: folders, files, list files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delf_common.errors import DelfError

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .png .webp .bmp .gif .tif .tiff .ppm .pgm .pbm .jp2".split()
)


@dataclass(frozen=True)
class ImageEntry:
    """A picture and its name in our files.

    Args:
        key: path below the image root, with "/" between folders.
        path: where the file is.
    """

    key: str
    path: Path


def list_images(
    inputs: Sequence[str], image_root: Path | None = None
) -> list[ImageEntry]:
    """Collect pictures in the order of the inputs, those of a folder sorted by name.

    Args:
        inputs: folders (walked to their depths, hidden names left out), pictures, or
            list files (.txt: one path a line, relative to ``image_root``, or else to
            the list).
        image_root: folder that names are relative to. By default the folder itself, the
            folder of the list, or the deepest folder that holds all inputs.

    Returns:
        At least one entry; each picture once.

    Raises:
        DelfError: an input does not exist, lies outside the root, or nothing is found;
            a list names only files that do not exist; a name is not Unicode.
    """
    paths = [path for name in inputs for path in _expand(Path(name), image_root)]
    if not paths:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise DelfError(f"no pictures in {', '.join(inputs)}; looked for {known}")
    root = absolute(image_root) if image_root else _common_root(inputs, paths)
    entries: dict[str, ImageEntry] = {}
    for path in map(absolute, paths):
        try:
            key = path.relative_to(root).as_posix()
        except ValueError:
            raise DelfError(f"{path} is not below the image root {root}") from None
        refuse_undecodable(key)
        entries.setdefault(key, ImageEntry(key, path))
    return list(entries.values())


def find_named(folder: Path, name: str) -> Path | None:
    """Find a picture in a folder by its name, or by its name without the suffix."""
    names = (name, *(f"{name}{suffix}" for suffix in sorted(IMAGE_SUFFIXES)))
    return next((folder / n for n in names if (folder / n).is_file()), None)


def absolute(path: Path) -> Path:
    """Absolute path without "..", links kept as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)


def refuse_undecodable(key: str) -> None:
    """Raise DelfError for a file name that is not UTF-8, which HDF5 cannot store."""
    try:
        key.encode()
    except UnicodeEncodeError:
        raise DelfError(
            f"the file name {os.fsencode(key)!r} is not UTF-8; rename the file"
        ) from None


def _expand(path: Path, image_root: Path | None) -> list[Path]:
    """Pictures that one input stands for."""
    if path.is_dir():
        found = (p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        visible = (p for p in found if not _is_hidden(p.relative_to(path)))
        files = (p for p in visible if p.is_file())
        return sorted(files, key=lambda p: p.relative_to(path).as_posix())
    if not path.exists():
        raise DelfError(f"{path}: there is no such file or folder")
    if path.suffix.lower() != ".txt":
        return [path]
    return _read_list(path, image_root or path.parent)


def _read_list(path: Path, folder: Path) -> list[Path]:
    """Pictures that a list names; one that is missing is left for the job to record."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DelfError(f"{path}: the list is not UTF-8 text ({error})") from None
    pictures = [folder / line.strip() for line in lines if line.strip()]
    if pictures and not any(map(os.path.exists, pictures)):
        raise DelfError(
            f"{path}: none of its {len(pictures)} pictures exists, such as "
            f"{pictures[0]}; say where they are with --image_root"
        )
    return pictures


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _common_root(inputs: Sequence[str], paths: Sequence[Path]) -> Path:
    """Deepest folder above every input."""
    given = [absolute(Path(name)) for name in inputs]
    tops = [path if path.is_dir() else path.parent for path in given]
    folders = {absolute(path).parent for path in paths}
    root = Path(os.path.commonpath(tops))
    if all(folder.is_relative_to(root) for folder in folders):
        return root
    return Path(os.path.commonpath(folders))  # a list of pictures that lie elsewhere
