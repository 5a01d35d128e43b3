# SPDX-License-Identifier: Apache-2.0
"""What must stay as it was when a run is continued."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delf_common.errors import DelfError
from delf_common.weights.metadata import TrainingState

logger = logging.getLogger(__name__)
# With another of these, the data's position or the optimiser's memory means nothing.
FIXED = ("seed", "records", "optimizer", "train_from")
# These say where things lie and how fast they go, not what comes out.
PLACES = (
    "save_ckpt",
    "save_summary",
    "need_summary",
    "need_profile",
    "enable_modelarts",
    "data_url",
    "train_url",
    "checkpoint_url",
    "data_path",
    "output_path",
    "load_path",
    "traindata_path",
    "validation_path",
    "imagenet_checkpoint",
    "checkpoint_path",
    "device",
    "resume",
    "overwrite",
    "workers",
    "log_step",
    "progress",
    "keep_checkpoint_max",
    "save_ckpt_step",
)


def check_same_run(
    path: Path, state: TrainingState | None, settings: Mapping[str, Any]
) -> TrainingState:
    """Raise unless a checkpoint's run can be continued with these settings.

    The batch of all processes together must stay; its split over processes may change.
    Other settings may change too, and are named in the log.

    Returns:
        The state, which is there.

    Raises:
        DelfError: the file holds no training state, or names what does not fit.
    """
    if state is None:
        raise DelfError(
            f"{path} holds weights but no training state; start a new run from it with "
            f"--checkpoint_path {path} and another --save_ckpt"
        )
    old = state.settings
    faults = [name for name in FIXED if old.get(name) != settings.get(name)]
    faults += [] if global_batch(old) == global_batch(settings) else ["batch_size"]
    if faults:
        changes = ", ".join(f"{n}: {old.get(n)} -> {settings.get(n)}" for n in faults)
        raise DelfError(
            f"{path} cannot be continued with other settings ({changes}); give the old "
            f"ones, or start anew with --overwrite"
        )
    for name in settings:
        if name not in (*PLACES, "data") and old.get(name) != settings[name]:
            logger.warning("%s changes: %s -> %s", name, old.get(name), settings[name])
    return state


def global_batch(settings: Mapping[str, Any]) -> int:
    """Photographs in a step of all processes."""
    return int(settings["batch_size"] * settings["processes"])
