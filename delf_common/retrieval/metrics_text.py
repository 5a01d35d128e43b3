# SPDX-License-Identifier: Apache-2.0
"""The text form ``mAP.txt`` of the original evaluation scripts.

Four lines for each setup, in the order of their names: the name, ``  mAP=``,
``  mP@k<ranks> <values>``, ``  mR@k<ranks> <values>``; percent, rounded to two
decimals, arrays as NumPy prints them. The form has no place for protocol and cropping:
keep the JSON beside it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from delf_common.errors import DelfError
from delf_common.retrieval.scores import Evaluation

ARRAYS = re.compile(r"\[([^\[\]]*)\] \[([^\[\]]*)\]")


@dataclass(frozen=True)
class TextMetrics:
    """The figures of one setup as ``mAP.txt`` has them, in percent.

    Args:
        mean_average_precision: mAP.
        ks: of the values below.
        mean_precisions: mP@k.
        mean_recalls: mR@k.
    """

    mean_average_precision: float
    ks: tuple[int, ...]
    mean_precisions: tuple[float, ...]
    mean_recalls: tuple[float, ...]


def metrics_text(evaluation: Evaluation) -> str:
    """Return the contents of ``mAP.txt``; a single setup bears the protocol's name."""
    ks = print_array(evaluation.protocol.ks)
    lines = []
    for setup in sorted(evaluation.setups, key=lambda setup: setup.name):
        lines += [
            evaluation.protocol.name if setup.name == "all" else setup.name,
            f"  mAP={np.around(setup.mean_average_precision * 100, decimals=2)}",
            f"  mP@k{ks} {print_percent(setup.mean_precisions)}",
            f"  mR@k{ks} {print_percent(setup.mean_recalls)}",
        ]
    return "".join(f"{line}\n" for line in lines)


def print_percent(fractions: ArrayLike) -> str:
    """Return an array of percent, rounded to two decimals."""
    return print_array(np.around(np.asarray(fractions) * 100, decimals=2))


def print_array(values: ArrayLike) -> str:
    """Return an array as NumPy prints it, but always whole and in one line."""
    array = np.asarray(values)
    return np.array2string(array, max_line_width=sys.maxsize, threshold=sys.maxsize)


def read_metrics_text(path: str | Path) -> dict[str, TextMetrics]:
    """Read an ``mAP.txt``, of ours or of the original scripts.

    Raises:
        DelfError: malformed input: the number of lines is no multiple of 4, a setup is
            there twice, or a line is not of the form (names it).
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) % 4:
        raise DelfError(
            f"Malformed input {path}: {len(lines)} lines, expected a multiple of 4"
        )
    found: dict[str, TextMetrics] = {}
    for start in range(0, len(lines), 4):
        name = lines[start].strip()
        if name in found:
            raise DelfError(f"Malformed input {path}: {name!r} is there twice")
        found[name] = read_setup(lines[start + 1 : start + 4], f"{path}: {name!r}")
    return found


def read_setup(lines: list[str], where: str) -> TextMetrics:
    """Read the three lines below a setup's name."""
    try:
        average = float(after("  mAP=", lines[0]))
        ks, precisions = read_arrays(after("  mP@k", lines[1]))
        recall_ks, recalls = read_arrays(after("  mR@k", lines[2]))
    except ValueError as error:
        raise DelfError(f"Malformed input {where}: {error}") from None
    if not len(ks) == len(precisions) == len(recalls) or ks != recall_ks:
        raise DelfError(f"Malformed input {where}: the lists of k and values differ")
    return TextMetrics(average, ks, precisions, recalls)


def after(beginning: str, line: str) -> str:
    """Return what follows the beginning, or raise ValueError."""
    if not line.startswith(beginning):
        raise ValueError(f"{line!r} does not begin with {beginning!r}")
    return line[len(beginning) :]


def read_arrays(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Read "[k ...] [value ...]", or raise ValueError."""
    arrays = ARRAYS.fullmatch(text.strip())
    if arrays is None:
        raise ValueError(f"{text!r} is not two arrays")
    ks, values = arrays[1].split(), arrays[2].split()
    return tuple(map(int, ks)), tuple(map(float, values))
