# SPDX-License-Identifier: Apache-2.0
"""Chooses where the network runs; importing this chooses nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

import mindspore as ms
from mindspore.device_context import ascend, cpu

from delf_common.errors import UsageError

AVX2 = 7  # of oneDNN's instruction sets


def choose_device(device: str = "auto") -> str:
    """Turn a name into a device that is there, and let MindSpore run on it.

    MindSpore has one device for the whole process.

    Args:
        device: "auto" (the first Ascend, else the CPU), "cpu", "ascend", "ascend:N".

    Returns:
        "cpu" or "ascend:N".

    Raises:
        UsageError: the name is wrong, the machine has no such device, or this process
            already runs on another.
    """
    kind, _, number = device.partition(":")
    if device not in ("auto", "cpu") and (
        kind != "ascend" or not (number or "0").isdecimal()
    ):
        raise UsageError(
            f"--device {device}: the ms backend knows auto, cpu and ascend:N"
        )
    count = 0 if device == "cpu" else count_ascends()
    if device == "cpu" or (device == "auto" and not count):
        occupy("CPU", 0)
        limit_instructions()
        limit_threads()
        return "cpu"
    index = int(number or "0")
    if index >= count:
        there = f"has {count} Ascend devices" if count else "has no Ascend device"
        raise UsageError(f"--device {device}: this machine {there}; try --device cpu")
    occupy("Ascend", index)
    ascend.op_precision.conv_allow_hf32(False)  # float32 is to mean float32
    ascend.op_precision.matmul_allow_hf32(False)
    return f"ascend:{index}"


def count_ascends() -> int:
    """Ascend devices of this machine; 0 where this MindSpore cannot use any."""
    return int(ascend.device_count()) if ascend.is_available() else 0


def occupy(target: str, index: int) -> None:
    """Let this process run on a device.

    Raises:
        UsageError: it runs on another.
    """
    try:
        ms.set_device(target, index)
    except RuntimeError:
        now, number = ms.get_current_device()
        if (now, number) != (target, index):
            raise UsageError(
                f"--device {target.lower()}:{index}: this process already runs on "
                f"{now.lower()}:{number}, and MindSpore has one device a process"
            ) from None


def limit_instructions() -> None:
    """Keep oneDNN from AVX-512, where it has no fast convolution for MindSpore.

    MindSpore 2.10 keeps its maps in plain NCHW. For those, oneDNN 3.10 takes a plain
    loop with AVX-512, and a matrix product with AVX2: a 3x3 convolution of 256
    channels at 64x48 takes 3300 ms and 20 ms. Only MindSpore's copy of oneDNN is
    told, and only if ONEDNN_MAX_CPU_ISA does not say otherwise.
    """
    if "ONEDNN_MAX_CPU_ISA" in os.environ:
        return
    for library in (Path(ms.__file__).parent / "lib").glob("libdnnl.so*"):
        ctypes.CDLL(str(library)).dnnl_set_max_cpu_isa(AVX2)


def limit_threads() -> None:
    """Let OMP_NUM_THREADS count, which MindSpore does not read.

    Its threads, oneDNN's among them, are otherwise as many as there are cores, and
    wait for each other by spinning. MindSpore takes this once in a process.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted):
        with contextlib.suppress(RuntimeError):
            cpu.op_tuning.threads_num(int(wanted))
