# SPDX-License-Identifier: Apache-2.0
"""Ground truth as JSON: the minibench's form, and an easy one for one's own pictures.

``{"queries": [{"query": NAME, "positives": [...], "junk": [...]}], "places": ...}``;
"junk" and "places" may be left out. With "places" the database is their images and
junk; without, it is whatever is ranked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from delf_common.errors import DelfError
from delf_common.retrieval.queries import GroundTruth, Query


def read_minibench(path: Path) -> GroundTruth:
    """Read a ``gnd.json``.

    Raises:
        DelfError: not JSON, or an entry is missing or of another type (names it).
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # both JSONDecodeError and UnicodeDecodeError
        raise DelfError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("queries"), list):
        raise DelfError(f'{path}: expected an object with a list "queries"')
    queries = [
        read_query(entry, f"{path}: queries[{i}]")
        for i, entry in enumerate(content["queries"])
    ]
    names = read_database(content.get("places", {}), f"{path}: places")
    return GroundTruth("minibench", names, tuple(queries), str(path))


def read_query(entry: Any, where: str) -> Query:
    """Read one entry of "queries"; ``where`` begins the error messages."""
    if not isinstance(entry, dict) or not isinstance(entry.get("query"), str):
        raise DelfError(f'{where}: expected an object with a name under "query"')
    if "positives" not in entry:
        raise DelfError(f'{where}: there is no list "positives"')
    lists = {
        label: strings(entry.get(label, []), f"{where}.{label}")
        for label in ("positives", "junk")
    }
    return Query(entry["query"], entry["query"], None, lists)


def read_database(places: Any, where: str) -> tuple[str, ...]:
    """Collect the images and the junk of all places, in the file's order."""
    if not isinstance(places, dict):
        raise DelfError(f"{where}: expected an object of places")
    names: list[str] = []
    for place, entry in places.items():
        if not isinstance(entry, dict):
            raise DelfError(f"{where}.{place}: expected an object")
        for label in ("images", "junk"):
            names += strings(entry.get(label, []), f"{where}.{place}.{label}")
    return tuple(names)


def strings(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of names as a tuple, or raise."""
    if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
        raise DelfError(f"{where}: expected a list of image names")
    return tuple(value)
