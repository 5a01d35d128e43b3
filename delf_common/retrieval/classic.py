# SPDX-License-Identifier: Apache-2.0
"""The text files of the classic Oxford5k and Paris6k benchmarks.

Source: the ground truth of Philbin et al., CVPR 2007 and 2008: for each query
``<landmark>_<n>`` the files ``_query.txt``, ``_good.txt``, ``_ok.txt``, ``_junk.txt``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from delf_common.errors import DelfError
from delf_common.retrieval.queries import LISTS, GroundTruth, Query, Region

QUERY_ENDING = "_query.txt"
OXFORD_PREFIX = "oxc1_"  # before every query image of Oxford5k, and only there


def read_classic(folder: Path) -> GroundTruth:
    """Read a folder of classic ground-truth files.

    Returns:
        Queries named ``<landmark>_<n>``, in the order of landmark, then number; no
        database names, as the files do not list them.

    Raises:
        DelfError: there is no query file, a list file is missing, or a line is
            malformed (names the file and the line).
    """
    names = [
        path.name.removesuffix(QUERY_ENDING) for path in folder.glob(f"*{QUERY_ENDING}")
    ]
    if not names:
        raise DelfError(f"{folder} holds no *{QUERY_ENDING}: not classic ground truth")
    queries = [read_query(folder, name) for name in sorted(names, key=number_last)]
    return GroundTruth("classic", (), tuple(queries), str(folder))


def number_last(name: str) -> tuple[str, int, str]:
    """Sort key that puts ``x_2`` before ``x_10``."""
    found = re.fullmatch(r"(.*?)(\d{1,9})", name)
    return (found[1], int(found[2]), name) if found else (name, -1, name)


def read_query(folder: Path, name: str) -> Query:
    """Read the four files of one query."""
    image, region = read_query_line(folder / f"{name}{QUERY_ENDING}")
    lists = {
        label: read_list(folder / f"{name}_{label}.txt") for label in LISTS["classic"]
    }
    return Query(name, image, region, lists)


def read_query_line(path: Path) -> tuple[str, Region]:
    """Read the image name and the box from the one line "name x1 y1 x2 y2"."""
    lines = numbered_words(path)
    if len(lines) != 1:
        raise DelfError(f"{path}: {len(lines)} lines with text; one is expected")
    number, words = lines[0]
    try:
        name, x1, y1, x2, y2 = words[0], *(float(word) for word in words[1:])
    except ValueError:
        raise malformed(path, number, words, 'expected "name x1 y1 x2 y2"') from None
    if not (math.isfinite(x1 + y1 + x2 + y2) and x1 < x2 and y1 < y2):
        raise malformed(path, number, words, "the box must have x1 < x2 and y1 < y2")
    return name.removeprefix(OXFORD_PREFIX), (x1, y1, x2, y2)


def read_list(path: Path) -> tuple[str, ...]:
    """Read image names, one a line; an empty file is an empty list."""
    names = []
    for number, words in numbered_words(path):
        if len(words) != 1:
            raise malformed(path, number, words, "expected one image name")
        names.append(words[0])
    return tuple(names)


def numbered_words(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line number from 1, words) of every line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DelfError(
            f"{path} is missing; every query needs its list files"
        ) from None
    except UnicodeDecodeError as error:
        raise DelfError(f"{path} is not UTF-8 text: {error}") from None
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.split()) for number, line in lines if line.strip()]


def malformed(path: Path, number: int, words: list[str], why: str) -> DelfError:
    """Return the error for a line that cannot be read."""
    return DelfError(f"{path}, line {number}: {' '.join(words)!r}: {why}")
