# SPDX-License-Identifier: Apache-2.0
"""How far every exported file is from PyTorch on a photograph: docs/weights.md's table.

python tools/weights_out.py PHOTOGRAPH [CHECKPOINT]
Without a checkpoint: delf-lite0, and a random ResNet-50 (keras, stride 32).
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

from delf_common.backends import load_backend
from delf_common.config import ExportConfig
from delf_common.extraction.pyramid import pyramid_levels
from delf_common.io.images import read_image
from delf_common.weights.checkpoint import save_checkpoint
from delf_common.weights.comparing import compare_networks
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import parameter_shapes

SCALES = (0.5, 0.7071, 1.0)


def main(photograph: str, checkpoint: str | None = None) -> None:
    """Export, compare, print a row for each file."""
    image = read_image(Path(photograph), max_pixels=10**8)
    print("| weights | file | MB | block3 abs | rel | attention abs | rel |")
    print("|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = [checkpoint] if checkpoint else ["delf-lite0", random_resnet(folder)]
        for weights in chosen:
            compare(weights, image, folder)


def compare(weights: str, image: np.ndarray, folder: Path) -> None:
    """Print the rows of one network."""
    reference = load_backend("torch").load_network(weights, "cpu")
    height, width = image.shape[:2]
    levels = pyramid_levels(height, width, SCALES, reference.receptive_field)
    sizes = [level.size for level in levels]
    canvases = tuple(f"{h}x{w}" for h, w in sizes)
    ms = load_backend("ms").load_network(weights, "cpu")
    show(weights, "(MindSpore itself)", reference, ms, image, sizes, None)
    for label, config in {
        "ONNX float32": ExportConfig(),
        "ONNX float16": ExportConfig(dtype="float16"),
        "MindIR, any size": ExportConfig(),
        "MindIR, a canvas for each level": ExportConfig(canvases=canvases),
    }.items():
        kind = "onnx" if label.startswith("ONNX") else "mindir"
        path = folder / f"exported.{kind}"
        writer = "torch" if kind == "onnx" else "ms"
        load_backend(writer).export(weights, path, config)
        other = load_backend(kind).load_network(path, "cpu")
        show(weights, label, reference, other, image, sizes, path)
    path = folder / "keypoints.onnx"
    checks = load_backend("torch").export(weights, path, ExportConfig("keypoints"))
    worst = {
        output: max((c for c in checks if c.output == output), key=lambda c: c.relative)
        for output in ("descriptors", "scores")
    }
    row(weights, "ONNX, keypoints (descriptors, scores)", path, *worst.values())


def show(weights, label, reference, other, image, sizes, path) -> None:
    """Print one file's row: the worst of all levels."""
    found = compare_networks(reference, other, image[None], sizes)
    worst = {
        output: max((d for d in found if d.output == output), key=lambda d: d.relative)
        for output in ("features", "attention")
    }
    row(weights, label, path, *worst.values())


def row(weights, label, path, first, second) -> None:
    """Print two differences."""
    size = f"{path.stat().st_size / 1e6:.2f}" if path else ""
    cells = " | ".join(f"{d.absolute:.1e} | {d.relative:.1e}" for d in (first, second))
    print(f"| {Path(weights).stem} | {label} | {size} | {cells} |", flush=True)


def random_resnet(folder: Path) -> str:
    """Write a checkpoint with random numbers of the sizes that trained ones have."""
    info = WeightsInfo("resnet50", "", "resnet50", "keras", True, "trained")
    info = dataclasses.replace(info, name="resnet50-random")
    rng = np.random.default_rng(0)
    params = {}
    for name, shape in parameter_shapes(info).items():
        values = rng.normal(0, 0.3, shape)
        if len(shape) > 1:
            values = rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape)
        if name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            values = rng.uniform(0.5, 1.5, shape)
        if name.startswith("attention.") and len(shape) > 1:
            values = values / 20
        params[name] = values.astype(np.float32)
    path = folder / "resnet50-random.safetensors"
    save_checkpoint(path, params, info)
    return str(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
