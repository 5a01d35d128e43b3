# SPDX-License-Identifier: Apache-2.0
"""The part of ``delf bench`` about training and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delf_common.cli.parsing import Namespace
from delf_common.errors import UsageError

Measured = tuple[dict[str, Any], str]


def pipeline(options: Namespace) -> Measured:
    """Training pipeline alone."""
    from delf_common.bench.pipeline import format_table, run_pipeline_bench

    folder = Path(options.images) if options.images else None
    result = run_pipeline_bench(folder, options.repeats)
    return result, format_table(result)


def train(options: Namespace) -> Measured:
    """Both stages of training."""
    from delf_common.bench.train import format_table, run_train_bench
    from delf_common.training.config import TrainConfig

    if options.steps < 6:
        raise UsageError(f"--steps {options.steps}: must be above 5")
    random = options.architecture is not None
    config = TrainConfig(
        traindata_path=options.images or "",
        imagenet_checkpoint="" if random else options.weights,
        architecture=options.architecture or "resnet50",
        max_iters=options.steps,
        batch_size=options.batch_size or 16,
        image_size=options.image_size,
        device=options.device,
        initial_lr=0.001,
    )
    result = run_train_bench(config, options.backend, options.repeats)
    return result, format_table(result)


def dataset(options: Namespace) -> Measured:
    """Building shards and reading them."""
    from delf_common.bench.dataset import format_table, run_dataset_bench

    folder = Path(options.images) if options.images else None
    result = run_dataset_bench(folder, options.repeats)
    return result, format_table(result)
