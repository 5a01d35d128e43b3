# SPDX-License-Identifier: Apache-2.0
"""Parameter names of the MindSpore DELF, in both directions.

The original names its layers as Keras does (``res4b_branch2a.weight``,
``bn4b_branch2a.gamma``) and its heads ``attention.conv1_needl2``, ``desc``, ``attn``.
Variants that the original does not have keep the canonical names, with MindSpore's
words for the parts of a batch norm.

Source: mindspore-ai/models research/cv/delf src/delf_model.py (delf_spec.md A.8).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.weights.importing import Target
from delf_common.weights.keras_names import canonical_layer, keras_layer
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import HEADS

INFO = WeightsInfo("", "", "resnet50", "keras", block3_strides=True)
_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_WORDS = {part: word for word, part in _NORM.items()}
_ATTENTION = {"conv1_needl2": "conv1", "bn1": "bn1", "conv2_needl2": "conv2"}
_OPTIMIZER = ("moments.", "accum.", "stat.", "moment1.", "moment2.")
_COUNTERS = (
    "learning_rate",
    "global_step",
    "momentum",
    "epoch_num",
    "step_num",
    "scale_sense",
    "current_iterator_step",
    "last_overflow_iterator_step",
)


def choose_target(source: str) -> Target:
    """Canonical name of one name of the original MindSpore DELF."""
    if source in _COUNTERS or source.startswith(_OPTIMIZER):
        return Target(unused="state of the optimiser")
    layer, _, part = source.rpartition(".")
    if layer.startswith("attention."):
        inner = _ATTENTION.get(layer.removeprefix("attention."))
        target = f"attention.{inner}" if inner else ""
    elif layer.partition(".")[0] in HEADS:
        target = layer
    else:
        target = canonical_layer(layer)
    return Target(f"{target}.{_NORM.get(part, part)}") if target else Target()


def choose_canonical(source: str) -> Target:
    """Canonical name of a canonical name in PyTorch's or MindSpore's words."""
    if source in _COUNTERS or source.startswith(_OPTIMIZER):
        return Target(unused="state of the optimiser")
    if source.endswith(".num_batches_tracked"):
        return Target(unused="counter of training batches")
    layer, _, part = source.removeprefix("backbone.").rpartition(".")
    return Target(f"{layer}.{_NORM.get(part, part)}")


def mindspore_name(name: str, info: WeightsInfo) -> str:
    """Name of a canonical parameter in a ``.ckpt`` file."""
    layer, _, part = name.rpartition(".")
    norm = layer.rpartition(".")[2].startswith("bn")
    word = _WORDS[part] if norm else part
    if info.variant != "keras":
        return f"{layer}.{word}"
    if layer.startswith("attention."):
        inner = layer.removeprefix("attention.")
        layer = f"attention.{inner if inner == 'bn1' else inner + '_needl2'}"
    elif layer.partition(".")[0] not in HEADS:
        layer = keras_layer(layer)
    return f"{layer}.{word}"


def swap_kernels(
    arrays: dict[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """Exchange height and width of every 3x3 kernel.

    The original's converter of Keras' .h5 file wrote the 3x3 kernels so, and left the
    7x7 one of the stem out; swapping again undoes it.
    """
    return {
        name: np.ascontiguousarray(array.swapaxes(2, 3))
        if array.ndim == 4 and array.shape[2:] == (3, 3)
        else array
        for name, array in arrays.items()
    }
