# SPDX-License-Identifier: Apache-2.0
"""Which weights a set of names belongs to, and what they say of the network.

The names tell the kind of file; what is there tells whether the attention, the
classifiers, DELG's autoencoder and embedding, and block4 belong to it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.weights import (
    efficientnet,
    keras_h5,
    mindspore,
    slim,
    tf2,
    torchvision,
)
from delf_common.weights.importing import Arrays, Imported, Target, place
from delf_common.weights.layouts import to_layout
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import parameter_shapes

NO_TWIN = "classifier of the descriptor without that of the attention"


@dataclass(frozen=True)
class Scheme:
    """How one family of files calls its parameters.

    Args:
        kind: what the report calls such a file.
        signature: regular expression that one of its names matches.
        info: architecture and variant; the rest is found from the arrays.
        choose: canonical name of a source name.
        layout: of 4-D kernels; with "HWIO" matrices are (inputs, outputs).
        whole: whether block4 must be there.
    """

    kind: str
    signature: str
    info: WeightsInfo
    choose: Callable[[str], Target]
    layout: Literal["OIHW", "HWIO"] = "OIHW"
    whole: bool = True


SCHEMES = (
    Scheme(
        "resnet50 state dict",
        r"^layer1\.0\.conv1\.weight$",
        torchvision.INFO,
        torchvision.choose_target,
    ),
    Scheme(
        "efficientnet_lite0 state dict",
        r"^_conv_stem\.weight$",
        efficientnet.INFO,
        efficientnet.choose_target,
    ),
    Scheme(
        "MindSpore DELF",
        r"^res2a_branch2a\.weight$",
        mindspore.INFO,
        mindspore.choose_target,
    ),
    Scheme(
        "Keras ResNet-50",
        r"^res2a_branch2a/",
        keras_h5.INFO,
        keras_h5.choose_target,
        "HWIO",
    ),
    Scheme(
        "TF1-slim DELF", slim.SIGNATURE, slim.INFO, slim.choose_target, "HWIO", False
    ),
    Scheme("TF2 DELF", tf2.SIGNATURE, tf2.INFO, tf2.choose_target, "HWIO", False),
)
CANONICAL = Scheme(
    "canonical names",
    r"^block1\.0\.(conv1|depthwise)\.weight$",
    WeightsInfo("", "", ""),
    mindspore.choose_canonical,
)


def find_scheme(names: Iterable[str], variant: str | None = None) -> Scheme | None:
    """Return the scheme that these names follow, None for an unknown one.

    Args:
        names: of the source.
        variant: of ResNet-50, which canonical names alone do not always tell.

    Raises:
        DelfError: the names are canonical, and the variant is needed.
    """
    names = list(names)
    for scheme in (*SCHEMES, CANONICAL):
        if any(re.search(scheme.signature, name) for name in names):
            break
    else:
        return None
    if scheme is not CANONICAL:
        return scheme
    info = _canonical_info(names, variant)
    return dataclasses.replace(scheme, info=info, whole=info.variant != "slim")


def import_with(
    scheme: Scheme, arrays: Arrays, info: WeightsInfo | None = None
) -> tuple[WeightsInfo, Imported]:
    """Place every array, and say which network they make.

    Args:
        scheme: from `find_scheme`.
        arrays: source name -> array as stored.
        info: what the file says of itself; None to find it from the arrays.

    Raises:
        DelfError: lists all that is missing, left over, double or misshapen.
    """
    oriented = {name: _orient(array, scheme.layout) for name, array in arrays.items()}
    shapes = {
        target: array.shape
        for name, array in oriented.items()
        if (target := scheme.choose(name).name)
    }
    known = info or _complete(scheme, shapes)
    needed = parameter_shapes(known)

    def choose(name: str) -> Target:
        target = scheme.choose(name)
        if target.name.startswith("desc.") and target.name not in needed:
            return Target(unused=NO_TWIN)
        return target

    return known, place(oriented, needed, choose)


def _complete(scheme: Scheme, shapes: dict[str, tuple[int, ...]]) -> WeightsInfo:
    """Find what the arrays say of the network."""
    trained = "attention.conv2.weight" in shapes
    head = shapes.get("attn.weight" if trained else "desc.weight", (0,))
    return dataclasses.replace(
        scheme.info,
        attention="trained" if trained else "feature_norm",
        stage="attn" if trained else "tuning" if head[0] else "imagenet",
        num_classes=head[0],
        descriptor_classifier="desc.weight" in shapes or not head[0],
        autoencoder=shapes.get("autoencoder.conv1.weight", (0,))[0],
        embedding=shapes.get("embedding.weight", (0,))[0],
        block4=scheme.whole or any(name.startswith("block4.") for name in shapes),
    )


def _canonical_info(names: list[str], variant: str | None) -> WeightsInfo:
    if "block1.0.depthwise.weight" in names:
        return efficientnet.INFO
    if "conv1.bias" in names:
        variant = variant or "keras"
    if variant is None:
        raise DelfError(
            "the names are canonical, but nothing in the file says which ResNet-50 it "
            "is; say it: --variant torchvision or --variant slim"
        )
    return WeightsInfo("", "", "resnet50", variant)


def _orient(array: NDArray[Any], layout: str) -> NDArray[Any]:
    if layout == "HWIO" and array.ndim == 4:
        return to_layout(array, "HWIO", "OIHW")
    if layout == "HWIO" and array.ndim == 2:
        return to_layout(array, "IO", "OI")
    return array
