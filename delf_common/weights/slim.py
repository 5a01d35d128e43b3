# SPDX-License-Identifier: Apache-2.0
"""Names of the official TF1 DELF: ``resnet_v1_50/block3/unit_2/bottleneck_v1/conv1``.

The network ends at block3, its convolutions have no bias, and so has the attention's
first one (delf_spec.md A.7 and I).
"""

from __future__ import annotations

import re

from delf_common.weights.importing import Target
from delf_common.weights.metadata import WeightsInfo

INFO = WeightsInfo("", "", "resnet50", "slim", block3_strides=True)
SIGNATURE = r"(^|/)resnet_v1_50/block1/unit_1/bottleneck_v1/conv1/weights"
OPTIMIZER = re.compile(
    r"(^|/)global_step$|/(Momentum|Adam|RMSProp|Adagrad|ExponentialMovingAverage)"
    r"(_\d+)?$|(^|/)beta[12]_power$"
)
_PARTS = {
    "weights": "weight",
    "biases": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_ATTENTION = "attention_block/attention/compute/"


def choose_target(source: str) -> Target:
    """Canonical name of one variable."""
    name = source.removesuffix(":0")
    if OPTIMIZER.search(name):
        return Target(unused="state of the optimiser")
    if re.search(r"(^|/)(attention_block|resnet_v1_50)/logits/", name):
        return Target(unused="classifier, for training only")
    found = re.search(
        rf"(?:^|/)(resnet_v1_50/|{_ATTENTION})(.+?)(/BatchNorm)?/(\w+)$", name
    )
    if not found or found[4] not in _PARTS:
        return Target()
    layer = _attention(found[2]) if found[1] == _ATTENTION else _backbone(found[2])
    if not layer:
        return Target()
    if found[3]:
        layer = _norm_of(layer)
    return Target(f"{layer}.{_PARTS[found[4]]}")


def _attention(layer: str) -> str:
    return f"attention.{layer}" if layer in ("conv1", "conv2") else ""


def _backbone(layer: str) -> str:
    if layer == "conv1":
        return layer
    found = re.fullmatch(
        r"block([1-4])/unit_(\d+)/bottleneck_v1/(shortcut|conv[123])", layer
    )
    if not found:
        return ""
    inner = "shortcut.conv" if found[3] == "shortcut" else found[3]
    return f"block{found[1]}.{int(found[2]) - 1}.{inner}"


def _norm_of(layer: str) -> str:
    """Canonical name of a convolution's batch norm."""
    above, _, inner = layer.rpartition(".")
    norm = "bn" if inner == "conv" else inner.replace("conv", "bn")
    return f"{above}.{norm}" if above else norm
