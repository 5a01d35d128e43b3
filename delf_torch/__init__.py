# SPDX-License-Identifier: Apache-2.0
"""DELF's network in PyTorch; fits `delf_common.protocols.Backend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from delf_torch.loading import load_network

if TYPE_CHECKING:
    from delf_common.config import ExportConfig
    from delf_common.training.config import TrainConfig
    from delf_common.weights.differences import Difference

__all__ = ["export", "load_network", "train"]


def export(weights: str | Path, output: Path, config: ExportConfig) -> list[Difference]:
    """Write an ONNX file; how far its outputs are from this network's.

    See `delf_torch.exporting.export`.
    """
    from delf_torch.exporting import export

    return export(weights, output, config)


def train(config: TrainConfig) -> Path:
    """Train one stage; the path of the last checkpoint.

    See `delf_common.training.run.run_training`; what only training needs is imported
    here and not with the package.
    """
    from delf_torch.training import train

    return train(config)
