# SPDX-License-Identifier: Apache-2.0
"""The pictures that shards are built from."""

from __future__ import annotations

from pathlib import Path

from delf_common.dataset.config import BuildConfig
from delf_common.dataset.manifest import MANIFEST
from delf_common.errors import DelfError, UsageError
from delf_common.io.image_list import absolute
from delf_common.training.csv_source import open_csv
from delf_common.training.csv_text import read_header
from delf_common.training.file_records import FileRecords
from delf_common.training.folder_source import open_folder
from delf_common.training.gldv2_source import (
    CLEAN_CSV,
    TRAIN_CSV,
    open_gldv2,
    open_gldv2_table,
)


def open_source(config: BuildConfig) -> FileRecords:
    """Open what is to be built; missing pictures are left for the build to report.

    Raises:
        DelfError: nothing there, or a table is damaged.
        UsageError: the output would lie among the pictures.
    """
    if config.dataset_path:
        return _open_path(Path(config.dataset_path), Path(config.output_directory))
    clean = bool(config.train_clean_csv_path)
    table = Path(config.train_clean_csv_path or config.train_csv_path)
    images = _image_folder(config.train_directory, table)
    return open_gldv2_table(table, images, clean=clean, missing_ok=True)


def _open_path(path: Path, output: Path) -> FileRecords:
    """Open a folder or a CSV by what it is."""
    if not path.exists():
        raise DelfError(f"{path}: there is no such training set")
    if not path.is_dir():
        if path.suffix.lower() != ".csv":
            raise DelfError(f"{path}: neither a folder nor a .csv")
        if "landmark_id" in read_header(path):
            raise UsageError(
                f"{path} is a table of GLDv2; name it as --train_csv_path or "
                "--train_clean_csv_path"
            )
        return open_csv(path, missing_ok=True)
    if (path / CLEAN_CSV).is_file() or (path / TRAIN_CSV).is_file():
        return open_gldv2(path, missing_ok=True)
    if (path / MANIFEST).is_file():
        raise DelfError(f"{path} holds built shards already; name the pictures' folder")
    if absolute(output).is_relative_to(absolute(path)):
        raise UsageError(
            f"--output_directory {output} lies in --dataset_path {path}, where it "
            "would be one more class; choose a folder outside"
        )
    return open_folder(path)


def _image_folder(directory: str, table: Path) -> Path:
    """Folder of the images; the originals' builder takes it as DIRECTORY/*/*/*/."""
    if not directory:
        beside = table.parent / "train"
        return beside if beside.is_dir() else table.parent
    folder = Path(directory)
    while folder.name == "*":
        folder = folder.parent
    if not folder.is_dir():
        raise DelfError(f"--train_directory {folder}: there is no such folder")
    return folder
