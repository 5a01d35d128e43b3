# SPDX-License-Identifier: Apache-2.0
"""Names of Keras' ResNet-50 layers: ``res4b_branch2a`` is ``block3.1.conv1``."""

from __future__ import annotations

import re

STEM = {"conv1": "conv1", "bn_conv1": "bn1"}
BRANCHES = {
    ("res", "2a"): "conv1",
    ("res", "2b"): "conv2",
    ("res", "2c"): "conv3",
    ("res", "1"): "shortcut.conv",
    ("bn", "2a"): "bn1",
    ("bn", "2b"): "bn2",
    ("bn", "2c"): "bn3",
    ("bn", "1"): "shortcut.bn",
}
_LAYERS = {layer: branch for branch, layer in BRANCHES.items()}


def canonical_layer(layer: str) -> str:
    """Canonical name of a Keras layer, "" for an unknown one.

    Stage 4 is block3, unit b is 1.
    """
    if layer in STEM:
        return STEM[layer]
    found = re.fullmatch(r"(res|bn)([2-5])([a-f])_branch(\w+)", layer)
    if not found or (found[1], found[4]) not in BRANCHES:
        return ""
    unit = ord(found[3]) - ord("a")
    return f"block{int(found[2]) - 1}.{unit}.{BRANCHES[found[1], found[4]]}"


def keras_layer(layer: str) -> str:
    """Keras' name of a canonical layer of the backbone."""
    for name, canonical in STEM.items():
        if layer == canonical:
            return name
    block, unit, inner = layer.split(".", 2)
    kind, branch = _LAYERS[inner]
    stage = int(block.removeprefix("block")) + 1
    return f"{kind}{stage}{chr(ord('a') + int(unit))}_branch{branch}"
