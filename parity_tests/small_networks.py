# SPDX-License-Identifier: Apache-2.0
"""Every backbone and variant, and random parameters for them."""

import contextlib
import dataclasses

import numpy as np

from delf_common.weights.architectures import RESNET_WIDTHS
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import parameter_shapes

LITE0 = WeightsInfo("test", "", "efficientnet_lite0")
KERAS = WeightsInfo("test", "", "resnet50", "keras", attention="trained")
TORCHVISION = WeightsInfo("test", "", "resnet50", "torchvision")
STRIDED = dataclasses.replace(KERAS, block3_strides=True)
SLIM = WeightsInfo("test", "", "resnet50", "slim", True, "trained")
OFFICIAL_SLIM = dataclasses.replace(SLIM, block4=False)
DENSE_SLIM = dataclasses.replace(SLIM, block3_strides=False)
DELG = dataclasses.replace(STRIDED, autoencoder=7)
EVERY = {
    "lite0": LITE0,
    "keras": KERAS,
    "tv": TORCHVISION,
    "strided": STRIDED,
    "slim": SLIM,
    "slim-block3": OFFICIAL_SLIM,
    "dense-slim": DENSE_SLIM,
    "delg": DELG,
}


@contextlib.contextmanager
def narrow_widths():
    """ResNet-50 with few channels meanwhile: the same geometry, quick to run."""
    before = dict(RESNET_WIDTHS)
    RESNET_WIDTHS.update(zip(RESNET_WIDTHS, (2, 3, 4, 5), strict=True))
    try:
        yield
    finally:
        RESNET_WIDTHS.update(before)


def random_params(info, seed=0):
    rng = np.random.default_rng(seed)
    params = {}
    for name, shape in parameter_shapes(info).items():
        fan = np.prod(shape[1:]) if len(shape) > 1 else 1
        values = rng.normal(0, 1, shape) * (
            1.4 / np.sqrt(fan) if len(shape) > 1 else 0.3
        )
        if name.endswith("running_var") or ("bn" in name and name.endswith(".weight")):
            values = rng.uniform(0.5, 1.5, shape)
        params[name] = values.astype(np.float32)
    return params


def calm_params(info, seed=0):
    """Attention scores of order 1: the softplus of -20 keeps few of their digits."""
    params = random_params(info, seed)
    for name in ("attention.conv1.weight", "attention.conv2.weight"):
        if name in params:
            params[name] /= 20
    return params
