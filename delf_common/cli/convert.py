# SPDX-License-Identifier: Apache-2.0
"""``delf convert``: weights from every known format into every writable one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from jsonargparse import Namespace

from delf_common.cli.parsing import CommandParser, build


@dataclass(frozen=True)
class ConvertOptions:
    """What the checkpoint is and how it is stored.

    Args:
        architecture: what the source must be (resnet50, efficientnet_lite0), none to
            accept what is found.
        variant: what the source must be (keras, torchvision, slim), none to accept what
            is found.
        block3_strides: subsample block3, so that the features have stride 32 instead of
            16; none leaves it as the source has it.
        name: what to call the weights, none for the file's name.
        dtype: of the stored kernels; float16 halves the file.
        pca: folder with mean, pca_proj_mat and pca_variances (.datum or .npy) to put
            into the checkpoint.
        delf_config: TensorFlow's delf_config*.pbtxt, whose scales, thresholds, sizes
            and PCA go into the checkpoint.
        swapped_kernels: the MindSpore .ckpt, source or target, has height and width of
            its 3x3 kernels exchanged, because it came from the original's converter of
            Keras' .h5 and was not trained since.
    """

    architecture: str | None = None
    variant: str | None = None
    block3_strides: bool | None = None
    name: str | None = None
    dtype: Literal["float32", "float16"] = "float32"
    pca: str | None = None
    delf_config: str | None = None
    swapped_kernels: bool = False


def parser() -> CommandParser:
    """Flags of ``delf convert``."""
    command = CommandParser(
        "convert",
        "Convert weights between formats, print what went where, and stop with the "
        "list when anything is missing or left over. Read: DELF and DELG of TensorFlow "
        "(SavedModel folder, .index, .pb), the MindSpore DELF's .ckpt, Keras' .h5, "
        "torchvision's ResNet-50 and EfficientNet-Lite0 (.pth, .safetensors). Written: "
        ".safetensors (the canonical checkpoint), .pth, .ckpt, .h5.",
        "delf convert resnet50-0676ba61.pth resnet50.safetensors --block3_strides true",
    )
    command.add_argument(
        "source",
        help="weight file or folder to read, or torchvision:ResNet50_Weights.NAME",
    )
    command.add_argument(
        "target", help="file to write: .safetensors, .pth, .ckpt or .h5"
    )
    command.add_config(ConvertOptions)
    command.add_argument(
        "--overwrite", action="store_true", help="replace the target if it exists"
    )
    return command


def run(options: Namespace) -> None:
    """Convert, and print every name."""
    from delf_common.weights.convert import convert

    chosen = dataclasses.asdict(build(ConvertOptions, options))
    report = convert(
        options.source, options.target, overwrite=options.overwrite, **chosen
    )
    print(report)  # noqa: T201
