# SPDX-License-Identifier: Apache-2.0
"""A training set as a folder of folders: one folder of photographs for each class."""

from __future__ import annotations

from pathlib import Path

from delf_common.errors import DelfError
from delf_common.io.image_list import list_images
from delf_common.training.file_records import FileRecords
from delf_common.training.labels import count_classes, number_names


def open_folder(path: str | Path, num_classes: int | None = None) -> FileRecords:
    """Open ``CLASS/photograph.jpg``; labels are dense, by sorted folder name.

    Photographs may lie deeper in a class's folder. Hidden names are left out. A record
    is called by its path below ``path``.

    Args:
        path: the folder of folders.
        num_classes: classes of the classifier; None for as many as there are folders.

    Returns:
        The records, sorted by name.

    Raises:
        DelfError: no class folder, a class folder without a picture, pictures beside
            the class folders, or more folders than ``num_classes``.
    """
    root = Path(path)
    classes = _list_classes(root)
    names = [entry.key for entry in list_images([str(root)], root)]
    loose = next((name for name in names if "/" not in name), None)
    if loose is not None:
        raise DelfError(
            f"{root / loose} lies in no class folder; put every picture into a folder "
            "named as its class"
        )
    owners = [name.split("/", 1)[0] for name in names]
    empty = sorted(set(classes) - set(owners))
    if empty:
        raise DelfError(
            f"{root / empty[0]}: the class folder has no pictures ({len(empty)} such "
            "folders); remove it, or fill it"
        )
    labels, class_names = number_names(owners)
    limit = count_classes(labels, num_classes, lambda index: str(root / names[index]))
    provenance = {"records": "folder", "path": str(root)}
    return FileRecords(root, names, labels, limit, provenance, class_names=class_names)


def _list_classes(root: Path) -> list[str]:
    """Names of the class folders."""
    try:
        entries = [entry for entry in root.iterdir() if entry.is_dir()]
    except OSError as error:
        raise DelfError(f"{root}: {error.strerror or error}") from None
    classes = [entry.name for entry in entries if not entry.name.startswith(".")]
    if not classes:
        raise DelfError(
            f"{root} has no class folders; a training set is a folder with one folder "
            "of pictures for each class, a .csv, GLDv2's csv files, or built shards"
        )
    return sorted(classes)
