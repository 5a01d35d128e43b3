# SPDX-License-Identifier: Apache-2.0
"""Object names of the TF2 DELF and DELG: ``backbone/l4b/conv2a/kernel``.

Whatever stands before ``backbone``, ``attention`` or ``autoencoder`` is the way to the
model and differs between checkpoints and SavedModels (delf_spec.md I).
"""

from __future__ import annotations

import re

from delf_common.weights.importing import Target
from delf_common.weights.metadata import WeightsInfo

INFO = WeightsInfo("", "", "resnet50", "keras", block3_strides=True)
SIGNATURE = r"(^|/)backbone/l2a/conv2a/_?kernel(/|$)"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_LAYERS = {
    "backbone/conv1": "conv1",
    "backbone/bn_conv1": "bn1",
    "backbone/embedding_layer": "embedding",
    "attention/conv1": "attention.conv1",
    "attention/bn_conv1": "attention.bn1",
    "attention/conv2": "attention.conv2",
    "autoencoder/conv1": "autoencoder.conv1",
    "autoencoder/conv2": "autoencoder.conv2",
    "desc_classification": "desc",
    "attn_classification": "attn",
}
_UNIT = {
    "conv2a": "conv1",
    "conv2b": "conv2",
    "conv2c": "conv3",
    "conv_shortcut": "shortcut.conv",
    "bn2a": "bn1",
    "bn2b": "bn2",
    "bn2c": "bn3",
    "bn_shortcut": "shortcut.bn",
}
_UNUSED = (
    (r"/\.OPTIMIZER_SLOT/|(^|/)optimizer/", "state of the optimiser"),
    (r"(^|/)(save_counter|global_step|step)$", "counter of training steps"),
    (r"(^|/)(cosine_weights|scale_factor)$", "ArcFace classifier, for training only"),
)


def choose_target(source: str) -> Target:
    """Canonical name of one variable's path."""
    name = source.removesuffix(VALUE)
    for pattern, reason in _UNUSED:
        if re.search(pattern, source) or re.search(pattern, name):
            return Target(unused=reason)
    layer, _, part = name.rpartition("/")
    part = part.removeprefix("_")
    target = _unit(layer)
    for path, canonical in _LAYERS.items():
        if layer == path or layer.endswith(f"/{path}"):
            target = canonical
    if not target or part not in _PARTS:
        return Target()
    return Target(f"{target}.{_PARTS[part]}")


def _unit(layer: str) -> str:
    found = re.search(r"(?:^|/)backbone/l([2-5])([a-f])/(\w+)$", layer)
    if not found or found[3] not in _UNIT:
        return ""
    unit = ord(found[2]) - ord("a")
    return f"block{int(found[1]) - 1}.{unit}.{_UNIT[found[3]]}"
