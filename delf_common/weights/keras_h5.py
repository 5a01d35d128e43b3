# SPDX-License-Identifier: Apache-2.0
"""Imports and writes Keras' ResNet-50 weights, all layers, the stem too.

The file ``resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5`` has a group for each
layer; the root's attribute ``layer_names`` and each group's ``weight_names`` say what
there is. Keras 1 and 2 spell the arrays differently (delf_spec.md section A.8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing
from delf_common.weights.importing import Arrays, Imported, Target, place
from delf_common.weights.keras_names import canonical_layer, keras_layer
from delf_common.weights.layouts import to_layout
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import HEADS, Params, parameter_shapes

INFO = WeightsInfo("", "", "resnet50", "keras")
_PARTS = {
    "W": "weight",
    "kernel": "weight",
    "b": "bias",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "running_mean": "running_mean",
    "moving_mean": "running_mean",
    "running_std": "running_var",  # Keras 1 calls it std, and stores the variance
    "moving_variance": "running_var",
}
_KERAS_1 = {"weight": "W", "bias": "b"}
_KERAS_1_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "running_mean",
    "running_var": "running_std",
}
_CLASSIFIERS = ("fc1000", "predictions")


def import_keras(arrays: Arrays) -> Imported:
    """Place every array of Keras' ResNet-50.

    Args:
        arrays: "layer/array name" -> array as stored, kernels HWIO.

    Raises:
        DelfError: lists all that is missing, left over or misshapen.
    """
    oihw = {
        name: to_layout(array, "HWIO", "OIHW") if array.ndim == 4 else array
        for name, array in arrays.items()
    }
    return place(oihw, parameter_shapes(INFO), choose_target)


def read_keras_h5(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read every array that a Keras weight file declares.

    Args:
        path: the .h5 file; a whole saved model is read too (its ``model_weights``).

    Returns:
        "layer/array name" -> array as stored, in the file's order. Layers without
        weights give nothing.

    Raises:
        DelfError: the file is damaged, no weight file, or lacks a declared array.
    """
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file else file
            if "layer_names" not in root.attrs:
                raise DelfError(
                    f"{path} has no layer_names: it is no Keras weight file"
                )
            return _read_layers(root)
    except (OSError, KeyError) as error:
        raise DelfError(f"{path} is not a readable Keras file: {error}") from None


def read_h5_info(path: str | Path, key: str) -> str:
    """Text that `write_keras_h5` left under a key, "" without any."""
    with h5py.File(path, "r") as file:
        return _text(file.attrs.get(key, ""))


def write_keras_h5(
    path: str | Path,
    params: Params,
    extra: Mapping[str, NDArray[Any]],
    key: str,
    text: str,
) -> None:
    """Write a weight file in the spelling of Keras 1, which the old DELFs read.

    Args:
        path: the file, replaced if it exists.
        params: canonical name -> array; heads become layers such as "attention_conv1".
        extra: further arrays, put into a layer "pca" under their own names.
        key: attribute of the root for the text.
        text: what the arrays do not say.
    """
    layers: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in params.items():
        layer, _, part = name.rpartition(".")
        norm = layer.rpartition(".")[2].startswith("bn")
        called = _layer_name(layer)
        word = _KERAS_1_NORM[part] if norm else _KERAS_1[part]
        stored = array
        if array.ndim > 1:
            axes = ("OIHW", "HWIO") if array.ndim == 4 else ("OI", "IO")
            stored = to_layout(array, *axes)
        layers.setdefault(called, {})[f"{called}_{word}_1:0"] = stored
    if extra:
        layers["pca"] = dict(extra)
    with replacing(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs[key] = text
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group.create_dataset(name, data=array)


def choose_target(source: str) -> Target:
    """Canonical name of one "layer/array name"."""
    layer, _, array = source.partition("/")
    if layer in _CLASSIFIERS:
        return Target(unused="ImageNet classifier")
    target = canonical_layer({"conv1_bn": "bn_conv1"}.get(layer, layer))
    target = target or _head(layer)
    found = re.fullmatch(r"(\w+?)(_\d+)?(:0)?", _array_part(layer, array))
    if not target or not found or found[1] not in _PARTS:
        return Target()
    return Target(f"{target}.{_PARTS[found[1]]}")


def _layer_name(layer: str) -> str:
    """Keras' name of a canonical layer; heads have underscores for dots."""
    if layer.partition(".")[0] in HEADS:
        return layer.replace(".", "_")
    return keras_layer(layer)


def _head(layer: str) -> str:
    """Canonical name of "attention_conv1", a layer that Keras' network has not."""
    head, _, inner = layer.partition("_")
    if head not in HEADS:
        return ""
    return f"{head}.{inner}" if inner else head


def _array_part(layer: str, array: str) -> str:
    """Drop the layer's name from "layer_W_1:0" and "layer/kernel:0"."""
    last = array.rpartition("/")[2]
    return last.removeprefix(f"{layer}_")


def _read_layers(root: h5py.Group) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for layer in map(_text, root.attrs["layer_names"]):
        for name in map(_text, root[layer].attrs.get("weight_names", ())):
            arrays[f"{layer}/{name}"] = np.asarray(root[layer][name])
    return arrays


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
