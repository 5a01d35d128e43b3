# SPDX-License-Identifier: Apache-2.0
"""Reads the weights that a frozen TensorFlow graph has as constants.

A ``saved_model.pb`` or a frozen ``.pb`` is a protobuf message with the graph's nodes;
only its constants are looked at, nothing is run.

Source: tensorflow/core/framework graph.proto, node_def.proto, tensor.proto and
tensorflow/core/protobuf saved_model.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.delf_proto import Value, as_bytes, group_fields, message
from delf_common.weights.bfloat16 import from_bfloat16

WEIGHTS = (
    "weights",
    "biases",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "kernel",
    "bias",
)
_TYPES = {1: "<f4", 2: "<f8", 19: "<f2", 14: "<u2"}
_VALUES = {1: (5, "<f4"), 2: (6, "<f8")}  # type -> field of single values, their type


def read_frozen(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read every constant whose name is that of a weight.

    Args:
        path: a ``saved_model.pb`` or a frozen graph's ``.pb``.

    Returns:
        Name of the variable that the constant was -> array.

    Raises:
        DelfError: the file is damaged, or no constant is a weight.
    """
    try:
        arrays = dict(_constants(Path(path).read_bytes()))
    except (OSError, ValueError, DelfError) as error:
        raise DelfError(f"{path} is not a readable TensorFlow graph: {error}") from None
    if not arrays:
        raise DelfError(
            f"{path} has no weights among its constants; its variables lie in files "
            f"beside it: give the folder that has variables/"
        )
    return arrays


def _constants(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    for graph in _graphs(data):
        for value in group_fields(graph).get(1, []):
            node = group_fields(as_bytes(value))
            name = message(node, 1).decode("utf-8", "replace")
            name = name.removesuffix("/ReadVariableOp").removesuffix("/read")
            if message(node, 2) != b"Const" or name.rpartition("/")[2] not in WEIGHTS:
                continue
            tensor = _attribute(node, b"value")
            if tensor is not None:
                yield name, _tensor(name, tensor)


def _graphs(data: bytes) -> Iterator[bytes]:
    """Graphs of a SavedModel, whose field 1 is a number; or the graph that it is."""
    fields = group_fields(data)
    if fields and all(isinstance(value, int) for value in fields.get(1, [])):
        for meta in fields.get(2, []):
            yield message(group_fields(as_bytes(meta)), 2)
    else:
        yield data


def _attribute(node: dict[int, list[Value]], key: bytes) -> bytes | None:
    for value in node.get(5, []):
        entry = group_fields(as_bytes(value))
        if message(entry, 1) == key:
            return message(group_fields(message(entry, 2)), 8)
    return None


def _tensor(name: str, data: bytes) -> NDArray[Any]:
    fields = group_fields(data)
    kind = fields.get(1, [0])[-1]
    if not isinstance(kind, int) or kind not in _TYPES:
        raise DelfError(f"{name} has the type {kind!r}, which is no float")
    shape = []
    for dim in group_fields(message(fields, 2)).get(2, []):
        side = group_fields(as_bytes(dim)).get(1, [0])[-1]
        shape.append(side if isinstance(side, int) else 0)
    if 4 in fields:
        flat = np.frombuffer(message(fields, 4), _TYPES[kind])
    elif kind in _VALUES:
        number, text = _VALUES[kind]
        flat = np.frombuffer(message(fields, number), text)
    else:
        raise DelfError(f"{name} is stored in a way that is not supported")
    size = int(np.prod(shape, dtype=np.int64))
    if 0 < flat.size < size:  # the last value stands for all that follow
        flat = np.concatenate([flat, np.full(size - flat.size, flat[-1], flat.dtype)])
    if flat.size != size:
        raise DelfError(f"{name} has {flat.size} values, and the shape {shape}")
    values = from_bfloat16(flat) if kind == 14 else flat
    return values.reshape(shape)
