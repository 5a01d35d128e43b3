# SPDX-License-Identifier: Apache-2.0
"""The network over the pyramid on every runtime, as a share of the matrix rate."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from delf_common.backends import FRAMEWORKS, load_backend
from delf_common.config import ExportConfig, ExtractConfig
from delf_common.errors import DelfError
from delf_common.extraction.pyramid import pyramid_levels
from delf_common.protocols import FeatureNetwork, Image, Size
from delf_common.training.initial import initial_params
from delf_common.weights.checkpoint import save_checkpoint
from delf_common.weights.metadata import WeightsInfo

PLAIN = "plain torch"
TENSORFLOW = "tensorflow"  # a peer, measured where it is installed
AGREEMENT = 1e-4  # largest difference of attention, over the largest attention


def random_resnet(folder: Path, strides: bool = False) -> Path:
    """Write ResNet-50 to block3 with attention, seeded numbers, as a checkpoint."""
    info = WeightsInfo(
        "random resnet50", "", "resnet50", "keras", strides, "trained", block4=False
    )
    path = folder / "resnet50.safetensors"
    save_checkpoint(path, initial_params(info, 0), info)
    return path


def run_network_bench(
    weights: str | Path,
    image: Image,
    config: ExtractConfig,
    repeats: int,
    folder: Path,
) -> dict[str, Any]:
    """Time the network alone (upload, resizing, maps), interleaved, on the CPU.

    Args:
        weights: a path, or the name of embedded weights.
        image: (H, W, 3) uint8 RGB.
        config: the scales.
        repeats: rounds; medians are given. One round before them is not counted.
        folder: where the exported file goes.

    Returns:
        GFLOP of the pyramid, the rate of a float32 matrix product in GFLOP/s, and by
        runtime wall and processor seconds, GFLOP/s and the share of the rate.

    Raises:
        DelfError: PyTorch is not installed, or two runtimes do not agree.
    """
    networks = load_networks(weights, folder)
    plain = importlib.import_module("delf_torch.plain_network")
    height, width = image.shape[:2]
    first = networks[PLAIN]
    levels = pyramid_levels(height, width, config.image_scales, first.receptive_field)
    sizes = [level.size for level in levels]
    agree(networks, image, sizes[:2])
    ways: dict[str, Callable[[], object]] = {
        name: partial(network.dense, image[None], sizes)
        for name, network in networks.items()
    }
    wall: dict[str, list[float]] = {name: [] for name in ways}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    rates: list[tuple[float, float]] = []
    for number in range(repeats + 1):
        rates.append(plain.matrix_rates())
        for name, call in ways.items():
            begin, busy = time.perf_counter(), time.process_time()
            call()
            if number:
                wall[name].append(time.perf_counter() - begin)
                spent[name].append(time.process_time() - busy)
    flop = plain.count_flop(first.info, sizes)
    rate, busy_rate = map(statistics.median, zip(*rates[1:], strict=True))
    return {
        "image": f"{width}x{height}",
        "weights": first.info.name,
        "levels": len(sizes),
        "threads": plain.count_threads(),
        "repeats": repeats,
        "gflop": flop / 1e9,
        "matrix_gflops": rate / 1e9,
        "runtimes": {
            name: {
                "seconds": statistics.median(wall[name]),
                "processor_seconds": statistics.median(spent[name]),
                **shares(wall[name], spent[name], flop, rate, busy_rate),
            }
            for name in ways
        },
    }


def load_networks(weights: str | Path, folder: Path) -> dict[str, FeatureNetwork]:
    """Every installed runtime's network, the plain one first."""
    torch = load_backend("torch")
    plain = importlib.import_module("delf_torch.plain_network")
    networks: dict[str, FeatureNetwork] = {
        PLAIN: plain.PlainNetwork(weights),
        "torch": torch.load_network(weights, "cpu"),
    }
    if all(map(importlib.util.find_spec, (FRAMEWORKS["onnx"], "onnx"))):
        path = folder / "maps.onnx"
        torch.export(weights, path, ExportConfig())
        networks["onnx"] = load_backend("onnx").load_network(path, "cpu")
    if importlib.util.find_spec(TENSORFLOW):
        peer = importlib.import_module("delf_common.bench.tensorflow_peer")
        threads = plain.count_threads()
        networks[TENSORFLOW] = peer.TensorFlowNetwork(weights, threads)
    return networks


def agree(networks: dict[str, FeatureNetwork], image: Image, sizes: list[Size]) -> None:
    """Check that all runtimes compute the same, before any of them is timed.

    Raises:
        DelfError: names the runtime whose attention is another, and how far it is off.
    """
    wanted = networks[PLAIN].dense(image[None], sizes)
    for name, network in networks.items():
        for one, other in zip(wanted, network.dense(image[None], sizes), strict=True):
            off = float(np.abs(one.attention - other.attention).max())
            if not off <= AGREEMENT * float(np.abs(one.attention).max()):
                raise DelfError(f"{name}: attention is {off:.2g} off {PLAIN}'s")


def shares(
    wall: list[float], spent: list[float], flop: int, rate: float, busy_rate: float
) -> dict[str, float]:
    """GFLOP/s of one runtime, and its share of the rate: by wall and processor time.

    Only the second means something on a machine that does other things as well.
    """
    speed = flop / statistics.median(wall)
    return {
        "gflops": speed / 1e9,
        "share_of_matrix_rate": speed / rate,
        "share_by_processor": flop / statistics.median(spent) / busy_rate,
    }


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    rows = result["runtimes"]
    lines = [
        f"{result['weights']}, {result['image']}, levels: {result['levels']}, "
        f"{result['gflop']:.0f} GFLOP, threads: {result['threads']}, median of "
        f"{result['repeats']}; float32 matrix product: "
        f"{result['matrix_gflops']:.0f} GFLOP/s",
        f"{'':<14}{'s':>8}{'CPU s':>8}{'GFLOP/s':>9}{'share':>7}"
        f"{'by CPU':>8}{'x plain':>9}",
    ]
    for name, row in rows.items():
        lines.append(
            f"{name:<14}{row['seconds']:>8.3f}{row['processor_seconds']:>8.2f}"
            f"{row['gflops']:>9.1f}{row['share_of_matrix_rate']:>7.0%}"
            f"{row['share_by_processor']:>8.0%}"
            f"{rows[PLAIN]['seconds'] / row['seconds']:>9.2f}"
        )
    return "\n".join(lines)
