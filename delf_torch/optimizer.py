# SPDX-License-Identifier: Apache-2.0
"""The update of the parameters, and its memory in and out of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from delf_common.errors import DelfError
from delf_common.training.config import TrainConfig
from delf_torch.parameters import canonical_tensors, to_host

State = dict[str, NDArray[np.float32]]


def trained_parameters(network: nn.Module) -> dict[str, Tensor]:
    """Canonical name -> parameter, for those that have gradients."""
    tensors = canonical_tensors(network)
    return {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}


def make_optimizer(
    config: TrainConfig, parameters: Mapping[str, Tensor]
) -> torch.optim.Optimizer:
    """SGD with momentum (not Nesterov's), or AdamW.

    Weight decay is for kernels and matrices only, by their number of axes.
    """
    matrices = [tensor for tensor in parameters.values() if tensor.ndim > 1]
    vectors = [tensor for tensor in parameters.values() if tensor.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, config.initial_lr)
    return torch.optim.SGD(groups, config.initial_lr, config.momentum)


def clip_gradients(gradients: list[Tensor], limit: float) -> Tensor:
    """Scale all gradients so that their common norm is at most ``limit``.

    Args:
        gradients: of all parameters; they are changed.
        limit: largest norm; 0 changes nothing.

    Returns:
        The norm before, as tf.clip_by_global_norm computes and uses it.
    """
    norms = torch._foreach_norm(gradients)
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    if limit:
        torch._foreach_mul_(gradients, limit / norm.clamp_min(limit))
    return norm


def get_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]
) -> State:
    """Copy what the optimiser remembers, "momentum_buffer.conv1.weight" and so on."""
    return {
        f"{key}.{name}": to_host(value)
        for name, tensor in parameters.items()
        for key, value in optimizer.state[tensor].items()
        if isinstance(value, Tensor)
    }


def put_state(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    state: Mapping[str, NDArray[np.float32]],
) -> None:
    """Let the optimiser remember what another one did.

    Raises:
        DelfError: something remembered belongs to no parameter.
    """
    for entry, array in state.items():
        key, _, name = entry.partition(".")
        if name not in parameters:
            raise DelfError(f"the optimiser's {entry} belongs to no trained parameter")
        tensor = parameters[name]
        value = torch.from_numpy(array)
        if value.numel() == 1 and tensor.numel() != 1:  # a counter, which is scalar
            optimizer.state[tensor][key] = value.reshape(())
        else:
            like = torch.empty_like(tensor).copy_(value.reshape(tensor.shape))
            optimizer.state[tensor][key] = like
