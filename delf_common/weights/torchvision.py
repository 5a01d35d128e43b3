# SPDX-License-Identifier: Apache-2.0
"""Imports torchvision's ResNet-50 state dict.

Source of the names: torchvision.models.resnet (``layer3.0.downsample.1.weight``).
"""

from __future__ import annotations

import re

from delf_common.weights.importing import Arrays, Imported, Target, place
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import HEADS, parameter_shapes

SIGNATURE = "layer1.0.conv1.weight"
INFO = WeightsInfo("", "", "resnet50", "torchvision")
_SHORTCUT = {"downsample.0": "shortcut.conv", "downsample.1": "shortcut.bn"}


def import_torchvision(state: Arrays) -> Imported:
    """Place every array of a ResNet-50 state dict.

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
    if source.startswith("fc."):
        return Target(unused="ImageNet classifier")
    if source.partition(".")[0] in ("conv1", "bn1", *HEADS):
        return Target(source)
    found = re.fullmatch(r"layer([1-4])\.(\d+)\.(.+)\.(\w+)", source)
    if not found:
        return Target()
    layer = _SHORTCUT.get(found[3], found[3])
    return Target(f"block{found[1]}.{found[2]}.{layer}.{found[4]}")


def torchvision_name(name: str) -> str:
    """Torchvision's name of a canonical parameter; heads keep theirs."""
    if not name.startswith("block"):
        return name
    block, unit, layer = name.removeprefix("block").split(".", 2)
    for source, target in _SHORTCUT.items():
        layer = layer.replace(f"{target}.", f"{source}.")
    return f"layer{block}.{unit}.{layer}"
