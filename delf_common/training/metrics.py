# SPDX-License-Identifier: Apache-2.0
"""What a run measured: a line for people, a file for programs, a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from delf_common.errors import DelfError
from delf_common.extras import need
from delf_common.io.atomic import replacing, write_text
from delf_common.training.config import TrainConfig
from delf_common.weights.names import Params

Row = dict[str, Any]
WAYS_OUT = (
    "the last checkpoint is from before it. Lower --initial_lr or --clip_norm, or use "
    "--precision float32, and continue with --resume"
)


class MetricsFile:
    """One JSON object a line, one line a logged step.

    Args:
        path: the file; None writes nothing (all processes but the first).
        after: lines of later steps than this one are cut off: the run that wrote them
            was killed, and their steps come again.
    """

    def __init__(self, path: Path | None, after: int) -> None:
        self.path = path
        if path is None:
            return
        rows = [row for row in read_metrics(path) if row["step"] <= after]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def add(self, row: Row) -> None:
        """Append a line."""
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def read_metrics(path: Path) -> list[Row]:
    """Rows of a metrics file; [] without one. A line cut short by a kill is left out.

    Args:
        path: file that `MetricsFile` wrote.
    """
    rows: list[Row] = []
    if not path.is_file():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def mean_of(steps: Sequence[Row]) -> Row:
    """Mean of every metric over the steps; {} for none."""
    names = steps[0] if steps else {}
    return {name: sum(step[name] for step in steps) / len(steps) for name in names}


def check_finite(steps: Sequence[Row], first: int) -> None:
    """Stop at a loss that is NaN or infinite.

    Args:
        steps: metrics of consecutive steps.
        first: number of the first of them.

    Raises:
        DelfError: names the step and the ways out.
    """
    for number, step in enumerate(steps, first):
        if not math.isfinite(step["loss"]):
            raise DelfError(f"step {number}: the loss is {step['loss']}; {WAYS_OUT}")


def check_finite_params(params: Params, step: int) -> None:
    """Stop before parameters that are NaN or infinite replace a good checkpoint.

    The loss of a step comes before its update: only the next one's would tell.

    Args:
        params: by canonical name.
        step: after which they were taken.

    Raises:
        DelfError: names the step, the first of them, and the ways out.
    """
    for name, array in params.items():
        if not np.isfinite(array).all():
            raise DelfError(f"step {step}: {name} is not finite after it; {WAYS_OUT}")


def open_bar(config: TrainConfig, done: int, shown: bool) -> Any:
    """Open the bar of a run's steps with its estimate, on a terminal.

    Args:
        config: ``max_iters``, and whether a bar is wanted.
        done: steps of an earlier run.
        shown: whether this process shows anything.
    """
    hidden = None if shown and config.progress else True
    total = config.max_iters
    return tqdm(total=total, initial=done, disable=hidden, unit="step", leave=False)


def describe(row: Row, last: int) -> str:
    """One line for the console."""
    parts = [f"step {row['step']}/{last}", f"loss {row['loss']:.4f}"]
    for name in ("desc_accuracy", "attn_accuracy", "val_desc", "val_attn"):
        if name in row:
            parts.append(f"{name} {100 * row[name]:.1f} %")
    parts.append(f"lr {row['learning_rate']:.6g}")
    parts.append(f"{row['images_per_second']:.1f} images/s")
    return "  ".join(parts)


def draw_curves(rows: Sequence[Row], output: Path) -> None:
    """Draw losses and accuracies over the steps, as PNG; nothing without rows."""
    need("matplotlib")
    from matplotlib.figure import Figure

    if not rows:
        return
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("loss", "desc_loss", "attn_loss"):
        _plot(left, rows, name)
    left.set(xlabel="step", ylabel="cross-entropy")
    for name in ("desc_accuracy", "attn_accuracy", "val_desc", "val_attn"):
        _plot(right, rows, name)
    right.set(xlabel="step", ylabel="top-1 accuracy", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    with replacing(output) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def _plot(axes: Any, rows: Sequence[Row], name: str) -> None:
    points = [(row["step"], row[name]) for row in rows if name in row]
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(
            steps, values, marker="o" if name.startswith("val") else "", label=name
        )
