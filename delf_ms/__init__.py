# SPDX-License-Identifier: Apache-2.0
"""DELF's network in MindSpore; fits `delf_common.protocols.Backend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from delf_ms.environment import prepare_environment

if TYPE_CHECKING:
    from delf_common.config import ExportConfig
    from delf_common.training.config import TrainConfig
    from delf_common.weights.differences import Difference
    from delf_ms.network import MsNetwork

__all__ = ["export", "load_network", "train"]


def export(weights: str | Path, output: Path, config: ExportConfig) -> list[Difference]:
    """Write a MindIR file; how far its outputs are from this network's.

    See `delf_ms.exporting.export`.
    """
    prepare_environment()
    from delf_ms.exporting import export

    return export(weights, output, config)


def load_network(weights: str | Path, device: str = "auto") -> MsNetwork:
    """Load a canonical checkpoint; see `delf_ms.loading.load_network`.

    MindSpore is imported here and not with the package: how loud it is has to be
    known before.
    """
    prepare_environment()
    from delf_ms.loading import load_network

    return load_network(weights, device)


def train(config: TrainConfig) -> Path:
    """Train one stage; the path of the last checkpoint.

    See `delf_common.training.run.run_training`.
    """
    prepare_environment()
    from delf_ms.training import train

    return train(config)
