# SPDX-License-Identifier: Apache-2.0
"""Read a benchmark's ground truth, whichever of the known forms it has."""

from __future__ import annotations

from pathlib import Path

from delf_common.errors import DelfError
from delf_common.retrieval.classic import read_classic
from delf_common.retrieval.minibench import read_minibench
from delf_common.retrieval.queries import GroundTruth, Query
from delf_common.retrieval.revisited import read_revisited

__all__ = ["GroundTruth", "Query", "read_ground_truth"]


def read_ground_truth(path: str | Path) -> GroundTruth:
    """Read ground truth; its form is seen from the path.

    Args:
        path: a folder of classic Oxford5k/Paris6k text files, a revisited
            ``gnd_*.pkl``, or a ``.json`` like the minibench's ``gnd.json``.

    Raises:
        DelfError: there is nothing at the path, the form is none of these, or the
            contents are wrong (names the file, and the line or the entry).
    """
    path = Path(path)
    if path.is_dir():
        return read_classic(path)
    if not path.exists():
        raise DelfError(f"there is no ground truth at {path}")
    if path.suffix == ".pkl":
        return read_revisited(path)
    if path.suffix == ".json":
        return read_minibench(path)
    raise DelfError(
        f"{path} is no known ground truth: give the folder of *_query.txt and "
        "*_good/_ok/_junk.txt files, a revisited gnd_*.pkl, or a gnd.json"
    )
