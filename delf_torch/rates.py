# SPDX-License-Identifier: Apache-2.0
"""What a device could do at most, and how much there is to do: for the benches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from delf_common.protocols import Size
from delf_common.training.config import Precision, TrainConfig
from delf_common.weights.metadata import WeightsInfo
from delf_torch.classifiers import TrainableDelf
from delf_torch.delf import build_delf
from delf_torch.device import choose_device
from delf_torch.precision import choose_precision, has_bfloat16
from delf_torch.stages import Stage

NAMES: dict[torch.dtype, Precision] = {
    torch.float32: "float32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}
SIDES = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product gives the rate


def matrix_rates(
    device: str = "cpu", precision: Precision = "float32"
) -> tuple[float, float]:
    """Operations of one large matrix product, a second and a processor's second.

    Args:
        device: "auto", "cpu", "cuda:N"; of CUDA both figures are of the wall clock.
        precision: "auto" is what training takes on the device.
    """
    place = choose_device(device)
    side = SIDES[place.type]
    a = torch.ones(side, side, device=place, dtype=choose_precision(precision, place))
    _wait(place)
    if place.type == "cuda":
        torch.mm(a, a)  # a first call also loads the library
        _wait(place)
    begin, busy = time.perf_counter(), time.process_time()
    torch.mm(a, a)
    _wait(place)
    wall, spent = time.perf_counter() - begin, time.process_time() - busy
    if place.type == "cuda":
        spent = wall
    operations = 2 * side**3
    return operations / wall, operations / max(spent, 1e-9)


def find_precisions(device: str) -> list[Precision]:
    """Name the types that a device has instructions for."""
    names: list[Precision] = ["float32"]
    if has_bfloat16(choose_device(device)):
        names.append("bf16")
    return names


def training_precision(config: TrainConfig) -> Precision:
    """Name the type that a run's convolutions compute in."""
    chosen = choose_precision(config.precision, choose_device(config.device))
    return NAMES[chosen]


def count_flop(info: WeightsInfo, sizes: Sequence[Size]) -> int:
    """Multiplications and additions of the convolutions for one image; none is done."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        delf = build_delf(info, folded=True).eval()
        with torch.inference_mode():
            for height, width in sizes:
                delf(torch.empty(1, 3, height, width))
    return int(counter.get_total_flops())


def count_step_flop(info: WeightsInfo, config: TrainConfig) -> int:
    """Multiplications and additions of one training step; none is done.

    Those of convolutions and matrix products: once forward, and once more for each of
    the two gradients, of the parameters and of the input, that the step computes.
    PyTorch's own counter is wrong for the gradients of depthwise convolutions.

    Args:
        info: of the network that is trained.
        config: stage, batch, side of the crops.
    """
    counts: list[int] = []

    def count(layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        products = output.numel() * layer.weight[0].numel()
        gradients = layer.weight.requires_grad + inputs[0].requires_grad
        counts.append(2 * products * (1 + gradients * torch.is_grad_enabled()))

    side, batch = config.image_size, config.batch_size
    with torch.device("meta"):
        delf = TrainableDelf(info, folded=not config.backbone_trains)
        for layer in delf.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        images = torch.empty(batch, side, side, 3, dtype=torch.uint8)
        Stage(delf, config).train()(images, torch.empty(batch, dtype=torch.int64))
    return sum(counts)


def count_threads() -> int:
    """Threads that PyTorch uses for an operation."""
    return torch.get_num_threads()


def name_device(device: str) -> str:
    """Name of a device: the GPU's model, or "cpu"."""
    place = choose_device(device)
    return torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
