# SPDX-License-Identifier: Apache-2.0
"""From the shell to the answer: wall and processor seconds of whole calls."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from delf_common.bench.extract import default_image
from delf_common.errors import DelfError

SHIFT = 40  # pixels between the two photographs


def calls(folder: Path) -> dict[str, tuple[list[str], int]]:
    """Name of each call -> its arguments to Python, and the exit code it must have.

    The first two are what every call, and every call with PyTorch, cannot do without.
    """
    delf = ["-m", "delf_common.cli.main"]
    pair = [str(folder / "a.jpg"), str(folder / "b.jpg")]
    drawn = ["--output", str(folder / "match.png"), "--overwrite"]
    return {
        "python": (["-c", "pass"], 0),
        "import torch": (["-c", "import torch"], 0),
        "delf --help": ([*delf, "--help"], 0),
        "delf, wrong command": ([*delf, "mach"], 2),
        "delf, wrong flag": ([*delf, "extract", "--nosuch", "1"], 2),
        "delf match A B": ([*delf, "match", *pair, *drawn], 0),
    }


def run_startup_bench(folder: Path, repeats: int) -> dict[str, Any]:
    """Time every call in a process of its own, in turn, in rounds.

    Args:
        folder: where two photographs of 984x728, parts of `default_image`, are written.
        repeats: rounds; medians are given. One round before them is not counted.

    Returns:
        Wall seconds, and user and system seconds of the processor, by call.

    Raises:
        DelfError: a call ends with another exit code than it should.
    """
    write_pair(folder)
    wall: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    for number in range(repeats + 1):
        for name, (arguments, code) in calls(folder).items():
            seconds, processor = time_call(arguments, code)
            if number:
                wall.setdefault(name, []).append(seconds)
                spent.setdefault(name, []).append(processor)
    return {
        "repeats": repeats,
        "seconds": {name: statistics.median(found) for name, found in wall.items()},
        "processor_seconds": {
            name: statistics.median(found) for name, found in spent.items()
        },
    }


def write_pair(folder: Path) -> None:
    """Write two photographs that overlap."""
    image = default_image()
    for name, part in (("a", image[:-SHIFT, :-SHIFT]), ("b", image[SHIFT:, SHIFT:])):
        PillowImage.fromarray(part.copy()).save(folder / f"{name}.jpg", quality=95)


def time_call(arguments: Sequence[str], code: int) -> tuple[float, float]:
    """Wall and processor seconds of Python with these arguments.

    Raises:
        DelfError: the exit code is not ``code``.
    """
    quiet = subprocess.DEVNULL
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], stdout=quiet, stderr=quiet, check=False
    )
    seconds, after = time.perf_counter() - begin, os.times()
    if done.returncode != code:
        words = " ".join(arguments)
        raise DelfError(f"python {words}: exit {done.returncode} in place of {code}")
    user = after.children_user - before.children_user
    return seconds, user + after.children_system - before.children_system


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    lines = [f"{'median of ' + str(result['repeats']):<22}{'s':>8}{'CPU s':>8}"]
    for name, seconds in result["seconds"].items():
        processor = result["processor_seconds"][name]
        lines.append(f"{name:<22}{seconds:>8.2f}{processor:>8.2f}")
    return "\n".join(lines)
