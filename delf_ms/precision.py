# SPDX-License-Identifier: Apache-2.0
"""Where mixed precision gains, and where it is refused."""

from __future__ import annotations

from typing import Any

from mindspore import amp, dtype, nn

from delf_common.errors import UsageError
from delf_common.training.config import Precision

WITHOUT_BFLOAT16 = ("ascend310", "ascend310b", "ascend310p", "ascend910")


def choose_precision(precision: Precision, device: str) -> Any:
    """Type that convolutions compute in.

    MindSpore 2.10 has no bf16 convolution for a CPU, and its fp16 is slower there.

    Args:
        precision: "auto" is float32, on every device.
        device: where the network runs.

    Raises:
        UsageError: the device would lose by what was asked for.
    """
    if precision in ("auto", "float32"):
        return dtype.float32
    if precision == "bf16":
        if not has_bfloat16(device):
            raise UsageError(
                f"--precision bf16: MindSpore has no convolution in it on "
                f"{device}; leave it out"
            )
        return dtype.bfloat16
    if device == "cpu":
        raise UsageError("--precision fp16: a CPU is slower with it; use auto")
    return dtype.float16


def mix_precision(network: nn.Cell, precision: Any) -> None:
    """Let convolutions and matrix products of a network compute in another type."""
    amp.auto_mixed_precision(network, "auto", precision)


def has_bfloat16(device: str) -> bool:
    """Whether the device has instructions for bf16."""
    if device == "cpu":
        return False
    from mindspore._c_expression import MSContext

    chip = str(MSContext.get_instance().get_ascend_soc_version())
    return chip not in WITHOUT_BFLOAT16
