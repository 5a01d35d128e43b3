# SPDX-License-Identifier: Apache-2.0
"""Folds batch norm into the convolution before it: same numbers, less work."""

from __future__ import annotations

import numpy as np

from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import NORM_PARTS, Params, convolutions


def fold_batch_norm(params: Params, info: WeightsInfo) -> Params:
    """Return the parameters of the same network without batch norms.

    Every convolution gets a bias; the arithmetic is in float64, so that the folded
    network differs from the unfolded one only by float32 rounding.

    Args:
        params: canonical parameters; they stay as they are.
        info: which network they belong to.
    """
    folded = dict(params)
    for convolution in convolutions(info):
        if not convolution.norm:
            continue
        gain, shift, mean, variance = (
            folded.pop(f"{convolution.norm}.{part}").astype(np.float64)
            for part in NORM_PARTS
        )
        factor = gain / np.sqrt(variance + convolution.eps)
        kernel, bias = f"{convolution.name}.weight", f"{convolution.name}.bias"
        before = params[bias] if convolution.bias else np.zeros_like(mean)
        scaled = params[kernel] * factor[:, None, None, None]
        folded[kernel] = scaled.astype(np.float32)
        folded[bias] = ((before - mean) * factor + shift).astype(np.float32)
    return folded
