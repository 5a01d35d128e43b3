# SPDX-License-Identifier: Apache-2.0
"""Canonical parameters into a network, and back."""

from __future__ import annotations

import torch
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
        name: tensor.detach().to("cpu", torch.float32).contiguous().numpy().copy()
        for name, tensor in canonical_tensors(network).items()
    }
