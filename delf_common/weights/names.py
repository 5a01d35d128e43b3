# SPDX-License-Identifier: Apache-2.0
"""The canonical name and shape of every parameter, once for every framework.

Kernels are OIHW, matrices of classifiers (classes, channels). Batch norm has
``weight``, ``bias``, ``running_mean`` and ``running_var``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.weights.architectures import (
    ATTENTION_WIDTH,
    BLOCKS,
    LITE0_STEM,
    RESNET_EXPANSION,
    RESNET_STEM,
    RESNET_UNITS,
    RESNET_WIDTHS,
    attention_layout,
    backbone_eps,
    block_channels,
    check_architecture,
    lite0_units,
    resnet_variant,
)
from delf_common.weights.metadata import WeightsInfo

Params = dict[str, NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
HEADS = ("attention", "autoencoder", "desc", "attn", "embedding")


@dataclass(frozen=True)
class Convolution:
    """One convolution, and the batch norm that follows it.

    Args:
        name: canonical name without ".weight".
        norm: canonical name of its batch norm, "" without one.
        shape: of the kernel, OIHW.
        bias: whether it has a bias.
        eps: of its batch norm.
    """

    name: str
    norm: str
    shape: tuple[int, int, int, int]
    bias: bool
    eps: float = 0.0


def convolutions(info: WeightsInfo) -> list[Convolution]:
    """Every convolution of the network, in the order of its forward pass.

    Raises:
        DelfError: there is no such architecture or variant.
    """
    check_architecture(info)
    resnet = info.architecture == "resnet50"
    found = list(_resnet(info) if resnet else _lite0(info))
    if info.attention == "trained":
        found += _attention(info)
    return found


def parameter_shapes(info: WeightsInfo) -> Shapes:
    """Name and shape of every parameter that a checkpoint with this info holds."""
    shapes: Shapes = {}
    for convolution in convolutions(info):
        width = convolution.shape[0]
        shapes[f"{convolution.name}.weight"] = convolution.shape
        if convolution.bias:
            shapes[f"{convolution.name}.bias"] = (width,)
        if convolution.norm:
            shapes |= {f"{convolution.norm}.{part}": (width,) for part in NORM_PARTS}
    if info.num_classes and info.descriptor_classifier:
        shapes |= _classifier("desc", block_channels(info, "block4"), info.num_classes)
    if info.num_classes and info.attention == "trained":
        shapes |= _classifier("attn", block_channels(info, "block3"), info.num_classes)
    if info.embedding:
        width = block_channels(info, "block4")
        shapes |= _classifier("embedding", width, info.embedding)
    return shapes


def check_params(
    params: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise unless exactly these parameters are there, with these shapes.

    Raises:
        DelfError: lists everything missing, left over, misshapen or not finite.
    """
    faults = [f"  missing: {name}" for name in shapes if name not in params]
    faults += [f"  left over: {name}" for name in params if name not in shapes]
    for name in shapes:
        if name not in params:
            continue
        if params[name].shape != shapes[name]:
            faults.append(
                f"  shape: {name} is {params[name].shape}, should be {shapes[name]}"
            )
        elif not np.isfinite(params[name]).all():
            faults.append(f"  not finite: {name} has NaN or infinite values")
    if faults:
        raise DelfError(
            f"the parameters do not fit the network, {len(faults)} faults:\n"
            + "\n".join(faults)
        )


def _resnet(info: WeightsInfo) -> Iterator[Convolution]:
    bias, eps = resnet_variant(info).conv_bias, backbone_eps(info)
    yield Convolution("conv1", "bn1", (RESNET_STEM, 3, 7, 7), bias, eps)
    before = RESNET_STEM
    for block in BLOCKS if info.block4 else BLOCKS[:3]:
        width = RESNET_WIDTHS[block]
        after = width * RESNET_EXPANSION
        for unit in range(RESNET_UNITS[block]):
            at = f"{block}.{unit}"
            sizes = ((width, before, 1), (width, width, 3), (after, width, 1))
            for i, (out, into, side) in enumerate(sizes, 1):
                shape = (out, into, side, side)
                yield Convolution(f"{at}.conv{i}", f"{at}.bn{i}", shape, bias, eps)
            if unit == 0:
                conv, norm = f"{at}.shortcut.conv", f"{at}.shortcut.bn"
                yield Convolution(conv, norm, (after, before, 1, 1), bias, eps)
            before = after


def _lite0(info: WeightsInfo) -> Iterator[Convolution]:
    eps = backbone_eps(info)
    yield Convolution("conv1", "bn1", (LITE0_STEM, 3, 3, 3), False, eps)
    for block, units in lite0_units().items():
        for i, unit in enumerate(units):
            at, side = f"{block}.{i}", unit.kernel
            inside = unit.before * unit.expansion
            if unit.expansion > 1:
                shape = (inside, unit.before, 1, 1)
                yield Convolution(f"{at}.expand", f"{at}.bn1", shape, False, eps)
            shape = (inside, 1, side, side)
            yield Convolution(f"{at}.depthwise", f"{at}.bn2", shape, False, eps)
            shape = (unit.after, inside, 1, 1)
            yield Convolution(f"{at}.project", f"{at}.bn3", shape, False, eps)


def _attention(info: WeightsInfo) -> list[Convolution]:
    width, channels = ATTENTION_WIDTH, block_channels(info, "block3")
    bias, eps = attention_layout(info)
    first, last = (width, channels, 1, 1), (1, width, 1, 1)
    found = [
        Convolution("attention.conv1", "attention.bn1", first, bias, eps),
        Convolution("attention.conv2", "", last, True),
    ]
    if info.autoencoder:
        down = (info.autoencoder, channels, 1, 1)
        up = (channels, info.autoencoder, 1, 1)
        found.append(Convolution("autoencoder.conv1", "", down, True))
        found.append(Convolution("autoencoder.conv2", "", up, True))
    return found


def _classifier(name: str, channels: int, classes: int) -> Shapes:
    return {f"{name}.weight": (classes, channels), f"{name}.bias": (classes,)}
