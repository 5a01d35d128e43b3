# SPDX-License-Identifier: Apache-2.0
"""A MindIR file's graph, run by MindSpore itself."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_ms.device import choose_device

Array = NDArray[np.float32]


class Graph:
    """Calls a graph of one input.

    Args:
        path: of the .mindir file.
        device: "auto", "cpu", "ascend:N".
        dynamic: compile once for images of any number and size; a static graph is
            compiled for its own.

    Raises:
        DelfError: MindSpore cannot load the file.
        UsageError: there is no such device.
    """

    def __init__(self, path: Path, device: str = "auto", dynamic: bool = True) -> None:
        self.on_cpu = choose_device(device) == "cpu"
        try:
            self.cell = nn.GraphCell(ms.load(str(path)))
        except (RuntimeError, ValueError, TypeError) as error:
            first = str(error).strip().split("\n")[0]
            raise DelfError(
                f"{path} cannot be loaded by MindSpore {ms.__version__}: {first}"
            ) from None
        if dynamic:
            self.cell.set_inputs(Tensor(shape=[None, 3, None, None], dtype=ms.float32))

    def __call__(self, level: Array) -> list[Array]:
        """(B, 3, H, W) float32, normalised, to the graph's outputs."""
        return [output.asnumpy() for output in self.cell(Tensor(level))]
