# SPDX-License-Identifier: Apache-2.0
"""The network as a first script would run it, which `delf bench network` times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from delf_common.protocols import DenseMaps, Images, Size
from delf_common.weights.architectures import feature_channels, receptive_field
from delf_common.weights.checkpoint import load_checkpoint
from delf_common.weights.metadata import WeightsInfo
from delf_torch.delf import build_delf
from delf_torch.layers import normalise, resize
from delf_torch.network import TorchMaps
from delf_torch.parameters import put_params

SIDE = 2048  # of the matrices whose product gives the machine's rate


class PlainNetwork:
    """Plain eager PyTorch on the CPU: batch norms by themselves, PyTorch's layouts.

    Args:
        weights: a path, or the name of embedded weights.
    """

    def __init__(self, weights: str | Path) -> None:
        checkpoint = load_checkpoint(weights)
        self.info = checkpoint.info
        self.receptive_field = receptive_field(self.info)
        self.channels = feature_channels(self.info)
        self.delf = build_delf(self.info).eval()
        put_params(self.delf, checkpoint.params)

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run every pyramid level; see `delf_common.protocols.FeatureNetwork`."""
        with torch.inference_mode():
            pixels = normalise(torch.tensor(np.ascontiguousarray(images))).contiguous()
            outputs = [self.delf(resize(pixels, size)) for size in sizes]
            return [TorchMaps(features, attention) for features, attention in outputs]


def count_flop(info: WeightsInfo, sizes: Sequence[Size]) -> int:
    """Multiplications and additions of the convolutions for one image; none is done."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        delf = build_delf(info, folded=True).eval()
        with torch.inference_mode():
            for height, width in sizes:
                delf(torch.empty(1, 3, height, width))
    return int(counter.get_total_flops())


def matrix_rates() -> tuple[float, float]:
    """Float32 operations of one large matrix product, a second and a processor's."""
    a, operations = torch.ones(SIDE, SIDE), 2 * SIDE**3
    begin, busy = time.perf_counter(), time.process_time()
    torch.mm(a, a)
    spent = max(time.process_time() - busy, 1e-9)
    return operations / (time.perf_counter() - begin), operations / spent


def count_threads() -> int:
    """Threads that PyTorch uses for an operation."""
    return torch.get_num_threads()
