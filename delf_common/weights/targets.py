# SPDX-License-Identifier: Apache-2.0
"""Writes a network's weights in every format that can be written.

What other programs know keeps the names they know: torchvision's in a ``.pth`` of that
variant, the original MindSpore DELF's in a ``.ckpt`` of the Keras variant, Keras' in an
``.h5``. Everything else has its canonical name. All carry the rest of `WeightsInfo` as
JSON, so that nothing is lost on the way back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.weights.checkpoint import (
    METADATA_KEY,
    PCA_PARTS,
    StoredType,
    info_to_json,
    save_checkpoint,
)
from delf_common.weights.keras_h5 import write_keras_h5
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.mindspore import mindspore_name, swap_kernels
from delf_common.weights.mindspore_ckpt import write_ckpt
from delf_common.weights.names import Params, check_params, parameter_shapes
from delf_common.weights.sources import torch_files
from delf_common.weights.torchvision import torchvision_name

WRITABLE = (".safetensors", ".pth", ".ckpt", ".h5")


def check_target(target: Path, dtype: StoredType) -> None:
    """Raise unless weights can be written so.

    Raises:
        DelfError: the ending is unknown, or its format has no such option.
    """
    if target.suffix not in WRITABLE:
        endings = ", ".join(WRITABLE[1:])
        raise DelfError(
            f"{target}: a checkpoint's name ends in .safetensors, and weights for "
            f"other programs in {endings}"
        )
    if dtype != "float32" and target.suffix != ".safetensors":
        raise DelfError(f"{target}: --dtype {dtype} is for .safetensors only")


def write_weights(
    target: Path,
    params: Params,
    info: WeightsInfo,
    *,
    dtype: StoredType = "float32",
    swapped_kernels: bool = False,
) -> None:
    """Write weights in the format that the target's ending names.

    Args:
        target: .safetensors (the canonical checkpoint), .pth, .ckpt or .h5.
        params: canonical name -> array.
        info: of the weights.
        dtype: of the kernels in a .safetensors file.
        swapped_kernels: write a .ckpt whose 3x3 kernels have height and width
            exchanged, as the original's converter did.

    Raises:
        DelfError: the format cannot hold these weights, or they do not fit the info.
    """
    if target.suffix == ".safetensors":
        save_checkpoint(target, params, info, dtype=dtype)
        return
    check_params(params, parameter_shapes(info))
    text, extra = info_to_json(info), _pca_arrays(info)
    if target.suffix == ".pth":
        named = {_torch_name(name, info): params[name] for name in params}
        torch_files(target).write_state_dict(target, named | extra, METADATA_KEY, text)
    elif target.suffix == ".ckpt":
        written = swap_kernels(params) if swapped_kernels else params
        arrays = {mindspore_name(name, info): written[name] for name in written}
        note = np.frombuffer(text.encode("utf-8"), np.uint8)
        write_ckpt(target, arrays | extra | {METADATA_KEY: note})
    elif info.variant != "keras":
        raise DelfError(
            f"{target}: an .h5 file holds Keras' ResNet-50, not {info.architecture} "
            f"{info.variant}"
        )
    else:
        write_keras_h5(target, params, extra, METADATA_KEY, text)


def _torch_name(name: str, info: WeightsInfo) -> str:
    return torchvision_name(name) if info.variant == "torchvision" else name


def _pca_arrays(info: WeightsInfo) -> dict[str, NDArray[Any]]:
    if info.pca is None:
        return {}
    return {
        f"pca.{part}": np.asarray(getattr(info.pca, part), np.float32)
        for part in PCA_PARTS
    }
