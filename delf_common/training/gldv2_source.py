# SPDX-License-Identifier: Apache-2.0
"""Google Landmarks v2 as it is downloaded: its csv files and its folders of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from delf_common.errors import DelfError
from delf_common.training.csv_text import read_columns
from delf_common.training.file_records import FileRecords, refuse_missing
from delf_common.training.labels import count_classes

TRAIN_CSV = "train.csv"  # id,url,landmark_id
CLEAN_CSV = "train_clean.csv"  # landmark_id,images (ids with spaces between)
Row = tuple[int, str, int]  # line, image id, landmark id


def open_gldv2(
    folder: str | Path,
    num_classes: int | None = None,
    clean: bool | None = None,
    *,
    missing_ok: bool = False,
) -> FileRecords:
    """Open the training images of Google Landmarks v2.

    The image of id ``abcd...`` is ``a/b/c/abcd....jpg`` in the folder, or in its
    sub-folder ``train``. Labels are dense, by ascending landmark id.

    Args:
        folder: where train.csv or train_clean.csv is.
        num_classes: classes of the classifier; None for as many as landmarks
            (train.csv: 203,094; train_clean.csv: 81,313).
        clean: use train_clean.csv; None for it where it is there.
        missing_ok: do not look whether the images are there.

    Returns:
        The records in the order of the csv, called by their ids.

    Raises:
        DelfError: a csv or an image is missing, a row is damaged, an image is listed
            twice, or there are more landmarks than ``num_classes``: names the line.

    Source: Weyand et al. 2020; tensorflow/models research/delf build_image_dataset.py.
    """
    root = Path(folder)
    use_clean = (root / CLEAN_CSV).is_file() if clean is None else clean
    table = root / (CLEAN_CSV if use_clean else TRAIN_CSV)
    images = root / "train" if (root / "train").is_dir() else root
    return open_gldv2_table(
        table, images, num_classes, clean=use_clean, missing_ok=missing_ok
    )


def open_gldv2_table(
    table: Path,
    images: Path,
    num_classes: int | None = None,
    *,
    clean: bool,
    missing_ok: bool = False,
) -> FileRecords:
    """Open the images that a csv file lists, wherever the two lie.

    Args:
        table: train.csv or train_clean.csv, by any name.
        images: folder that ``a/b/c/abc....jpg`` is below.
        num_classes: as in `open_gldv2`.
        clean: whether the table has the columns of train_clean.csv.
        missing_ok: do not look whether the images are there.

    Returns:
        As `open_gldv2`.

    Raises:
        DelfError: as `open_gldv2`.
    """
    rows = list(_read_clean(table) if clean else _read_train(table))
    if not rows:
        raise DelfError(f"{table}: no rows below the header")
    names = [name for _, name, _ in rows]
    _refuse_twice(table, rows)
    landmarks = sorted({landmark for _, _, landmark in rows})
    dense = {landmark: label for label, landmark in enumerate(landmarks)}
    labels = [dense[landmark] for _, _, landmark in rows]

    def describe(index: int) -> str:
        line, name, landmark = rows[index]
        return f"{table} line {line} (image {name}, landmark {landmark})"

    limit = count_classes(labels, num_classes, describe)
    if not missing_ok:
        refuse_missing([images / image_file(name) for name in names], describe)
    provenance = {"records": "gldv2", "path": str(table.parent), "csv": table.name}
    class_names = [str(landmark) for landmark in landmarks]
    return FileRecords(
        images, names, labels, limit, provenance, image_file, class_names
    )


def image_file(name: str) -> str:
    """Where the image of an id is: ``a/b/c/abc....jpg``."""
    return f"{name[0]}/{name[1]}/{name[2]}/{name}.jpg"


def _read_train(table: Path) -> Iterator[Row]:
    """Rows of train.csv; the url may be blank, so it is not read."""
    for line, (name, landmark) in read_columns(table, ["id", "landmark_id"]):
        yield _check_row(table, line, name, landmark)


def _read_clean(table: Path) -> Iterator[Row]:
    """One row for each image of train_clean.csv."""
    for line, (landmark, names) in read_columns(table, ["landmark_id", "images"]):
        for name in names.split():
            yield _check_row(table, line, name, landmark)


def _check_row(table: Path, line: int, name: str, landmark: str) -> Row:
    """Check one image's id and landmark."""
    if len(name) < 3 or not name.isalnum():
        raise DelfError(
            f"{table} line {line}: image id {name!r}; an id is 16 hexadecimal digits"
        )
    if not landmark.isdecimal():
        raise DelfError(f"{table} line {line}: landmark_id {landmark!r} is no number")
    return line, name, int(landmark)


def _refuse_twice(table: Path, rows: list[Row]) -> None:
    """Raise DelfError when an image is listed twice."""
    seen: set[str] = set()
    for line, name, _ in rows:
        if name in seen:
            raise DelfError(f"{table} line {line}: image {name} is listed twice")
        seen.add(name)
