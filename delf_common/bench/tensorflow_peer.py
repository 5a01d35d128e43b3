# SPDX-License-Identifier: Apache-2.0
"""The same network as a TensorFlow graph, which `delf bench network` times beside ours.

TensorFlow gets the best case: batch norms folded beforehand, parameters as constants of
a `tf.function`, so that its optimiser fuses biases and activations into convolutions.
It is a peer of the bench only; nothing else imports this.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from delf_common.errors import DelfError
from delf_common.extraction.host_maps import HostMaps
from delf_common.extraction.receptive_field import Padding
from delf_common.protocols import DenseMaps, Images, Size
from delf_common.weights.architectures import (
    BLOCKS,
    RESNET_VARIANTS,
    feature_channels,
    lite0_units,
    receptive_field,
    resnet_strides,
)
from delf_common.weights.checkpoint import load_checkpoint
from delf_common.weights.folding import fold_batch_norm

DEPTHS = BLOCKS[:3]


class TensorFlowNetwork:
    """A TensorFlow graph on the CPU; fits `delf_common.protocols.FeatureNetwork`.

    Args:
        weights: a path, or the name of embedded weights, without an autoencoder.
        threads: of one operation.

    Raises:
        DelfError: the weights have an autoencoder.
    """

    def __init__(self, weights: Any, threads: int) -> None:
        self.tf: Any = importlib.import_module("tensorflow")
        self.tf.config.threading.set_intra_op_parallelism_threads(threads)
        checkpoint = load_checkpoint(weights)
        self.info = checkpoint.info
        if self.info.autoencoder:
            raise DelfError("the TensorFlow peer knows no autoencoder")
        self.receptive_field = receptive_field(self.info)
        self.channels = feature_channels(self.info)
        params = fold_batch_norm(checkpoint.params, self.info)
        self.params = {name: self._constant(value) for name, value in params.items()}
        self.graph = self.tf.function(self._maps, reduce_retracing=True)

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run every pyramid level; see `delf_common.protocols.FeatureNetwork`."""
        pixels = self.tf.constant(images)
        outputs = [self.graph(pixels, self.tf.constant(size)) for size in sizes]
        return [HostMaps(score.numpy(), maps.numpy()) for maps, score in outputs]

    def _constant(self, value: Any) -> Any:
        """Kernels (O, I, h, w) as (h, w, I, O); depthwise ones as (h, w, O, 1)."""
        if value.ndim == 4:
            depthwise = value.shape[1] == 1 and value.shape[2] > 1
            value = value.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        return self.tf.constant(np.ascontiguousarray(value))

    def _maps(self, images: Any, size: Any) -> tuple[Any, Any]:
        """(B, H, W, 3) bytes to features (B, h, w, C) and attention (B, h, w)."""
        x = (self.tf.cast(images, self.tf.float32) - 128) / 128
        x = self.tf.image.resize(x, size)
        resnet = self.info.architecture == "resnet50"
        x = self._resnet(x) if resnet else self._lite0(x)
        if self.info.attention != "trained":
            return x, self.tf.sqrt(self.tf.reduce_sum(x * x, -1))
        y = self.tf.nn.relu(self._convolve(x, "attention.conv1"))
        y = self._convolve(y, "attention.conv2")
        return x, self.tf.nn.softplus(y)[..., 0]

    def _convolve(
        self, x: Any, name: str, stride: int = 1, padding: Padding = "same"
    ) -> Any:
        kernel, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        nn, pad = self.tf.nn, pads(padding)
        if name.endswith("depthwise"):
            y = nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], pad)
        else:
            y = nn.conv2d(x, kernel, stride, pad)
        return nn.bias_add(y, bias)

    def _lite0(self, x: Any) -> Any:
        relu6, units = self.tf.nn.relu6, lite0_units()
        x = relu6(self._convolve(x, "conv1", 2))
        for block in DEPTHS:
            for number, unit in enumerate(units[block]):
                at, y = f"{block}.{number}", x
                if unit.expansion > 1:
                    y = relu6(self._convolve(y, f"{at}.expand"))
                y = relu6(self._convolve(y, f"{at}.depthwise", unit.stride))
                y = self._convolve(y, f"{at}.project")
                x = x + y if unit.residual else y
        return x

    def _resnet(self, x: Any) -> Any:
        info, variant = self.info, RESNET_VARIANTS[self.info.variant]
        nn, strides = self.tf.nn, resnet_strides(variant, info.block3_strides)
        x = nn.relu(self._convolve(x, "conv1", 2, variant.stem_padding))
        x = nn.max_pool2d(x, 3, 2, pads(variant.pool_padding))
        for block, steps in zip(DEPTHS, strides, strict=False):
            for number, stride in enumerate(steps):
                at = f"{block}.{number}"
                of = (stride, 1) if variant.strided == "conv1" else (1, stride)
                y = nn.relu(self._convolve(x, f"{at}.conv1", of[0], "valid"))
                y = nn.relu(self._convolve(y, f"{at}.conv2", of[1], 1))
                y = self._convolve(y, f"{at}.conv3")
                if f"{at}.shortcut.conv.weight" in self.params:
                    x = self._convolve(x, f"{at}.shortcut.conv", stride, "valid")
                elif stride > 1:
                    x = x[:, ::stride, ::stride]
                x = nn.relu(x + y)
        subsampled = info.block3_strides and variant.strided_unit == "first"
        return x[:, ::2, ::2] if subsampled else x


def pads(padding: Padding) -> Any:
    """Padding as TensorFlow takes it."""
    if isinstance(padding, int):
        return [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    return padding.upper()
