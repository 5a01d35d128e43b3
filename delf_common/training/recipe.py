# SPDX-License-Identifier: Apache-2.0
"""What a run was, for its checkpoints and for the weights that come of it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from delf_common.training.batches import Streams
from delf_common.training.config import TrainConfig
from delf_common.training.resuming import PLACES
from delf_common.training.trainer import World
from delf_common.weights.metadata import WeightsInfo


def describe_run(config: TrainConfig, streams: Streams, world: World) -> dict[str, Any]:
    """Everything that moves the result, for the checkpoint's metadata."""
    return {
        **dataclasses.asdict(config),
        "processes": world.size,
        "records": len(streams.source),
        "data": dict(streams.source.provenance),
    }


def with_recipe(info: WeightsInfo, settings: dict[str, Any]) -> WeightsInfo:
    """Say in the weights how they were trained; the defaults go without saying."""
    usual = dataclasses.asdict(TrainConfig())
    recipe = {
        name: value
        for name, value in settings.items()
        if name not in PLACES and usual.get(name) != value
    }
    provenance = {**info.provenance, f"recipe_{info.stage}": json.dumps(recipe)}
    return dataclasses.replace(info, provenance=provenance)
