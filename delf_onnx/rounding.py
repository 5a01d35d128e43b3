# SPDX-License-Identifier: Apache-2.0
"""Stores kernels in half the bytes; onnxruntime widens them once, while loading."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper


def halve_kernels(model: ModelProto) -> None:
    """Turn float32 kernels (4 axes) into float16 with a cast, in place.

    Args:
        model: its kernels hold float16's values already, so that nothing is rounded
            here.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 4:
            continue
        name, stored = tensor.name, f"{tensor.name}.half"
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
