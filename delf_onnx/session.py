# SPDX-License-Identifier: Apache-2.0
"""How onnxruntime runs a file: device, threads, precision."""

from __future__ import annotations

import os
from typing import Any

import onnxruntime

from delf_common.errors import DelfError, UsageError
from delf_common.host import count_cores


def open_session(model: bytes, device: str, name: str) -> onnxruntime.InferenceSession:
    """Load a model.

    Args:
        model: the file's content.
        device: "auto" (CUDA where this onnxruntime has it, else the CPU), "cpu",
            "cuda", "cuda:N".
        name: of the file, for errors.

    Raises:
        DelfError: onnxruntime cannot load the file.
        UsageError: there is no such device.
    """
    providers = choose_providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_threads()
    options.log_severity_level = 4  # what goes wrong is raised
    # Every level has its own shape: a plan of the memory for each would only grow.
    options.enable_mem_pattern = False
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE":
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers)
    except Exception as error:  # onnxruntime's exceptions have no common base class
        first = str(error).strip().split("\n")[0]
        raise DelfError(
            f"{name} cannot be loaded by onnxruntime {onnxruntime.__version__}: {first}"
        ) from None


def count_threads() -> int:
    """Threads of one operator: OMP_NUM_THREADS, else the processors this may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return count_cores()


def choose_providers(device: str) -> list[Any]:
    """Turn a device's name into onnxruntime's providers.

    Raises:
        UsageError: the name is wrong, or this onnxruntime has no CUDA.
    """
    there = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    kind, _, number = device.partition(":")
    if device == "cpu" or (device == "auto" and not there):
        return ["CPUExecutionProvider"]
    if device != "auto" and (kind != "cuda" or not (number or "0").isdecimal()):
        raise UsageError(
            f"--device {device}: the onnx backend knows auto, cpu and cuda:N"
        )
    if not there:
        raise UsageError(
            f"--device {device}: this onnxruntime has no CUDA; install onnxruntime-gpu "
            f"in its place, or use --device cpu"
        )
    # No TF32: the numbers are to be those of float32 everywhere.
    cuda = {"device_id": int(number or "0"), "use_tf32": 0}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]
