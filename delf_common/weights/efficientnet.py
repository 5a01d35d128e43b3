# SPDX-License-Identifier: Apache-2.0
"""Imports EfficientNet-Lite0's ImageNet state dict.

Source of the names: the package efficientnet-lite-pytorch (``_conv_stem``,
``_blocks.7._expand_conv``); its 16 blocks are numbered through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from delf_common.weights.architectures import lite0_units
from delf_common.weights.importing import Arrays, Imported, Target, place
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import parameter_shapes

SIGNATURE = "_conv_stem.weight"
INFO = WeightsInfo("", "", "efficientnet_lite0")
_PARTS = {
    "_expand_conv": "expand",
    "_bn0": "bn1",
    "_depthwise_conv": "depthwise",
    "_bn1": "bn2",
    "_project_conv": "project",
    "_bn2": "bn3",
}
_UNUSED: Mapping[str, str] = {
    "_conv_head": "layer after block4, for the ImageNet classifier only",
    "_bn1": "layer after block4, for the ImageNet classifier only",
    "_fc": "ImageNet classifier",
}


def import_efficientnet(state: Arrays) -> Imported:
    """Place every array of a state dict of EfficientNet-Lite0.

    Args:
        state: source name -> array, kernels OIHW.

    Raises:
        DelfError: lists all that is missing, left over or misshapen.
    """
    return place(state, parameter_shapes(INFO), choose_target)


def choose_target(source: str) -> Target:
    """Canonical name of one source name."""
    if source.endswith(".num_batches_tracked"):
        return Target(unused="counter of training batches")
    layer, _, part = source.partition(".")
    if layer in _UNUSED:
        return Target(unused=_UNUSED[layer])
    if layer == "_conv_stem":
        return Target(f"conv1.{part}")
    if layer == "_bn0":
        return Target(f"bn1.{part}")
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", source)
    units = [
        f"{block}.{i}"
        for block, units in lite0_units().items()
        for i in range(len(units))
    ]
    if not found or int(found[1]) >= len(units) or found[2] not in _PARTS:
        return Target()
    return Target(f"{units[int(found[1])]}.{_PARTS[found[2]]}.{found[3]}")
