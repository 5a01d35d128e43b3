# SPDX-License-Identifier: Apache-2.0
"""The network as an ONNX file, checked with onnxruntime before it is written."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from delf_common.config import ExportConfig
from delf_common.errors import DelfError, UsageError
from delf_common.io.atomic import replacing
from delf_common.weights.differences import Difference, refuse_differences
from delf_common.weights.exported import ExportedInfo, to_properties
from delf_torch.delf import Delf
from delf_torch.export_forms import build_form
from delf_torch.loading import load_network
from delf_torch.network import TorchNetwork

if TYPE_CHECKING:
    from onnx import ModelProto

OPSETS = range(13, 21)  # 13: the first where Unsqueeze's axes are inputs; 20: the last


def export(weights: str | Path, output: Path, config: ExportConfig) -> list[Difference]:
    """Write an ONNX file with dynamic batch, height and width.

    Inputs: ``images`` (B, H, W, 3) uint8 RGB and ``size`` (2,) int64, height and width
    of the pyramid's level; normalisation and resizing are inside. Outputs of the form
    "maps": ``attention`` (B, h, w) and ``features`` (B, h, w, C). Outputs of the form
    "keypoints": see `delf_torch.export_forms.KeypointForm`.

    Args:
        weights: path of a canonical checkpoint, or the name of embedded weights.
        output: the .onnx file, replaced if it exists.
        config: form, stored type, opset, tolerance.

    Returns:
        How far the file in onnxruntime is from this network, by output and size.

    Raises:
        DelfError: onnx or onnxruntime is missing, or a difference is past the
            tolerance; then nothing is written.
        UsageError: a setting is outside its range.
    """
    check_config(output, config)
    network = load_network(weights, "cpu")
    if config.dtype == "float16":
        round_kernels(network.delf)
    model = trace(network, config)
    if config.dtype == "float16":
        from delf_onnx.rounding import halve_kernels

        halve_kernels(model)
    exported = ExportedInfo(
        network.info,
        network.receptive_field,
        network.channels,
        config.form,
        config.dtype,
    )
    put_properties(model, exported)
    differences = compare(network, model, config)
    checks = [dataclasses.asdict(one) for one in differences]
    put_properties(model, dataclasses.replace(exported, checks=checks))
    with replacing(output) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    return differences


def check_config(output: Path, config: ExportConfig) -> None:
    """Refuse settings outside their range, and a missing package.

    Raises:
        UsageError: names the setting, its value and its range.
        DelfError: names the missing package.
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: an ONNX file's name ends in .onnx")
    if config.form == "original" or config.canvases:
        flag = "--canvases" if config.canvases else "--form original"
        raise UsageError(f"{flag} is for --format mindir; an ONNX file takes any size")
    if config.opset not in OPSETS:
        raise UsageError(
            f"--opset {config.opset}: must be {OPSETS.start} to {OPSETS.stop - 1}"
        )
    if config.max_feature_num < 1:
        raise UsageError(f"--max_feature_num {config.max_feature_num}: must be above 0")
    if not config.tolerance > 0:
        raise UsageError(f"--tolerance {config.tolerance}: must be above 0")
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise DelfError(
                f"--format onnx needs the package {package}, which is not installed; "
                f'install it, from the checkout, with: pip install ".[export]"'
            )


def round_kernels(delf: Delf) -> None:
    """Round the kernels to float16 in place; vectors stay, as in a checkpoint.

    Raises:
        DelfError: a kernel is too large for float16.
    """
    for name, parameter in delf.named_parameters():
        if parameter.ndim == 4:
            rounded = parameter.data.to(torch.float16).to(torch.float32)
            if not bool(torch.isfinite(rounded).all()):
                raise DelfError(f"{name} does not fit float16; use --dtype float32")
            parameter.data.copy_(rounded)


def trace(network: TorchNetwork, config: ExportConfig) -> ModelProto:
    """Turn the network into an ONNX graph, by TorchScript's exporter.

    It is in every PyTorch since 2.2 and needs no package but onnx; the newer exporter
    needs onnxscript, and writes TensorFlow's padding as arithmetic on sizes.
    """
    import onnx

    form = build_form(network, config)
    example = torch.zeros(2, 96, 80, 3, dtype=torch.uint8), torch.tensor([64, 72])
    arguments: dict[str, Any] = {"dynamo": False}
    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        arguments = {}  # torch before 2.5 has only this exporter
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another exporter is the default
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            form,
            example,
            str(path),
            input_names=["images", "size"],
            output_names=list(form.axes),
            dynamic_axes={"images": {0: "batch", 1: "height", 2: "width"}, **form.axes},
            opset_version=config.opset,
            **arguments,
        )
        model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return model


def put_properties(model: ModelProto, exported: ExportedInfo) -> None:
    """Replace the file's text properties."""
    del model.metadata_props[:]
    for key, value in to_properties(exported).items():
        model.metadata_props.add(key=key, value=value)


def compare(
    network: TorchNetwork, model: ModelProto, config: ExportConfig
) -> list[Difference]:
    """Compare the file with the network at several sizes.

    Raises:
        DelfError: a difference is past the tolerance.
    """
    from delf_torch.export_check import check_keypoints, check_maps

    data = model.SerializeToString()
    if config.form == "maps":
        found = check_maps(network, data)
    else:
        found = check_keypoints(network, data, config)
    refuse_differences(found, config.tolerance)
    return found
