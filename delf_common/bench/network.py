# SPDX-License-Identifier: Apache-2.0
"""The network over the pyramid on every runtime, as a share of the matrix rate."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from delf_common.backends import FRAMEWORKS, load_backend
from delf_common.bench.timing import look
from delf_common.config import ExportConfig, ExtractConfig
from delf_common.errors import DelfError
from delf_common.extraction.precision import compute_in
from delf_common.extraction.pyramid import pyramid_levels
from delf_common.protocols import FeatureNetwork, Image, Size
from delf_common.training.initial import initial_params
from delf_common.weights.checkpoint import save_checkpoint
from delf_common.weights.metadata import WeightsInfo

PLAIN, MIXED = "plain torch", "torch bf16"
WARM_UP = 2  # rounds that are not counted
TENSORFLOW = "tensorflow"  # a peer, measured where it is installed
AGREEMENT = 1e-4  # largest difference of attention, over the largest attention
ROUNDED = 0.2  # the same, of TF32 and bf16


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
    device: str = "cpu",
    batch_size: int = 1,
) -> dict[str, Any]:
    """Time the network alone (upload, resizing, attention maps), interleaved.

    Args:
        weights: a path, or the name of embedded weights.
        image: (H, W, 3) uint8 RGB.
        config: the scales.
        repeats: rounds; medians are given. Two rounds before them are not counted: at
            a shape's second time a CUDA device records it.
        folder: where the exported file goes.
        device: "auto", "cpu", "cuda:N".
        batch_size: copies of the image that go through together.

    Returns:
        GFLOP of the batch's pyramids, by precision the rate of a matrix product in
        GFLOP/s, and by runtime wall and processor seconds, images a second, GFLOP/s
        and the share of the rate of its precision.

    Raises:
        DelfError: PyTorch is not installed, or two runtimes do not agree.
    """
    networks = load_networks(weights, folder, device)
    rates = importlib.import_module("delf_torch.rates")
    height, width = image.shape[:2]
    first = networks[PLAIN]
    levels = pyramid_levels(height, width, config.image_scales, first.receptive_field)
    sizes = [level.size for level in levels]
    place = rates.name_device(device)
    agree(networks, image, sizes[:2], rounded=place != "cpu")
    images = np.stack([image] * batch_size)
    wall: dict[str, list[float]] = {name: [] for name in networks}
    spent: dict[str, list[float]] = {name: [] for name in networks}
    found: dict[str, list[tuple[float, float]]] = {
        precision: [] for precision in rates.find_precisions(device)
    }
    for number in range(-WARM_UP, repeats):
        for precision, measured in found.items():
            measured.append(rates.matrix_rates(device, precision))
        for name, network in networks.items():
            begin, busy = time.perf_counter(), time.process_time()
            look(network.dense(images, sizes))
            if number >= 0:
                wall[name].append(time.perf_counter() - begin)
                spent[name].append(time.process_time() - busy)
    flop = batch_size * rates.count_flop(first.info, sizes)
    medians = {
        precision: [statistics.median(column) for column in zip(*some, strict=True)]
        for precision, some in found.items()
    }
    return {
        "image": f"{width}x{height}",
        "weights": first.info.name,
        "device": place,
        "batch_size": batch_size,
        "levels": len(sizes),
        "threads": rates.count_threads(),
        "repeats": repeats,
        "gflop": flop / 1e9,
        "matrix_gflops": {name: rate / 1e9 for name, (rate, _) in medians.items()},
        "runtimes": {
            name: {
                "precision": precision_of(name),
                "seconds": statistics.median(wall[name]),
                "processor_seconds": statistics.median(spent[name]),
                "images_per_second": batch_size / statistics.median(wall[name]),
                **shares(wall[name], spent[name], flop, medians[precision_of(name)]),
            }
            for name in networks
        },
    }


def load_networks(
    weights: str | Path, folder: Path, device: str = "cpu"
) -> dict[str, FeatureNetwork]:
    """Every way to run the network on a device, the plain one first."""
    torch = load_backend("torch")
    plain = importlib.import_module("delf_torch.plain_network")
    rates = importlib.import_module("delf_torch.rates")
    network = torch.load_network(weights, device)
    networks: dict[str, FeatureNetwork] = {
        PLAIN: plain.PlainNetwork(weights, device),
        "torch": network,
    }
    if "bf16" in rates.find_precisions(device):
        networks[MIXED] = compute_in(network, "bf16")
    on_cpu = rates.name_device(device) == "cpu"
    if on_cpu and all(map(importlib.util.find_spec, (FRAMEWORKS["onnx"], "onnx"))):
        path = folder / "maps.onnx"
        torch.export(weights, path, ExportConfig())
        networks["onnx"] = load_backend("onnx").load_network(path, "cpu")
    if on_cpu and importlib.util.find_spec(TENSORFLOW):
        peer = importlib.import_module("delf_common.bench.tensorflow_peer")
        threads = rates.count_threads()
        networks[TENSORFLOW] = peer.TensorFlowNetwork(weights, threads)
    return networks


def agree(
    networks: dict[str, FeatureNetwork],
    image: Image,
    sizes: list[Size],
    rounded: bool = False,
) -> None:
    """Check that all runtimes compute the same, before any of them is timed.

    Args:
        networks: by the names of the table.
        image: (H, W, 3) uint8 RGB.
        sizes: of the levels to compare.
        rounded: float32 is not exact: plain PyTorch takes TF32 on a GPU.

    Raises:
        DelfError: names the runtime whose attention is another, and how far it is off.
    """
    wanted = networks[PLAIN].dense(image[None], sizes)
    for name, network in networks.items():
        for one, other in zip(wanted, network.dense(image[None], sizes), strict=True):
            off = float(np.abs(one.attention - other.attention).max())
            limit = ROUNDED if rounded or precision_of(name) == "bf16" else AGREEMENT
            if not off <= limit * float(np.abs(one.attention).max()):
                raise DelfError(f"{name}: attention is {off:.2g} off {PLAIN}'s")


def precision_of(runtime: str) -> str:
    """Name the type that a runtime of the table computes in."""
    return "bf16" if runtime == MIXED else "float32"


def shares(
    wall: list[float], spent: list[float], flop: int, rates: Sequence[float]
) -> dict[str, float]:
    """GFLOP/s of one runtime, and its share of the rate: by wall and processor time.

    Only the second means something on a machine that does other things as well.
    """
    rate, busy_rate = rates
    speed = flop / statistics.median(wall)
    return {
        "gflops": speed / 1e9,
        "share_of_matrix_rate": speed / rate,
        "share_by_processor": flop / statistics.median(spent) / busy_rate,
    }


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out for people."""
    rows = result["runtimes"]
    products = ", ".join(
        f"{name} {rate:.0f}" for name, rate in result["matrix_gflops"].items()
    )
    lines = [
        f"{result['weights']}, {result['image']}, levels: {result['levels']}, "
        f"batch {result['batch_size']}, {result['gflop']:.0f} GFLOP, "
        f"{result['device']}, threads: {result['threads']}, median of "
        f"{result['repeats']}; matrix product, GFLOP/s: {products}",
        f"{'':<14}{'s':>8}{'CPU s':>8}{'images/s':>10}{'GFLOP/s':>9}{'share':>7}"
        f"{'by CPU':>8}{'x plain':>9}",
    ]
    for name, row in rows.items():
        lines.append(
            f"{name:<14}{row['seconds']:>8.3f}{row['processor_seconds']:>8.2f}"
            f"{row['images_per_second']:>10.2f}"
            f"{row['gflops']:>9.1f}{row['share_of_matrix_rate']:>7.0%}"
            f"{row['share_by_processor']:>8.0%}"
            f"{rows[PLAIN]['seconds'] / row['seconds']:>9.2f}"
        )
    return "\n".join(lines)
