# SPDX-License-Identifier: Apache-2.0
"""A MindIR file run by MindSpore Lite, which carries Ascend 310.

Written by MindSpore Lite's Python documentation (2.0 to 2.10) and tested with a
stand-in for it: neither the package nor the hardware could be had where this was built.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore_lite as lite
import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError, UsageError
from delf_common.protocols import Size

Array = NDArray[np.float32]
INPUT = "level"  # name of the graph's input


class LiteModel:
    """Calls a graph of one input.

    Args:
        path: of the .mindir file.
        device: "auto" and "ascend" (the first Ascend), "ascend:N", "cpu".
        canvases: (height, width) of the only levels that will come; () for any.

    Raises:
        DelfError: MindSpore Lite cannot load the file.
        UsageError: the device's name is wrong.
    """

    def __init__(self, path: Path, device: str, canvases: Sequence[Size] = ()) -> None:
        self.path = path
        self.on_cpu = device == "cpu"
        self.model = lite.Model()
        arguments: dict[str, Any] = {}
        if not self.on_cpu and len(canvases) > 1:
            arguments["config_dict"] = describe_canvases(canvases)
        try:
            self.model.build_from_file(
                str(path), lite.ModelType.MINDIR, choose_context(device), **arguments
            )
        except RuntimeError as error:
            raise DelfError(
                f"{path} cannot be loaded by MindSpore Lite: {_first_line(error)}; "
                f"an Ascend may want static shapes: export it with --canvases"
            ) from None

    def __call__(self, level: Array) -> list[Array]:
        """(B, 3, H, W) float32, normalised, to the graph's outputs."""
        try:
            inputs = self.model.get_inputs()
            if list(inputs[0].shape) != list(level.shape):
                self.model.resize(inputs, [list(level.shape)])
                inputs = self.model.get_inputs()
            inputs[0].set_data_from_numpy(np.ascontiguousarray(level))
            outputs = self.model.predict(inputs)
        except RuntimeError as error:
            height, width = level.shape[2:]
            raise DelfError(
                f"{self.path}: MindSpore Lite failed on a level of {height}x{width}: "
                f"{_first_line(error)}"
            ) from None
        # The device's buffers are used again at the next call: copy.
        return [np.array(one.get_data_to_numpy(), np.float32) for one in outputs]


def choose_context(device: str) -> Any:
    """Where the graph runs.

    Raises:
        UsageError: the device's name is wrong.
    """
    kind, _, number = device.partition(":")
    context = lite.Context()
    if device == "cpu":
        context.target = ["cpu"]
        return context
    if device != "auto" and (kind != "ascend" or not (number or "0").isdecimal()):
        raise UsageError(
            f"--device {device}: the mindir backend knows auto, cpu and ascend:N"
        )
    context.target = ["ascend"]
    context.ascend.device_id = int(number or "0")
    # Lite's own default rounds everything to float16.
    context.ascend.precision_mode = "preferred_fp32"
    return context


def describe_canvases(canvases: Sequence[Size]) -> dict[str, dict[str, str]]:
    """Tell an Ascend's compiler which sizes it must prepare."""
    sizes = ",".join(f"[{height},{width}]" for height, width in canvases)
    shape = f"{INPUT}:[1,3,-1,-1]"
    return {
        "ascend_context": {
            "input_format": "NCHW",
            "input_shape": shape,
            "dynamic_dims": sizes,
        }
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
