# SPDX-License-Identifier: Apache-2.0
"""The checkpoints of a training run: names, the newest, the ones to keep."""

from __future__ import annotations

import re
from pathlib import Path

from delf_common.errors import DelfError
from delf_common.training.config import TrainConfig
from delf_common.training.start import stage_name

PREFIX = "checkpoint_delf_"  # the model zoo's


def checkpoint_file(config: TrainConfig, step: int) -> Path:
    """Name of the checkpoint after a step."""
    folder = Path(config.save_ckpt)
    return folder / f"{PREFIX}{stage_name(config)}-{step}.safetensors"


def checkpoints(config: TrainConfig) -> list[Path]:
    """Checkpoints of this stage in ``save_ckpt``, oldest step first."""
    pattern = re.compile(rf"{PREFIX}{stage_name(config)}-(\d+)\.safetensors")
    folder = Path(config.save_ckpt)
    found = [
        (int(match[1]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := pattern.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def keep_newest(config: TrainConfig) -> None:
    """Delete all but the newest ``keep_checkpoint_max`` checkpoints of this stage."""
    for path in checkpoints(config)[: -config.keep_checkpoint_max]:
        path.unlink()


def checkpoint_to_resume(config: TrainConfig) -> Path | None:
    """Find the checkpoint to go on from; None for a run that starts anew.

    Raises:
        DelfError: there are checkpoints, and neither resume nor overwrite.
    """
    found = checkpoints(config)
    if found and not (config.resume or config.overwrite):
        raise DelfError(
            f"{found[-1]} is there from an earlier run; continue it with --resume, "
            f"replace it with --overwrite, or name another folder with --save_ckpt"
        )
    return found[-1] if found and config.resume else None
