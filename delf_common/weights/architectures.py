# SPDX-License-Identifier: Apache-2.0
"""What the backbones look like, once for every framework.

Each backbone has a stem (``conv1``, ``bn1``), then ``block1`` to ``block4`` with
strides 4, 8, 16 and 32; DELF reads ``block3``. Sources: He et al. 2016 (ResNet-50),
tensorflow/tpu efficientnet/lite (EfficientNet-Lite0), delf_spec.md section A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from delf_common.errors import DelfError
from delf_common.extraction.receptive_field import Layer, Padding, ReceptiveField
from delf_common.weights.metadata import WeightsInfo

ATTENTION_WIDTH = 512  # channels between the two 1x1 convolutions (Noh et al. 2017)
ATTENTION_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.01  # share of the new batch; Keras writes it as 0.99
BLOCKS = ("block1", "block2", "block3", "block4")


@dataclass(frozen=True)
class ResNetVariant:
    """Where the published ResNet-50s part.

    Args:
        strided: convolution of a unit that carries the stride.
        strided_unit: which unit of a block carries it. With "last" the stride stands
            one block earlier, so that every block's input is as wide as elsewhere.
        conv_bias: whether convolutions have a bias although batch norm follows.
        eps: of every batch norm in the backbone.
        stem_padding: of the 7x7 convolution.
        pool_padding: of the 3x3 max pool.
        attention_bias: whether the attention's first convolution has a bias.
        attention_eps: of the attention's batch norm.
    """

    strided: Literal["conv1", "conv2"]
    strided_unit: Literal["first", "last"]
    conv_bias: bool
    eps: float
    stem_padding: Padding
    pool_padding: Padding
    attention_bias: bool = True
    attention_eps: float = ATTENTION_EPS


RESNET_VARIANTS = {
    "keras": ResNetVariant("conv1", "first", True, 1e-3, "same", "valid"),
    "torchvision": ResNetVariant("conv2", "first", False, 1e-5, 3, 1),
    "slim": ResNetVariant(
        "conv2",
        "last",
        False,
        1e-5,
        3,
        "same",
        attention_bias=False,
        attention_eps=1e-5,
    ),
}
RESNET_STEM = 64
RESNET_UNITS = {"block1": 3, "block2": 4, "block3": 6, "block4": 3}
RESNET_WIDTHS = {"block1": 64, "block2": 128, "block3": 256, "block4": 512}
RESNET_EXPANSION = 4
RESNET_FIELD = (291, 145)  # size and padding that published DELF declares


@dataclass(frozen=True)
class InvertedResidual:
    """One unit of EfficientNet-Lite: expand 1x1, depthwise, project 1x1.

    Args:
        kernel: side of the depthwise convolution.
        stride: of the depthwise convolution.
        expansion: channels inside, as a multiple of ``before``.
        before: channels that come in.
        after: channels that go out.
    """

    kernel: int
    stride: int
    expansion: int
    before: int
    after: int

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.before == self.after


LITE0_EPS = 1e-3
LITE0_STEM = 32
# block -> (units, kernel, stride of the first unit, expansion, channels)
_LITE0_STAGES = {
    "block1": ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24)),
    "block2": ((2, 5, 2, 6, 40),),
    "block3": ((3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
    "block4": ((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
}


def lite0_units() -> dict[str, list[InvertedResidual]]:
    """Return the units of each block of EfficientNet-Lite0, in order."""
    units: dict[str, list[InvertedResidual]] = {}
    before = LITE0_STEM
    for block, stages in _LITE0_STAGES.items():
        units[block] = []
        for count, kernel, stride, expansion, after in stages:
            for i in range(count):
                step = stride if i == 0 else 1
                unit = InvertedResidual(kernel, step, expansion, before, after)
                units[block].append(unit)
                before = after
    return units


def resnet_variant(info: WeightsInfo) -> ResNetVariant:
    """Return the ResNet-50 that these weights belong to.

    Raises:
        DelfError: there is no such variant.
    """
    if info.variant not in RESNET_VARIANTS:
        known = ", ".join(RESNET_VARIANTS)
        raise DelfError(
            f"{info.name}: resnet50 has no variant {info.variant!r}; there is {known}"
        )
    return RESNET_VARIANTS[info.variant]


def resnet_strides(
    variant: ResNetVariant, block3_strides: bool
) -> list[tuple[int, ...]]:
    """Stride of every unit of block1 to block4.

    Before block1 the stride is 4. With "first" block3 gives stride 16 and
    ``block3_strides`` subsamples it afterwards; with "last" (TF-slim) its own last unit
    takes that stride. Either way block4 ends at stride 32.
    """
    deep = 1 if block3_strides else 2
    last = variant.strided_unit == "last"
    of_block = (2, 2, 3 - deep, deep) if last else (1, 2, 2, deep)
    strides: list[tuple[int, ...]] = []
    for block, stride in zip(BLOCKS, of_block, strict=True):
        ones = (1,) * (RESNET_UNITS[block] - 1)
        at_end = last and block != "block4"
        strides.append((*ones, stride) if at_end else (stride, *ones))
    return strides


def check_architecture(info: WeightsInfo) -> None:
    """Raise unless there is a network for these weights.

    Raises:
        DelfError: names the field, its value and what it may be.
    """
    if info.architecture == "resnet50":
        resnet_variant(info)
    elif info.architecture != "efficientnet_lite0":
        raise DelfError(
            f"{info.name}: there is no architecture {info.architecture!r}; "
            f"there is resnet50, efficientnet_lite0"
        )
    elif info.variant or info.block3_strides:
        raise DelfError(
            f"{info.name}: variant {info.variant!r}, block3_strides "
            f"{info.block3_strides}: efficientnet_lite0 has neither; leave them out"
        )
    if info.autoencoder and info.attention != "trained":
        raise DelfError(
            f"{info.name}: an autoencoder of width {info.autoencoder} comes only with "
            f"a trained attention, not with {info.attention}"
        )
    if info.attention not in ("trained", "feature_norm"):
        raise DelfError(
            f"{info.name}: attention {info.attention!r} is neither "
            f"trained nor feature_norm"
        )


def block_channels(info: WeightsInfo, block: str) -> int:
    """Width of a block's output: DELF's features are those of "block3"."""
    check_architecture(info)
    if info.architecture == "efficientnet_lite0":
        return lite0_units()[block][-1].after
    return RESNET_WIDTHS[block] * RESNET_EXPANSION


def feature_channels(info: WeightsInfo) -> int:
    """Width of DELF's features: the autoencoder's, or that of block3."""
    return info.autoencoder or block_channels(info, "block3")


def attention_layout(info: WeightsInfo) -> tuple[bool, float]:
    """Whether the attention's first convolution has a bias; its batch norm's eps."""
    if info.architecture != "resnet50":
        return True, ATTENTION_EPS
    variant = resnet_variant(info)
    return variant.attention_bias, variant.attention_eps


def check_block4(info: WeightsInfo) -> None:
    """Raise unless these weights go on to block4, which global descriptors need.

    Raises:
        DelfError: they end at block3, as TF1's DELF does.
    """
    if not info.block4:
        raise DelfError(
            f"{info.name} ends at block3 and has no global descriptor; take weights "
            f"with block4, such as a TF2 DELG or the embedded delf-lite0"
        )


def backbone_eps(info: WeightsInfo) -> float:
    """Epsilon of the batch norms in the backbone."""
    check_architecture(info)
    resnet = info.architecture == "resnet50"
    return resnet_variant(info).eps if resnet else LITE0_EPS


def receptive_field(info: WeightsInfo, block: str = "block3") -> ReceptiveField:
    """Where a cell of a block looks, with every layer that pads or shrinks.

    ResNet-50 keeps the declared 291 and 145 of block3 in every variant, as published
    features do; other sizes follow from the layers.
    """
    check_architecture(info)
    blocks = BLOCKS[: BLOCKS.index(block) + 1]
    if info.architecture == "efficientnet_lite0":
        layers = _lite0_layers(blocks)
    else:
        layers = _resnet_layers(resnet_variant(info), info.block3_strides, blocks)
    size, stride = _field_of(layers)
    if info.architecture == "resnet50" and block == "block3":
        declared, padding = RESNET_FIELD
        return ReceptiveField(declared, stride, padding, layers)
    return ReceptiveField(size, stride, (size - 1) // 2, layers)


def _field_of(layers: tuple[Layer, ...]) -> tuple[int, int]:
    """Size and stride of the receptive field after these layers."""
    size, jump = 1, 1
    for layer in layers:
        size += (layer.kernel - 1) * jump
        jump *= layer.stride
    return size, jump


def _resnet_layers(
    variant: ResNetVariant, strides: bool, blocks: tuple[str, ...]
) -> tuple[Layer, ...]:
    layers = [Layer(7, 2, variant.stem_padding), Layer(3, 2, variant.pool_padding)]
    of_block = dict(zip(BLOCKS, resnet_strides(variant, strides), strict=True))
    for block in blocks:
        for stride in of_block[block]:
            if variant.strided == "conv2":
                layers.append(Layer(3, stride, 1))
            else:
                layers += [Layer(1, stride, "valid"), Layer(3, 1, "same")]
        if block == "block3" and strides and variant.strided_unit == "first":
            layers.append(Layer(1, 2, "valid"))
    return tuple(layers)


def _lite0_layers(blocks: tuple[str, ...]) -> tuple[Layer, ...]:
    units = lite0_units()
    depthwise = [
        Layer(unit.kernel, unit.stride, "same")
        for block in blocks
        for unit in units[block]
    ]
    return (Layer(3, 2, "same"), *depthwise)
