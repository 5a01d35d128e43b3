# SPDX-License-Identifier: Apache-2.0
"""Steps a second of both stages, beside the plainest loop on the same network."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from delf_common.backends import load_backend
from delf_common.bench.pipeline import write_photographs
from delf_common.bench.train_rates import PLAIN, STAGES, work_of_steps
from delf_common.host import count_cores
from delf_common.training.config import TrainConfig
from delf_common.training.metrics import read_metrics
from delf_common.training.open_records import open_records
from delf_common.training.pipeline import BatchConfig, Batches

CLASSES = 8  # of the synthetic photographs
ORIGINAL = {"tuning": 171, "attn": 156}  # ms a step, batch 32, Ascend 910: its log
MARGIN = 1.5  # the pipeline's speed over what the steps consume


def run_train_bench(config: TrainConfig, backend: str, repeats: int) -> dict[str, Any]:
    """Time runs of both stages, every way in turn, in rounds.

    Half of a run's steps warm up and are not timed.

    Args:
        config: of the runs; ``max_iters`` is the number of steps of each, and data are
            synthetic where ``traindata_path`` is "".
        backend: "torch" or "ms".
        repeats: rounds; medians are given.

    Returns:
        Settings; steps a second by way; images a second that the input pipeline
        delivers by itself, with as many workers as there are cores; and what
        `delf_common.bench.train_rates.work_of_steps` says.
    """
    logging.getLogger("delf_common").setLevel(logging.ERROR)
    module = load_backend(backend).__name__  # type: ignore[attr-defined]
    plain = importlib.import_module(f"{module}.plain_loop")
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
            ways[f"{stage}{PLAIN}"] = partial(plain.run_plain_loop, run)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        delivered = []
        for _ in range(repeats):
            delivered.append(time_pipeline(config))
            for name, measure in ways.items():
                rates[name].append(measure())
        medians = {name: statistics.median(found) for name, found in rates.items()}
        work = work_of_steps(config, module, medians, repeats)
    return {
        "backend": backend,
        "weights": config.imagenet_checkpoint or config.architecture,
        "train_from": config.train_from,
        "batch_size": config.batch_size,
        "image_size": config.image_size,
        "steps": config.max_iters,
        "repeats": repeats,
        "steps_per_second": medians,
        "milliseconds_per_step": {name: 1000 / rate for name, rate in medians.items()},
        "originals_milliseconds_at_32": ORIGINAL,
        "pipeline_images_per_second": statistics.median(delivered),
        "cores": count_cores(),
        **work,
    }


def time_pipeline(config: TrainConfig) -> float:
    """Images a second of the input pipeline alone, with a worker for each core."""
    source = open_records(config.traindata_path, config.num_classes)
    settings = BatchConfig(batch_size=config.batch_size, image_size=config.image_size)
    with contextlib.closing(Batches(source, settings, workers=count_cores())) as some:
        next(some)
        begin = time.perf_counter()
        for _ in range(config.max_iters):
            next(some)
        seconds = time.perf_counter() - begin
    return config.max_iters * config.batch_size / seconds


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
    rates, batch = result["steps_per_second"], result["batch_size"]
    rows = [
        f"{result['weights']} on {result['backend']}, tuning from "
        f"{result['train_from']}, batch {batch}, "
        f"{result['image_size']} px, median of {result['repeats']}",
        f"{'':<20} steps/s  ms/step  images/s  GFLOP/step  of the matrix rate",
    ]
    shares = result["share_of_matrix_rate"]
    for name, rate in rates.items():
        gflop = result["gflop_per_step"].get(name.removesuffix(PLAIN))
        work = f"{gflop:11.0f}" if gflop else f"{'-':>11}"
        share = f"{shares[name]:9.0%}" if name in shares else f"{'-':>9}"
        rows.append(
            f"{name:<20} {rate:7.3f} {1000 / rate:8.0f} {rate * batch:9.1f} "
            f"{work} {share}"
        )
    if result["matrix_gflops"]:
        products = (f"{n} {rate:.0f}" for n, rate in result["matrix_gflops"].items())
        rows.append(f"matrix product on {result['device']}, GFLOP/s: ")
        rows[-1] += ", ".join(products)
    for stage in STAGES:
        ratio = rates[stage] / rates[f"{stage}{PLAIN}"]
        rows.append(f"{stage} / plain loop: {ratio:.2f}")
    rows.append(f"attn / tuning: {rates['attn'] / rates['tuning']:.2f}")
    original = ", ".join(f"{stage} {ms} ms" for stage, ms in ORIGINAL.items())
    rows.append(f"the original on an Ascend 910, batch 32, a step: {original}")
    return "\n".join([*rows, judge_pipeline(result)])


def judge_pipeline(result: dict[str, Any]) -> str:
    """Say whether the input pipeline delivers 1.5 times what the steps consume."""
    delivered, cores = result["pipeline_images_per_second"], result["cores"]
    consumed = result["batch_size"] * max(map(result["steps_per_second"].get, STAGES))
    needed = MARGIN * consumed
    verdict = "enough"
    if delivered < needed:
        verdict = f"not enough: it needs {math.ceil(cores * needed / delivered)} cores"
    return (
        f"the input pipeline alone delivers {delivered:.0f} images/s on {cores} cores; "
        f"{MARGIN} times what the faster stage consumes is {needed:.0f}: {verdict}"
    )
