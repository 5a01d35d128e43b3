# SPDX-License-Identifier: Apache-2.0
"""The same network on every runtime: seconds an image, distance from PyTorch, size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from delf_common.backends import installed_backends, load_backend
from delf_common.config import ExportConfig, ExtractConfig
from delf_common.errors import DelfError
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.pyramid import pyramid_levels
from delf_common.protocols import FeatureNetwork, Image
from delf_common.weights.checkpoint import find_weights
from delf_common.weights.comparing import compare_networks


def run_backends_bench(
    weights: str,
    images: Sequence[Image],
    config: ExtractConfig,
    repeats: int,
    folder: Path,
) -> dict[str, Any]:
    """Time every installed runtime on the CPU, interleaved, and compare their maps.

    Args:
        weights: path of a canonical checkpoint, or the name of embedded weights.
        images: (H, W, 3) uint8 RGB photographs.
        config: scales and number of keypoints.
        repeats: rounds; medians are given. One round before them is not counted.
        folder: where the exported files go.

    Returns:
        By runtime: seconds an image, the weights' file in bytes, and the largest
        absolute and relative difference of attention and features from the first of
        them, PyTorch where it is installed, over all levels of all photographs.

    Raises:
        DelfError: neither framework is installed; an exported file is past its
            tolerance.
    """
    files = prepare_files(weights, folder)
    reference = next(iter(files))
    networks = {
        name: load_backend(name.partition(" ")[0]).load_network(file, "cpu")
        for name, file in files.items()
    }
    seconds = time_networks(networks, images, config, repeats)
    rows = {
        name: {
            "seconds": seconds[name],
            "file_bytes": files[name].stat().st_size,
            **largest_differences(networks[reference], network, images, config),
        }
        for name, network in networks.items()
    }
    return {
        "weights": weights,
        "images": len(images),
        "repeats": repeats,
        "runtimes": rows,
    }


def prepare_files(weights: str, folder: Path) -> dict[str, Path]:
    """Name the runtimes that are installed, with the file that each of them loads."""
    checkpoint = find_weights(weights)
    there = installed_backends()
    files: dict[str, Path] = {
        name: checkpoint for name in ("torch", "ms") if name in there
    }
    if not files:
        raise DelfError(
            "bench backends needs torch or mindspore, and neither is installed; "
            'install one, from the checkout, with: pip install ".[torch]"'
        )
    if {"torch", "onnx"} <= set(there):
        for dtype in ("float32", "float16"):
            path = folder / f"{dtype}.onnx"
            load_backend("torch").export(weights, path, ExportConfig(dtype=dtype))
            files[f"onnx {dtype}"] = path
    if {"ms", "mindir"} <= set(there):
        path = folder / "any_size.mindir"
        load_backend("ms").export(weights, path, ExportConfig())
        files["mindir"] = path
    return files


def time_networks(
    networks: Mapping[str, FeatureNetwork],
    images: Sequence[Image],
    config: ExtractConfig,
    repeats: int,
) -> dict[str, float]:
    """Median over the rounds of each runtime's mean seconds for an image."""
    extractors = {
        name: Extractor(network, config) for name, network in networks.items()
    }
    rounds: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(repeats + 1):
        spent = dict.fromkeys(networks, 0.0)
        for image in images:
            for name, extractor in extractors.items():
                begin = time.perf_counter()
                extractor.extract_batch([image])
                spent[name] += time.perf_counter() - begin
        if number:
            for name, value in spent.items():
                rounds[name].append(value / len(images))
    return {name: statistics.median(values) for name, values in rounds.items()}


def largest_differences(
    reference: FeatureNetwork,
    other: FeatureNetwork,
    images: Sequence[Image],
    config: ExtractConfig,
) -> dict[str, dict[str, float]]:
    """Largest differences of both outputs: absolute, and over the largest value."""
    worst = {
        output: {"absolute": 0.0, "relative": 0.0}
        for output in ("attention", "features")
    }
    scales, field = config.image_scales, reference.receptive_field
    for image in images:
        height, width = image.shape[:2]
        for level in pyramid_levels(height, width, scales, field):
            found = compare_networks(reference, other, image[None], [level.size])
            for one in found:
                row = worst[one.output]
                row["absolute"] = max(row["absolute"], one.absolute)
                row["relative"] = max(row["relative"], one.relative)
    return worst


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    rows = result["runtimes"]
    reference = next(iter(rows))
    first = rows[reference]["seconds"]
    lines = [
        f"{result['weights']}, photographs: {result['images']}, "
        f"median of {result['repeats']}",
        f"{'':<14}{'s/image':>9}{'x ' + reference:>9}{'attention':>10}{'relative':>9}"
        f"{'features':>10}{'relative':>9}{'MB':>8}",
    ]
    for name, row in rows.items():
        gaps = "".join(
            f"{row[output]['absolute']:>10.1g}{row[output]['relative']:>9.1g}"
            for output in ("attention", "features")
        )
        lines.append(
            f"{name:<14}{row['seconds']:>9.3f}{first / row['seconds']:>9.2f}{gaps}"
            f"{row['file_bytes'] / 1e6:>8.2f}"
        )
    return "\n".join(lines)
