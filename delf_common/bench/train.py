# SPDX-License-Identifier: Apache-2.0
"""Steps a second of both stages, beside the plainest loop on the same network."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from delf_common.backends import load_backend
from delf_common.bench.pipeline import write_photographs
from delf_common.training.config import TrainConfig
from delf_common.training.metrics import read_metrics

CLASSES = 8  # of the synthetic photographs
STAGES: tuple[Literal["tuning"], Literal["attn"]] = ("tuning", "attn")


def run_train_bench(config: TrainConfig, backend: str, repeats: int) -> dict[str, Any]:
    """Time runs of both stages, every way in turn, in rounds.

    Half of a run's steps warm up and are not timed.

    Args:
        config: of the runs; ``max_iters`` is the number of steps of each, and data are
            synthetic where ``traindata_path`` is "".
        backend: "torch" or "ms".
        repeats: rounds; medians are given.

    Returns:
        Settings, and steps a second by way.
    """
    logging.getLogger("delf_common").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not config.traindata_path:
            write_classes(folder / "photographs")
            path = str(folder / "photographs")
            config = dataclasses.replace(config, traindata_path=path)
        ways: dict[str, Callable[[], float]] = {}
        for stage in STAGES:
            run = dataclasses.replace(config, train_state=stage)
            ways[stage] = partial(time_run, run, backend, folder / "run")
            module = load_backend(backend).__name__  # type: ignore[attr-defined]
            plain = importlib.import_module(f"{module}.plain_loop")
            ways[f"{stage}, plain loop"] = partial(plain.run_plain_loop, run)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, measure in ways.items():
                rates[name].append(measure())
    return {
        "backend": backend,
        "weights": config.imagenet_checkpoint or config.architecture,
        "train_from": config.train_from,
        "batch_size": config.batch_size,
        "image_size": config.image_size,
        "steps": config.max_iters,
        "repeats": repeats,
        "steps_per_second": {
            name: statistics.median(found) for name, found in rates.items()
        },
    }


def time_run(config: TrainConfig, backend: str, output: Path) -> float:
    """Steps a second of the second half of one run."""
    half = config.max_iters // 2
    run = dataclasses.replace(
        config,
        max_iters=2 * half,
        save_ckpt=str(output),
        save_ckpt_step=2 * half,
        log_step=half,
        overwrite=True,
        progress=False,
    )
    load_backend(backend).train(run)
    last = read_metrics(output / f"metrics_{config.train_state}.jsonl")[-1]
    return float(last["images_per_second"]) / config.batch_size


def write_classes(folder: Path) -> None:
    """Write the synthetic photographs of ``delf bench pipeline`` as a few classes."""
    folder.mkdir()
    write_photographs(folder)
    for number, path in enumerate(sorted(folder.iterdir())):
        place = folder / f"class{number % CLASSES}"
        place.mkdir(exist_ok=True)
        path.rename(place / path.name)


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    rates = result["steps_per_second"]
    rows = [
        f"{result['weights']} on {result['backend']}, tuning from "
        f"{result['train_from']}, batch {result['batch_size']}, "
        f"{result['image_size']} px, median of {result['repeats']}",
        f"{'':<20} steps/s  images/s",
    ]
    for name, rate in rates.items():
        rows.append(f"{name:<20} {rate:7.3f} {rate * result['batch_size']:9.1f}")
    rows.append(f"attn / tuning: {rates['attn'] / rates['tuning']:.2f}")
    for stage in STAGES:
        with contextlib.suppress(KeyError):
            ratio = rates[stage] / rates[f"{stage}, plain loop"]
            rows.append(f"{stage} / plain loop: {ratio:.2f}")
    return "\n".join(rows)
