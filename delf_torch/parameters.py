# SPDX-License-Identifier: Apache-2.0
"""Canonical parameters into a network, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from delf_common.weights.names import Params, check_params


def canonical_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and running statistic under its canonical name.

    The attributes of the modules are the canonical names; only the attribute
    ``backbone`` has no part in them.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name.removeprefix("backbone."): tensors[name] for name in tensors}


def put_params(network: nn.Module, params: Params) -> None:
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
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(wanted[name]))


def get_params(network: nn.Module) -> Params:
    """Copy a network's parameters out, as float32 under their canonical names."""
    return {
        name: to_host(tensor) for name, tensor in canonical_tensors(network).items()
    }


def to_host(tensor: Tensor) -> NDArray[np.float32]:
    """Copy a tensor out, as float32 with its axes in their order."""
    array = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    copy: NDArray[np.float32] = array.copy()
    return copy
