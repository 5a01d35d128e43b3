# SPDX-License-Identifier: Apache-2.0
"""ModelArts: data and checkpoints come from the cloud, results go back to it."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from delf_common.errors import DelfError
from delf_common.training.config import TrainConfig
from delf_common.training.processes import local_rank
from delf_common.training.trainer import World

CLOUD = ("obs://", "s3://")


@contextmanager
def local_paths(config: TrainConfig, world: World) -> Iterator[TrainConfig]:
    """Bring the inputs here, and take the results away at the end, failed or not.

    Without ``enable_modelarts`` nothing is copied and nothing changes. The first
    process of each machine copies, the others wait for it.

    Yields:
        The configuration with local paths: the data below ``data_path``, the starting
        checkpoint below ``load_path``, all results below ``output_path``.

    Raises:
        DelfError: a URL's folder is missing, or is in the cloud and there is no moxing.
    """
    if not config.enable_modelarts:
        yield config
        return
    if first_of_machine(world):
        _copy(config.data_url, config.data_path)
        _copy(config.checkpoint_url, config.load_path)
    world.sum(np.zeros(1))  # the others wait until the copies are there
    try:
        yield localise(config)
    finally:
        if world.rank == 0:
            _copy(config.output_path, config.train_url)


def first_of_machine(world: World) -> bool:
    """Whether no other process of this machine comes before this one."""
    return world.size == 1 or local_rank(world.rank) == 0


def localise(config: TrainConfig) -> TrainConfig:
    """Point every path of the configuration into ModelArts' local folders."""
    output = Path(config.output_path)
    checkpoint, imagenet = config.checkpoint_path, config.imagenet_checkpoint
    if config.checkpoint_url:
        found = _named_below(config.load_path, imagenet)
        if checkpoint or not found:
            checkpoint = str(_below(config.load_path, checkpoint))
        imagenet = found or imagenet
    validation = _named_below(config.data_path, config.validation_path)
    return dataclasses.replace(
        config,
        traindata_path=str(_below(config.data_path, config.traindata_path)),
        validation_path=validation or config.validation_path,
        checkpoint_path=checkpoint,
        imagenet_checkpoint=imagenet,
        save_ckpt=str(output / Path(config.save_ckpt).name),
        save_summary=str(output / Path(config.save_summary).name),
    )


def _named_below(folder: str, name: str) -> str:
    """Path of a relative name below a folder; "" where there is no such thing."""
    there = name and not Path(name).is_absolute() and (Path(folder) / name).exists()
    return str(Path(folder) / name) if there else ""


def _below(folder: str, name: str) -> Path:
    """Put a relative name below a local folder; without a name the folder or its file.

    A folder of one single file, as of a checkpoint, stands for that file.
    """
    place = Path(folder)
    if there := _named_below(folder, name):
        return Path(there)
    inside = sorted(place.iterdir()) if place.is_dir() else []
    return inside[0] if len(inside) == 1 and inside[0].is_file() else place


def _copy(source: str, target: str) -> None:
    """Copy a folder or a file; nothing where either is ""."""
    if not source or not target:
        return
    if source.startswith(CLOUD) or target.startswith(CLOUD):
        _copy_cloud(source, target)
    elif Path(source).is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif Path(source).is_file():
        Path(target).mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    else:
        raise DelfError(f"{source}: there is no such folder to copy to {target}")


def _copy_cloud(source: str, target: str) -> None:
    try:
        moxing = importlib.import_module("moxing")
    except ImportError:
        raise DelfError(
            f"copying {source} to {target} needs the package moxing, which is there on "
            f"ModelArts; elsewhere leave --enable_modelarts out"
        ) from None
    moxing.file.copy_parallel(source, target)
