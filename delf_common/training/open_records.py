# SPDX-License-Identifier: Apache-2.0
"""A training set by what its path is."""

from __future__ import annotations

from pathlib import Path

from delf_common.dataset.manifest import BUILDING, MANIFEST, TRAIN, VALIDATION
from delf_common.errors import DelfError
from delf_common.training.csv_source import open_csv
from delf_common.training.csv_text import read_header
from delf_common.training.file_records import RecordView
from delf_common.training.folder_source import open_folder
from delf_common.training.gldv2_source import CLEAN_CSV, TRAIN_CSV, open_gldv2
from delf_common.training.labels import count_classes
from delf_common.training.mindrecord_source import MindRecords, first_shard
from delf_common.training.records import RecordSource


def open_records(path: str | Path, num_classes: int | None = None) -> RecordSource:
    """Open a training set.

    A folder with a manifest is built shards; a folder with train.csv or
    train_clean.csv is Google Landmarks v2; another folder has a folder for each class.
    A file is a CSV, one of GLDv2's, or a shard, with a manifest beside it or, in
    MindRecord, without. Of built shards the training split is opened;
    ``FOLDER/validation`` or one of its shards is the other.

    Args:
        path: folder or file.
        num_classes: classes of the classifier; None for as many as the set has.

    Returns:
        The records; every label is in 0 ... ``num_classes`` - 1.

    Raises:
        DelfError: there is nothing at the path, it is none of these, or what is there
            is damaged, empty, or has a label outside the classes.
    """
    place = Path(path)
    split = place.name.partition(".")[0]
    is_split = split in (TRAIN, VALIDATION) and place.suffix.lower() != ".csv"
    if is_split and not place.is_dir() and (place.parent / MANIFEST).is_file():
        return _open_shards(place.parent, num_classes, split)
    if not place.exists():
        raise DelfError(f"{place}: there is no such training set")
    if place.is_dir():
        return _open_directory(place, num_classes)
    if ".mindrecord" in place.name:
        return MindRecords(place, num_classes)
    if place.suffix.lower() != ".csv":
        raise DelfError(
            f"{place} is no training set; name a folder with a folder for each class, "
            "a .csv with path,label, GLDv2's folder, or a folder of built shards"
        )
    if "landmark_id" in read_header(place):
        return open_gldv2(place.parent, num_classes, clean=_is_clean(place))
    return open_csv(place, num_classes)


def _open_directory(folder: Path, num_classes: int | None) -> RecordSource:
    """Open a folder by what lies in it."""
    if (folder / MANIFEST).is_file():
        return _open_shards(folder, num_classes, TRAIN)
    if (folder / BUILDING).is_dir():
        raise DelfError(
            f"{folder} holds shards whose building was cut off; finish it with "
            "`delf build-dataset --resume` and the arguments it was begun with"
        )
    if (folder / CLEAN_CSV).is_file() or (folder / TRAIN_CSV).is_file():
        return open_gldv2(folder, num_classes)
    shard = first_shard(folder)
    if shard is not None:
        return MindRecords(shard, num_classes)
    return open_folder(folder, num_classes)


def _open_shards(folder: Path, num_classes: int | None, split: str) -> RecordSource:
    """Open built shards, and check their labels against the classifier."""
    from delf_common.training.shards import open_shards

    source: RecordSource = open_shards(folder, split)
    if num_classes is None or num_classes == source.num_classes:
        return source
    labels = source.labels
    limit = count_classes(labels, num_classes, lambda index: f"{folder} record {index}")
    return RecordView(source, range(len(source)), limit, source.provenance)


def _is_clean(table: Path) -> bool:
    """Whether GLDv2's csv at a path is the clean one; it must bear its own name."""
    if table.name not in (TRAIN_CSV, CLEAN_CSV):
        raise DelfError(
            f"{table} has GLDv2's columns but neither of its names, {TRAIN_CSV} and "
            f"{CLEAN_CSV}; rename it, or write a CSV with path,label"
        )
    return table.name == CLEAN_CSV
