# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint's name to a network that is ready to run."""

from __future__ import annotations

from pathlib import Path

from delf_common.weights.checkpoint import load_checkpoint
from delf_ms.device import choose_device
from delf_ms.network import MsNetwork


def load_network(weights: str | Path, device: str = "auto") -> MsNetwork:
    """Load a canonical checkpoint.

    Args:
        weights: a path, or the name of embedded weights such as "delf-lite0".
        device: "auto", "cpu", "ascend:N".

    Raises:
        DelfError: the weights are missing, damaged, or do not fit their architecture.
        UsageError: there is no such device.
    """
    chosen = choose_device(device)
    return MsNetwork(load_checkpoint(weights), chosen)
