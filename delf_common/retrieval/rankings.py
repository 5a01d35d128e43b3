# SPDX-License-Identifier: Apache-2.0
"""Rankings files: ours, and the two forms in which other people have theirs.

- JSON, written here: ``{"format": "delf-rankings 1", "rankings": {query: [names]}}``,
  and where given ``scores``, ``inliers`` (lists beside the names) and ``metadata``.
- Text: a line for each query, its name and then the ranked names, separated by tabs (or
  by spaces where the line has no tab).
- ``.npy`` as the revisited benchmarks' scripts keep it: integers of shape (ranks,
  queries), each column the indices of the database images from best to worst.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from delf_common.errors import DelfError
from delf_common.io.atomic import refuse_existing, write_text
from delf_common.retrieval.queries import GroundTruth

FORMAT = "delf-rankings 1"


@dataclass(frozen=True)
class Rankings:
    """Ranked database images of some queries.

    Args:
        lists: for each query the names of database images, best first; may be empty.
        scores: beside the names, where known.
        inliers: geometrically consistent matches beside the names, where known.
        metadata: anything JSON can hold; "cropped" (true or false) says whether the
            queries were cropped to their regions.

    Raises:
        DelfError: scores or inliers are not as long as the names they belong to.
    """

    lists: Mapping[str, Sequence[str]]
    scores: Mapping[str, Sequence[float]] | None = None
    inliers: Mapping[str, Sequence[int]] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse lists that do not belong together."""
        for label, beside in (("scores", self.scores), ("inliers", self.inliers)):
            if beside is None:
                continue
            for query in {**self.lists, **beside}:
                counts = len(beside.get(query, ())), len(self.lists.get(query, ()))
                if counts[0] != counts[1]:
                    raise DelfError(
                        f"query {query} has {counts[0]} {label} for {counts[1]} names"
                    )

    @property
    def cropped(self) -> bool | None:
        """Return whether the queries were cropped; None where that is not said."""
        value = self.metadata.get("cropped")
        return value if isinstance(value, bool) else None


def write_rankings(path: Path, rankings: Rankings, *, overwrite: bool = False) -> None:
    """Write rankings as JSON; the same rankings give the same bytes.

    Raises:
        DelfError: the file exists and ``overwrite`` is not given.
    """
    refuse_existing(path, overwrite=overwrite)
    content: dict[str, Any] = {"format": FORMAT, "metadata": dict(rankings.metadata)}
    beside = {"scores": rankings.scores, "inliers": rankings.inliers}
    for label, values in {"rankings": rankings.lists, **beside}.items():
        if values is not None:
            content[label] = {
                query: np.asarray(row).tolist() for query, row in values.items()
            }
    write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def read_rankings(
    path: str | Path, ground_truth: GroundTruth | None = None
) -> Rankings:
    """Read rankings of any of the three forms, seen from the suffix.

    Args:
        path: ``.json``, ``.npy``, or anything else for text.
        ground_truth: names what the numbers of a ``.npy`` stand for; not needed else.

    Raises:
        DelfError: the file is missing or malformed (names the line or the entry), or a
            ``.npy`` does not fit the ground truth.
    """
    path = Path(path)
    if not path.is_file():
        raise DelfError(f"there is no rankings file {path}")
    if path.suffix == ".npy":
        return read_array(path, ground_truth)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DelfError(f"{path} is not UTF-8 text: {error}") from None
    return read_json(path, text) if path.suffix == ".json" else read_lines(path, text)


def read_json(path: Path, text: str) -> Rankings:
    """Read our own form."""
    try:
        content = json.loads(text, object_pairs_hook=without_repeats)
    except ValueError as error:
        raise DelfError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DelfError(f'{path}: expected an object with "format": "{FORMAT}"')
    metadata = content.get("metadata", {})
    if not isinstance(metadata, dict):
        raise DelfError(f"{path}: metadata is not an object")
    return Rankings(
        rows(content.get("rankings"), (str,), f"{path}: rankings"),
        optional_rows(content, "scores", (int, float), path),
        optional_rows(content, "inliers", (int,), path),
        metadata,
    )


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict; JSON readers else keep the last of two equal keys silently."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return content


def rows(value: Any, types: tuple[type, ...], where: str) -> dict[str, list[Any]]:
    """Return an object of lists of the given types, or raise."""
    if not isinstance(value, dict):
        raise DelfError(f"{where}: expected an object with a list for each query")
    for query, row in value.items():
        if not isinstance(row, list) or any(type(item) not in types for item in row):
            names = " or ".join(kind.__name__ for kind in types)
            raise DelfError(f"{where}[{query!r}]: expected a list of {names}")
    return value


def optional_rows(
    content: dict[str, Any], label: str, types: tuple[type, ...], path: Path
) -> dict[str, list[Any]] | None:
    """Return such an object where there is one."""
    if label not in content:
        return None
    return rows(content[label], types, f"{path}: {label}")


def read_lines(path: Path, text: str) -> Rankings:
    """Read the text form; blank lines are skipped."""
    lists: dict[str, list[str]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip("\r").split("\t") if "\t" in line else line.split()
        query, *names = [word.strip() for word in words] or [""]
        if not words:
            continue
        if not query or not all(names):
            raise DelfError(f"{path}, line {number}: a name between tabs is empty")
        if query in lists:
            raise DelfError(f"{path}, line {number}: query {query} is there twice")
        lists[query] = names
    return Rankings(lists)


def read_array(path: Path, ground_truth: GroundTruth | None) -> Rankings:
    """Read the revisited benchmarks' form."""
    if ground_truth is None or not ground_truth.names:
        raise DelfError(
            f"{path}: the numbers in a .npy mean images only beside ground truth that "
            "lists its database (gnd_*.pkl); write names, as text or JSON"
        )
    try:
        ranks = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DelfError(f"{path} is no .npy array of numbers: {error}") from None
    names, queries = ground_truth.names, ground_truth.queries
    whole = isinstance(ranks, np.ndarray) and np.issubdtype(ranks.dtype, np.integer)
    if not whole or ranks.ndim != 2 or ranks.shape[1] != len(queries):
        raise DelfError(
            f"{path}: expected integers of shape (ranks, {len(queries)}), found "
            f"{getattr(ranks, 'dtype', type(ranks).__name__)} of shape "
            f"{getattr(ranks, 'shape', ())}"
        )
    outside = (ranks < 0) | (ranks >= len(names))
    if outside.any():
        raise DelfError(
            f"{path}: index {ranks[outside][0]} is outside the {len(names)} images"
        )
    columns = zip(queries, ranks.T.tolist(), strict=True)
    return Rankings({query.name: [names[i] for i in row] for query, row in columns})
