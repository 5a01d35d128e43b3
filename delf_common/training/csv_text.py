# SPDX-License-Identifier: Apache-2.0
"""Rows of a CSV file with the line each began at."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from delf_common.errors import DelfError

LARGEST_CELL = 16 << 20  # train_clean.csv has cells of many thousand ids


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number (from 1) and stripped cells of each row that is not blank.

    Raises:
        DelfError: the file cannot be read, is not UTF-8, or is not CSV.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_CELL))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            begin = 1
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield begin, cells
                begin = reader.line_num + 1
    except OSError as error:
        raise DelfError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DelfError(f"{path}: not UTF-8 text ({error})") from None
    except csv.Error as error:
        raise DelfError(f"{path}: not CSV ({error})") from None


def read_header(path: Path) -> list[str]:
    """First row in lower case; empty for an empty file."""
    for _, cells in read_rows(path):
        return [cell.lower() for cell in cells]
    return []


def read_columns(path: Path, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and the named columns of each row below the header.

    Raises:
        DelfError: a column is missing from the header, or a row is short of cells.
    """
    header = read_header(path)
    missing = [column for column in columns if column not in header]
    if missing:
        raise DelfError(
            f"{path}: no column {missing[0]!r} in its header "
            f"({','.join(header) or 'the file is empty'})"
        )
    places = [header.index(column) for column in columns]
    rows = read_rows(path)
    next(rows)
    for line, cells in rows:
        yield line, pick_cells(path, line, cells, places)


def pick_cells(path: Path, line: int, cells: list[str], places: list[int]) -> list[str]:
    """Cells of a row; each must be there and not blank."""
    if max(places) >= len(cells):
        raise DelfError(
            f"{path} line {line}: {len(cells)} cells, needs {max(places) + 1}"
        )
    picked = [cells[place] for place in places]
    if not all(picked):
        raise DelfError(f"{path} line {line}: cell {picked.index('') + 1} is blank")
    return picked
