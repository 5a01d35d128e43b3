# SPDX-License-Identifier: Apache-2.0
"""The update of the parameters, and its memory in and out of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from mindspore import Parameter, Tensor, dtype, nn, ops
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.training.config import TrainConfig
from delf_ms.adamw import AdamW
from delf_ms.parameters import canonical_tensors, to_host

# Operators by name and HyperMap compile in a third of the time of functions in a loop.
_for_each = ops.HyperMap()
_square = ops.Square()
_sum = ops.ReduceSum()
_multiply = ops.Mul()
State = dict[str, NDArray[np.float32]]


def trained_parameters(network: nn.Cell) -> dict[str, Parameter]:
    """Canonical name -> parameter, for those that have gradients."""
    tensors = canonical_tensors(network)
    return {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}


def make_optimizer(
    config: TrainConfig, parameters: Mapping[str, Parameter]
) -> nn.Optimizer:
    """SGD with momentum (not Nesterov's), or AdamW.

    Weight decay is for kernels and matrices only, by their number of axes: groups that
    say so, since MindSpore itself goes by the parameters' names.
    """
    matrices = [tensor for tensor in parameters.values() if tensor.ndim > 1]
    vectors = [tensor for tensor in parameters.values() if tensor.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw":
        return AdamW(groups, config.initial_lr)
    return nn.Momentum(groups, config.initial_lr, config.momentum)


def clip_gradients(
    gradients: tuple[Tensor, ...], limit: float
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Scale all gradients so that their common norm is at most ``limit``.

    Args:
        gradients: of all parameters.
        limit: largest norm; 0 changes nothing.

    Returns:
        The gradients, and the norm before, as tf.clip_by_global_norm computes it.
    """
    norm = ops.sqrt(ops.addn(_for_each(_sum, _for_each(_square, gradients))))
    if limit:
        scale = limit / ops.clamp(norm, min=limit)
        gradients = _for_each(ops.partial(_multiply, scale), gradients)
    return gradients, norm


def get_state(optimizer: nn.Optimizer, parameters: Mapping[str, Parameter]) -> State:
    """Copy what the optimiser remembers, "momentum_buffer.conv1.weight" and so on."""
    return {
        f"{key}.{name}": to_host(memory)
        for key, name, memory in _memories(optimizer, parameters)
    }


def put_state(
    optimizer: nn.Optimizer,
    parameters: Mapping[str, Parameter],
    state: Mapping[str, NDArray[np.float32]],
) -> None:
    """Let the optimiser remember what another one did.

    Raises:
        DelfError: something remembered belongs to no parameter.
    """
    there = {
        f"{key}.{name}": memory
        for key, name, memory in _memories(optimizer, parameters)
    }
    for entry, array in state.items():
        if entry not in there:
            raise DelfError(f"the optimiser's {entry} belongs to no trained parameter")
        memory = there[entry]
        memory.set_data(Tensor(array.reshape(memory.shape), dtype.float32))


def _memories(
    optimizer: nn.Optimizer, parameters: Mapping[str, Parameter]
) -> Iterator[tuple[str, str, Parameter]]:
    """What the optimiser remembers of each parameter, under PyTorch's word for it.

    PyTorch counts the steps of each parameter, which are those of all.
    """
    names = {id(tensor): name for name, tensor in parameters.items()}
    adam = isinstance(optimizer, AdamW)
    for i, tensor in enumerate(optimizer.parameters):
        name = names[id(tensor)]
        if adam:
            yield "step", name, optimizer.step
            yield "exp_avg", name, optimizer.exp_avg[i]
            yield "exp_avg_sq", name, optimizer.exp_avg_sq[i]
        else:
            yield "momentum_buffer", name, optimizer.moments[i]
