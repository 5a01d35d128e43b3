# SPDX-License-Identifier: Apache-2.0
"""The network as a MindIR file, loaded again and compared before it is written."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import mindspore as ms

from delf_common.config import ExportConfig
from delf_common.errors import UsageError
from delf_common.io.atomic import replacing
from delf_common.weights.differences import Difference, refuse_differences
from delf_common.weights.exported import ExportedInfo, to_properties
from delf_common.weights.mindir import add_properties
from delf_ms.export_check import check_any_size, check_fixed
from delf_ms.export_forms import build_form, canvases_of, example, input_shape
from delf_ms.export_names import plain_names
from delf_ms.loading import load_network
from delf_ms.network import MsNetwork


def export(weights: str | Path, output: Path, config: ExportConfig) -> list[Difference]:
    """Write a MindIR file.

    Input of the form "maps": ``level`` (B, 3, H, W) float32, a pyramid level after
    (pixel - 128) / 128; outputs: attention (B, h, w) and features (B, h, w, C). Any B,
    H and W without canvases; B is 1, and H, W are a canvas's, with them. The form
    "original": see `delf_ms.export_forms.OriginalForm`.

    Args:
        weights: path of a canonical checkpoint, or the name of embedded weights.
        output: the .mindir file, replaced if it exists.
        config: form, canvases, tolerance.

    Returns:
        How far the file is from this network, by output and size.

    Raises:
        DelfError: a difference is past the tolerance; then nothing is written.
        UsageError: a setting is outside its range.
    """
    check_config(output, config)
    network = load_network(weights, "cpu")
    model = trace(network, config)
    exported = ExportedInfo(
        network.info,
        network.receptive_field,
        network.channels,
        config.form,
        config.dtype,
        canvases_of(config),
    )
    differences = compare(network, model, config)
    checks = [dataclasses.asdict(one) for one in differences]
    exported = dataclasses.replace(exported, checks=checks)
    with replacing(output) as temporary:
        temporary.write_bytes(add_properties(model, to_properties(exported)))
    return differences


def check_config(output: Path, config: ExportConfig) -> None:
    """Refuse settings that MindIR files do not have.

    Raises:
        UsageError: names the setting and what to do.
    """
    if output.suffix != ".mindir":
        raise UsageError(f"{output}: a MindIR file's name ends in .mindir")
    if config.form == "keypoints":
        raise UsageError("--form keypoints is for --format onnx; take --form maps")
    if config.form == "original" and config.canvases:
        raise UsageError("--form original has one canvas, its own; drop --canvases")
    if config.dtype != "float32":
        raise UsageError(
            f"--dtype {config.dtype} is for --format onnx; a device that computes in "
            f"float16 rounds a MindIR file's float32 itself"
        )
    if not config.tolerance > 0:
        raise UsageError(f"--tolerance {config.tolerance}: must be above 0")
    canvases_of(config)


def trace(network: MsNetwork, config: ExportConfig) -> bytes:
    """Turn the network into a serialised MindIR, the same bytes each time."""
    shape = input_shape(config, canvases_of(config))
    form = build_form(network, config)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traced.mindir"
        ms.export(
            form,
            example(shape),
            file_name=str(path),
            file_format="MINDIR",
            custom_func=plain_names,
        )
        return path.read_bytes()


def compare(network: MsNetwork, model: bytes, config: ExportConfig) -> list[Difference]:
    """Load the file again and compare it with the network at several sizes.

    Raises:
        DelfError: a difference is past the tolerance.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written.mindir"
        path.write_bytes(model)
        if input_shape(config, canvases_of(config))[0] is None:
            found = check_any_size(network, path)
        else:
            found = check_fixed(network, path, config)
    refuse_differences(found, config.tolerance)
    return found
