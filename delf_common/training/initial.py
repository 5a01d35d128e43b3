# SPDX-License-Identifier: Apache-2.0
"""Random parameters to start from, the same numbers in every framework."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import Params, parameter_shapes

GLOROT = ("attention.", "desc.", "attn.", "autoencoder.")


def initial_params(info: WeightsInfo, seed: int) -> Params:
    """Draw every parameter of a network.

    Kernels of the backbone are normal with variance 2 / fan-in (He et al. 2015);
    attention and classifiers are Glorot uniform, as in TensorFlow's DELF; batch norms
    begin as the identity, biases as 0. Each is drawn by its own generator, seeded by
    ``seed`` and its name.
    """
    shapes = parameter_shapes(info)
    return {name: _draw(name, shape, seed) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    if len(shape) == 1:
        ones = name.endswith(("running_var", ".weight"))
        return np.full(shape, 1.0 if ones else 0.0, np.float32)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    fan_in = int(np.prod(shape[1:]))
    if not name.startswith(GLOROT):
        return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    fan_out = shape[0] * int(np.prod(shape[2:]))
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(np.float32)
