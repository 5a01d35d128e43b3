# SPDX-License-Identifier: Apache-2.0
"""Canonical parameters into a network, and back."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, dtype, nn
from numpy.typing import NDArray

from delf_common.weights.names import Params, check_params

# MindSpore's words for the parts of a batch norm, and the canonical ones.
WORDS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def canonical_tensors(network: nn.Cell) -> dict[str, Parameter]:
    """Every parameter and running statistic under its canonical name.

    The attributes of the cells are the canonical names; only the attribute
    ``backbone`` has no part in them, and batch norm has MindSpore's words. An
    attribute's place in the network counts: the name that MindSpore keeps in the
    parameter changes when the network is put into another.
    """
    return {
        canonical_name(name): tensor for name, tensor in network.parameters_and_names()
    }


def canonical_name(name: str) -> str:
    """Canonical name of an attribute's place in a network."""
    layer, dot, part = name.removeprefix("backbone.").rpartition(".")
    return f"{layer}{dot}{WORDS.get(part, part)}"


def put_params(network: nn.Cell, params: Params) -> None:
    """Copy canonical parameters into a network, except those of absent heads.

    Raises:
        DelfError: lists all that is missing, left over or misshapen.
    """
    tensors = canonical_tensors(network)
    heads = ("desc.", "attn.", "embedding.")
    wanted = {
        name: array
        for name, array in params.items()
        if name in tensors or not name.startswith(heads)
    }
    check_params(wanted, {name: tuple(t.shape) for name, t in tensors.items()})
    for name, tensor in tensors.items():
        tensor.set_data(Tensor(np.asarray(wanted[name], np.float32)))


def get_params(network: nn.Cell) -> Params:
    """Copy a network's parameters out, as float32 under their canonical names."""
    return {
        name: to_host(tensor) for name, tensor in canonical_tensors(network).items()
    }


def to_host(tensor: Tensor) -> NDArray[np.float32]:
    """Copy a tensor out, as float32 with its axes in their order."""
    single = tensor.astype(dtype.float32)  # NumPy has no bf16
    copy: NDArray[np.float32] = single.asnumpy().copy()
    return copy
