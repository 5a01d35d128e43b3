# SPDX-License-Identifier: Apache-2.0
"""A training set as a CSV file of paths and labels."""

from __future__ import annotations

import re
from pathlib import Path

from delf_common.errors import DelfError
from delf_common.training.csv_text import pick_cells, read_columns, read_header
from delf_common.training.csv_text import read_rows as read_all_rows
from delf_common.training.file_records import FileRecords, refuse_missing
from delf_common.training.labels import count_classes, number_names

COLUMNS = ["path", "label"]
INTEGER = re.compile(r"[+-]?\d+")


def open_csv(
    path: str | Path, num_classes: int | None = None, *, missing_ok: bool = False
) -> FileRecords:
    """Open a CSV with a path and a label in each row.

    With a header that names ``path`` and ``label``, the columns may stand in any order
    among others; without one, each row is a path and a label. Paths are relative to the
    CSV's folder, or absolute. Labels that are all integers are taken as they are; else
    they are names, numbered densely in sorted order.

    Args:
        path: the file, UTF-8.
        num_classes: classes of the classifier; None for one above the largest label.
        missing_ok: do not look whether the pictures are there.

    Returns:
        The records in the order of the rows, called by the path as it is written.

    Raises:
        DelfError: the file is empty or no such CSV, a picture is missing, a class has
            no image, or a label lies outside the classes: names file and line.
    """
    table = Path(path)
    lines, names, words = _read_table(table)

    def describe(index: int) -> str:
        return f"{table} line {lines[index]} ({names[index]})"

    if not names:
        raise DelfError(f"{table}: no rows; each needs a path and a label")
    integers = all(INTEGER.fullmatch(word) for word in words)
    labels, classes = ([int(w) for w in words], ()) if integers else number_names(words)
    limit = count_classes(labels, num_classes, describe)
    if not missing_ok:
        refuse_missing([table.parent / name for name in names], describe)
    kind = "integers" if integers else "names"
    provenance = {"records": "csv", "path": str(table), "labels": kind}
    return FileRecords(
        table.parent, names, labels, limit, provenance, class_names=classes
    )


def _read_table(table: Path) -> tuple[list[int], list[str], list[str]]:
    """Line, path and label of every row."""
    if set(COLUMNS) <= set(read_header(table)):
        rows = list(read_columns(table, COLUMNS))
    else:
        rows = [
            (line, pick_cells(table, line, cells, [0, 1]))
            for line, cells in read_all_rows(table)
        ]
    lines = [line for line, _ in rows]
    return lines, [cells[0] for _, cells in rows], [cells[1] for _, cells in rows]
