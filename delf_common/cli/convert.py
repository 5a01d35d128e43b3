# SPDX-License-Identifier: Apache-2.0
"""``delf convert``: foreign weights into the canonical checkpoint."""

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
        variant: what the source must be (keras, torchvision), none to accept what is
            found.
        block3_strides: subsample block3, so that the features have stride 32 instead of
            16; none leaves it as the source has it.
        name: what to call the weights, none for the file's name.
        dtype: of the stored kernels; float16 halves the file.
    """

    architecture: str | None = None
    variant: str | None = None
    block3_strides: bool | None = None
    name: str | None = None
    dtype: Literal["float32", "float16"] = "float32"


def parser() -> CommandParser:
    """Flags of ``delf convert``."""
    command = CommandParser(
        "convert",
        "Convert Keras' ResNet-50 (.h5), torchvision's ResNet-50 or EfficientNet-Lite0 "
        "(.pth, .safetensors) into a canonical checkpoint, print what went where, and "
        "stop with the list when anything is missing or left over.",
        "delf convert resnet50-0676ba61.pth resnet50.safetensors --block3_strides true",
    )
    command.add_argument("source", help="weight file to read")
    command.add_argument("target", help=".safetensors file to write")
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
